"""Every method and strategy learns on Ray Train, and what it saves loads elsewhere."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from plait.adapters.methods import load_adapter
from plait.jobs.train.job import train
from plait.models.load import load_causal_lm
from plait.recipes import TrainRecipe, load_recipe

pytestmark = pytest.mark.usefixtures("ray_cluster")

FULL = ["adapter.method=full", "train.lr=2e-3"]
DEEPSPEED = [*FULL, "strategy.kind=deepspeed", "scale.workers=2", "scale.cpus_per_worker=0.5"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "train.jsonl"
    rows = [{"question": f"What is number {i}?", "answer": f"It is {7 * i}."} for i in range(24)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


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


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("rslora", ["adapter.rslora=true", "adapter.dropout=0.1", "adapter.target_modules=[q_proj, v_proj]"]),
        ("dora", ["adapter.dora=true"]),
        ("ia3", ["adapter.method=ia3", "train.lr=5e-2"]),
        ("prefix", ["adapter.method=prefix", "data.packing=false"]),
        ("bottleneck", ["adapter.method=bottleneck", "adapter.size=8"]),
    ],
)
def test_an_adapter_learns_and_loads_again(name: str, overrides: list[str], tiny_model: Path, dataset: Path) -> None:
    version = train(recipe(f"method-{name}", tiny_model, dataset, *overrides))
    figures = version.metadata.metrics
    assert figures["eval_loss"] < figures["eval_loss_before"]
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        base = load_causal_lm(tiny_model, "float32")(ids).logits
        adapted = load_adapter(load_causal_lm(tiny_model, "float32"), version.path).eval()(ids).logits
    assert not torch.allclose(adapted, base, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("ddp", FULL),
        ("zero1", [*DEEPSPEED, "strategy.zero_stage=1", "train.gradient_checkpointing=true"]),
        ("zero2-bf16", [*DEEPSPEED, "strategy.zero_stage=2", "model.dtype=bfloat16"]),
        ("zero3-bf16", [*DEEPSPEED, "strategy.zero_stage=3", "model.dtype=bfloat16"]),
    ],
)
def test_a_whole_model_learns_and_transformers_loads_it(
    name: str, overrides: list[str], tiny_model: Path, dataset: Path
) -> None:
    version = train(recipe(f"full-{name}", tiny_model, dataset, *overrides))
    figures = version.metadata.metrics
    assert figures["eval_loss"] < figures["eval_loss_before"]
    trained = AutoModelForCausalLM.from_pretrained(version.path)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert trained.state_dict().keys() == base.state_dict().keys()
    changed = [n for n, weight in trained.state_dict().items() if not torch.equal(weight.float(), base.state_dict()[n])]
    assert len(changed) > len(base.state_dict()) / 2
