"""`lm-eval`: tasks whose answers are scored or generated, compared with transformers on the same requests and model.

The tasks are those of tests/clients/tasks.
"""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.tasks import TaskManager
from trial import URL, feature, run

HERE = Path(__file__).parent.parent
MODEL = os.environ["PLAIT_MODEL_FOLDER"]
os.chdir(HERE / "tasks")  # where tasks find their data


@cache
def evaluated(model: str, task: str, **model_args: Any) -> Any:
    """The accuracy of the task, and its samples by the order of its rows."""
    result = simple_evaluate(
        model=model,
        model_args={
            "model": "base",
            "base_url": f"{URL}/{'chat/' * ('chat' in model)}completions",
            "num_concurrent": 8,
            **model_args,
        },
        tasks=[task],
        task_manager=TaskManager(include_path=str(HERE / "tasks"), include_defaults=False),
        apply_chat_template="chat" in model,
        bootstrap_iters=0,
    )
    samples = sorted(result["samples"][task], key=lambda sample: sample["doc_id"])
    metric = "acc" if "acc" in samples[0] else "exact_match"
    return sum(sample[metric] for sample in samples) / len(samples), samples


@cache
def direct() -> Any:
    """What transformers gives for the requests of both tasks."""
    _, scored = evaluated("local-completions", "plain_facts", tokenizer=MODEL)
    _, said = evaluated("local-completions", "plain_facts_said", tokenizer=MODEL)
    _, chatted = evaluated("local-chat-completions", "plain_facts_said")
    options = said[0]["arguments"][0][1]
    asked = {
        "pairs": [pair for sample in scored for pair in sample["arguments"]],
        "prompts": [sample["arguments"][0][0] for sample in said],
        "chats": [json.loads(sample["arguments"][0][0].prompt) for sample in chatted],
        "until": options["until"],
        "max_tokens": options["max_gen_toks"],
    }
    command = [os.environ["PLAIT_PYTHON"], str(HERE / "direct_scores.py"), MODEL]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def chosen(loglikelihoods: list[float]) -> list[int]:
    """The likeliest of the four choices of each question."""
    fours = [loglikelihoods[start : start + 4] for start in range(0, len(loglikelihoods), 4)]
    return [four.index(max(four)) for four in fours]


def most_off(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def scored_as_transformers_does(**model_args: Any) -> str:
    """The engine computes in bfloat16: it may be off float32 by twice what transformers' own bfloat16 is."""
    accuracy, samples = evaluated("local-completions", "plain_facts", **model_args)
    ours = [loglikelihood for sample in samples for loglikelihood, _ in sample["filtered_resps"]]
    right = [sample["doc"]["answer"] for sample in samples]
    theirs = {dtype: direct()[dtype] for dtype in ("float32", "bfloat16")}
    accuracies = {dtype: sum(map(int.__eq__, chosen(given), right)) / len(right) for dtype, given in theirs.items()}
    off = {dtype: most_off(ours, given) for dtype, given in theirs.items()}
    own = most_off(*theirs.values())
    said = f"accuracy {accuracy}, transformers {accuracies}; log-likelihoods at most {off} off, its own two {own}"
    assert accuracy in accuracies.values(), said
    assert off["float32"] <= 2 * own, said
    return said


def said_as_transformers_does(model: str, kind: str, **model_args: Any) -> str:
    accuracy, samples = evaluated(model, "plain_facts_said", **model_args)
    ours = [sample["filtered_resps"][0] for sample in samples]
    theirs = [text.removeprefix(" ") for text in direct()[kind]]
    same = sum(map(str.__eq__, ours, theirs))
    right = [sample["target"] for sample in samples]
    accuracy_there = exact_match_hf_evaluate(theirs, right, ignore_case=True, ignore_punctuation=True)["exact_match"]
    said = f"accuracy {accuracy}, transformers {accuracy_there}; {same} of {len(ours)} texts are the same"
    assert abs(accuracy - accuracy_there) * len(ours) < 2, said  # a near tie may fall differently
    return said


@feature
def loglikelihood_of_prompts_as_tokens() -> str:
    return scored_as_transformers_does(tokenizer=MODEL)


@feature
def loglikelihood_with_the_servers_tokenizer() -> str:
    return scored_as_transformers_does()  # as by default: it finds /tokenizer_info


@feature
def loglikelihood_of_prompts_as_texts() -> str:
    return scored_as_transformers_does(tokenizer=MODEL, tokenized_requests=False)


@feature
def loglikelihood_of_batches() -> str:
    return scored_as_transformers_does(tokenizer=MODEL, batch_size=8, num_concurrent=1)


@feature
def generate_until_by_completions() -> str:
    return said_as_transformers_does("local-completions", "prompts", tokenizer=MODEL)


@feature
def generate_until_by_chat() -> str:
    return said_as_transformers_does("local-chat-completions", "chats")


run()
