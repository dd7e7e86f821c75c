"""Every ready recipe, and what none of them sets, learns; what it saves loads elsewhere.

Only for DeepSpeed does Ray Train start workers: how it does is the same for every method, and test_train has it.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from plait.adapters.methods.saved_config import load_adapter
from plait.adapters.registry import AdapterVersion
from plait.jobs.train.job import train
from plait.models.load import load_causal_lm
from plait.recipes import TrainRecipe, load_recipe, ready_recipes

IN_PLACE = pytest.mark.usefixtures("training_in_place")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of rows, by the recipe that wants rows of its own; `examples` for all others."""
    answers = [{"question": f"What is number {i}?", "answer": f"It is {7 * i}."} for i in range(24)]
    rows: dict[str, list[dict[str, str]]] = {
        "examples": answers,
        "pretrain": [{"text": f"Number {i} is {7 * i}. " * 3} for i in range(24)],
        # In place of the built-in text, whose half a million characters take a second to encode.
        "rehearsal": [{"text": f"The river rose in year {i}, and the miller moved his sacks. " * 3} for i in range(24)],
        "dpo": [{"prompt": f"Number {i}?", "chosen": f"It is {7 * i}.", "rejected": "Who knows?"} for i in range(24)],
    }
    folder = tmp_path_factory.mktemp("data")
    for name, of_name in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_name))
    return {name: folder / f"{name}.jsonl" for name in rows}


def recipe(name: str, base: Path, dataset: Path, *overrides: str) -> TrainRecipe:
    common = [
        f"name={name}",
        f"model.source={base}",
        "model.dtype=float32",
        f"data.train={dataset}",
        f"data.eval={dataset}",
        "data.max_tokens=128",
        "train.batch_size=4",
        "train.epochs=2",
        "train.lr=5e-3",
        "train.samples=1",
        "scale.threads_per_worker=1",
        "scale.max_failures=0",
    ]
    return load_recipe(TrainRecipe, None, [*common, *overrides])


# Those whose strategy is DeepSpeed's, which takes no process but a worker's.
SHARDED = ("full-zero2", "full-zero3")
READY = [name for name in ready_recipes() if name not in ("ingest", *SHARDED)]
# What tiny models need to learn anything in a few steps.
RATES = {"ia3": "5e-2", "prefix": "1e-1", "dpo": "5e-3", "pretrain": "5e-3", "full-zero2": "2e-3", "full-zero3": "2e-3"}


@IN_PLACE
@pytest.mark.parametrize("ready", READY)
def test_every_ready_recipe_learns(ready: str, tiny_model: Path, data: dict[str, Path]) -> None:
    _assert_learns(ready, tiny_model, data)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(
    "ready",
    # It differs from the first in the stage only, and the long test below has stages 1 and 3.
    [SHARDED[0], pytest.param(SHARDED[1], marks=pytest.mark.long)],
)
def test_every_ready_recipe_of_deepspeed_learns(ready: str, tiny_model: Path, data: dict[str, Path]) -> None:
    _assert_learns(ready, tiny_model, data)


def _assert_learns(ready: str, tiny_model: Path, data: dict[str, Path]) -> None:
    rows = data.get(ready, data["examples"])
    overrides = [
        f"name=ready-{ready}",
        f"model={tiny_model}",
        f"data.train={rows}",
        f"data.eval={rows}",
        f"data.rehearsal={data['rehearsal']}",
        "data.max_tokens=128",
        "train.batch_size=4",
        "train.epochs=2",
        f"train.lr={RATES.get(ready, '5e-3')}",
        "scale.threads_per_worker=1",
        "scale.cpus_per_worker=0.5",
        "scale.max_failures=0",
    ]
    version = train(load_recipe(TrainRecipe, ready, overrides))
    figures = version.metadata.metrics
    assert figures["eval_loss"] < figures["eval_loss_before"]
    _assert_loads_and_differs(version, tiny_model)


@IN_PLACE
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("rslora", ["adapter.rslora=true", "adapter.dropout=0.1", "adapter.target_modules=[q_proj, v_proj]"]),
        pytest.param(
            "pfeiffer",
            ["adapter.method=bottleneck", "adapter.placement=pfeiffer", "adapter.dropout=0.1"],
            marks=pytest.mark.long,  # the ready recipe trains the other placement the same way
        ),
    ],
)
def test_what_no_ready_recipe_sets_learns_too(
    name: str, overrides: list[str], tiny_model: Path, data: dict[str, Path]
) -> None:
    version = train(recipe(f"method-{name}", tiny_model, data["examples"], *overrides))
    figures = version.metadata.metrics
    assert figures["eval_loss"] < figures["eval_loss_before"]
    _assert_loads_and_differs(version, tiny_model)


@pytest.mark.long
@pytest.mark.usefixtures("ray_cluster")
def test_zero_with_two_workers_learns_what_one_worker_learns(tiny_model: Path, data: dict[str, Path]) -> None:
    alone = train(recipe("full-alone", tiny_model, data["examples"], "adapter.method=full", "train.lr=2e-3"))
    for stage in (1, 3):
        zero = ["strategy.kind=deepspeed", f"strategy.zero_stage={stage}", "scale.workers=2"]
        common = ["adapter.method=full", "train.lr=2e-3", "scale.cpus_per_worker=0.5"]
        checkpointing = f"train.gradient_checkpointing={stage == 1}"
        shared = train(recipe(f"full-zero{stage}", tiny_model, data["examples"], *common, *zero, checkpointing))
        for name in ("loss", "eval_loss", "general_perplexity"):
            assert shared.metadata.metrics[name] == pytest.approx(alone.metadata.metrics[name], rel=1e-3)


def _assert_loads_and_differs(version: AdapterVersion, base: Path) -> None:
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        before = load_causal_lm(base, "float32")(ids).logits
        if version.metadata.method == "full":
            after = AutoModelForCausalLM.from_pretrained(version.path, dtype=torch.float32)(ids).logits
        else:
            after = load_adapter(load_causal_lm(base, "float32"), version.path).eval()(ids).logits
    assert not torch.allclose(after, before, atol=1e-3)
