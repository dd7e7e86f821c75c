"""What transformers itself gives for the requests of an evaluation, as lm-eval's `hf` scores them.

    python tests/clients/direct_scores.py MODEL_FOLDER < requests.json

In: `pairs` of a context and its continuation; `prompts` and `chats` to continue for `max_tokens` tokens or up to a text
of `until`. Out, as JSON: log-likelihoods of the continuations in float32 and bfloat16, and the likeliest texts after
prompts and chats in bfloat16. It asks no server, and knows nothing of ours.
"""

import json
import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


class Model:
    """A model in one type of numbers, each request computed alone."""

    def __init__(self, folder: str, dtype: torch.dtype) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    def loglikelihood(self, context: str, continuation: str) -> float:
        """The sum over the tokens of the continuation, given what comes before each."""
        start = len(self._tokens(context))
        tokens = self._tokens(context + continuation)
        logits = self._model(torch.tensor([tokens])).logits[0, start - 1 : -1].float()
        chosen = torch.tensor(tokens[start:])
        return float(logits.log_softmax(-1).gather(-1, chosen[:, None]).sum())

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return tokens

    def continued(self, prompt: str, max_tokens: int, until: list[str]) -> str:
        """The likeliest text after a prompt, token by token."""
        tokens = torch.tensor([self._tokens(prompt)])
        ids = self._model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=max_tokens,
            do_sample=False,
            repetition_penalty=1.0,
            pad_token_id=self._tokenizer.eos_token_id,
            stop_strings=until,
            tokenizer=self._tokenizer,
        )
        text: str = self._tokenizer.decode(ids[0, tokens.shape[1] :], skip_special_tokens=True)
        return text[: min((place for stop in until if (place := text.find(stop)) >= 0), default=None)]

    def prompt(self, chat: list[dict[str, str]]) -> str:
        """A conversation as the model's template writes it."""
        text: str = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return text


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)  # two that wait for each other take many times as long where others compute, too
    asked: dict[str, Any] = json.load(sys.stdin)
    scores: dict[str, Any] = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = Model(sys.argv[1], dtype)
        scores[str(dtype).removeprefix("torch.")] = [model.loglikelihood(*pair) for pair in asked["pairs"]]
    until, max_tokens = asked["until"], asked["max_tokens"]
    scores["prompts"] = [model.continued(prompt, max_tokens, until) for prompt in asked["prompts"]]
    scores["chats"] = [model.continued(model.prompt(chat), max_tokens, until) for chat in asked["chats"]]
    json.dump(scores, sys.stdout)


if __name__ == "__main__":
    main()
