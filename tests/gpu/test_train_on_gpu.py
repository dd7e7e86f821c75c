"""Training where it is meant to run: NF4 in bfloat16, ZeRO-3, and the fused loss of CUDA against the one of the CPU."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from plait.jobs.train.job import train
from plait.jobs.train.loss import IGNORED, linear_cross_entropy
from plait.recipes import TrainRecipe, load_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU: training on CUDA is UNTESTED here."),
]


@pytest.fixture
def common(tiny_model: Path, tmp_path: Path) -> list[str]:
    file = tmp_path / "train.jsonl"
    rows = [{"question": f"What is number {i}?", "answer": f"It is {7 * i}."} for i in range(24)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        f"model.source={tiny_model}",
        f"data.train={file}",
        f"data.eval={file}",
        "data.max_tokens=128",
        "train.batch_size=4",
        "train.epochs=4",
        "scale.workers=1",
        "scale.gpus_per_worker=1",
        "scale.max_failures=0",
    ]


def test_qlora_in_bfloat16_learns(ray_cluster: None, common: list[str]) -> None:
    recipe = load_recipe(TrainRecipe, "qlora", ["name=gpu-qlora", *common, "train.lr=5e-3"])
    figures = train(recipe).metadata.metrics
    assert figures["eval_loss"] < figures["eval_loss_before"]


def test_the_paged_8_bit_optimizer_learns(ray_cluster: None, common: list[str]) -> None:
    overrides = ["name=gpu-paged", *common, "train.lr=5e-3", "train.optimizer=paged_adamw_8bit"]
    figures = train(load_recipe(TrainRecipe, "qlora", overrides)).metadata.metrics
    assert figures["eval_loss"] < figures["eval_loss_before"]


@pytest.mark.parametrize("offload", [False, True])
def test_zero_3_learns_and_saves_a_whole_model(ray_cluster: None, common: list[str], offload: bool) -> None:
    overrides = [f"strategy.offload_optimizer={offload}", f"strategy.offload_parameters={offload}", "train.lr=2e-3"]
    recipe = load_recipe(TrainRecipe, "full-zero3", [f"name=gpu-zero3-{offload}".lower(), *common, *overrides])
    version = train(recipe)
    figures = version.metadata.metrics
    assert figures["eval_loss"] < figures["eval_loss_before"]
    AutoModelForCausalLM.from_pretrained(version.path)


def test_the_fused_loss_is_that_of_the_cpu() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(300, 64), torch.randn(5000, 64)
    labels = torch.randint(5000, (300,))
    labels[::3] = IGNORED
    found = {}
    for device in ("cpu", "cuda"):
        on_device = hidden.to(device, copy=True).requires_grad_()
        loss = linear_cross_entropy(on_device, weight.to(device), labels.to(device))
        loss.backward()
        assert on_device.grad is not None
        found[device] = (loss.detach().cpu(), on_device.grad.cpu())
    torch.testing.assert_close(found["cuda"], found["cpu"], rtol=1e-3, atol=1e-3)
