"""Strategies: one worker's optimiser step is torch's own, and comes back from a checkpoint as it was."""

from pathlib import Path

import pytest
import torch
from tiny_run import tiny_recipe

from plait.errors import InvalidInput
from plait.jobs.train.batches import collate
from plait.jobs.train.encode import Example
from plait.jobs.train.packing import pack
from plait.jobs.train.peers import Peers
from plait.jobs.train.strategies import deepspeed_config, join_workers, strategy_for
from plait.jobs.train.trainable import Trainable
from plait.recipes import DeepSpeedConfig

ALONE = Peers(0, 1, torch.device("cpu"))
BATCH = collate(pack([[Example(list(range(3, 20)), list(range(3, 20)))]], 128), pad_id=0)


def weights(model: Trainable) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.trained_parameters()]


def test_a_step_is_adamws_on_clipped_gradients(tiny_model: Path) -> None:
    recipe = tiny_recipe(tiny_model, "train.max_grad_norm=0.01", "train.weight_decay=0.1")
    model, twin = (_model(tiny_model, recipe) for _ in range(2))
    strategy = strategy_for(recipe, model, ALONE)
    optimizer = torch.optim.AdamW(twin.trained_parameters(), lr=0.003, weight_decay=0.1)
    for _ in range(2):
        strategy.backward(strategy.module(BATCH) / 2)
        strategy.backward(strategy.module(BATCH) / 2)
        norm = strategy.step(0.003)
        twin(BATCH).backward()
        expected = torch.nn.utils.clip_grad_norm_(twin.trained_parameters(), 0.01)
        optimizer.step()
        optimizer.zero_grad()
        assert norm == pytest.approx(float(expected), rel=1e-4)
    for ours, theirs in zip(weights(model), weights(twin), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert all(p.grad is None or not p.grad.any() for p in model.trained_parameters())


def test_what_was_saved_goes_on_as_if_it_had_not_stopped(tiny_model: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tiny_model)
    model = _model(tiny_model, recipe)
    strategy = strategy_for(recipe, model, ALONE)
    _step(strategy)
    strategy.save(tmp_path)
    _step(strategy)

    again = Trainable.new(tiny_model, recipe, tmp_path)
    resumed = strategy_for(recipe, again, ALONE)
    resumed.restore(tmp_path)
    _step(resumed)
    for ours, theirs in zip(weights(again), weights(model), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_only_the_first_worker_writes(tiny_model: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tiny_model)
    strategy_for(recipe, _model(tiny_model, recipe), Peers(1, 1, torch.device("cpu"))).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_deepspeed_nothing_stands_before_a_model(tiny_model: Path) -> None:
    assert join_workers(tiny_recipe(tiny_model)) is None


def test_an_optimizer_that_needs_a_gpu_is_refused_without_one(tiny_model: Path) -> None:
    recipe = tiny_recipe(tiny_model, "train.optimizer=paged_adamw_8bit")
    with pytest.raises(InvalidInput, match="needs a GPU"):
        strategy_for(recipe, _model(tiny_model, recipe), ALONE)


def test_deepspeed_is_told_what_the_recipe_says(tiny_model: Path) -> None:
    recipe = tiny_recipe(
        tiny_model, "train.lr=0.5", "train.weight_decay=0.25", "train.max_grad_norm=2", "model.dtype=bfloat16"
    )
    config = DeepSpeedConfig(kind="deepspeed", zero_stage=3, offload_optimizer=True, offload_parameters=True)
    told = deepspeed_config(recipe, config)
    assert told["bf16"] == {"enabled": True}
    assert told["gradient_clipping"] == 2
    assert told["optimizer"]["params"] == {"lr": 0.5, "weight_decay": 0.25, "torch_adam": True}
    zero = told["zero_optimization"]
    assert (zero["stage"], zero["offload_optimizer"], zero["offload_param"]) == (
        3,
        {"device": "cpu"},
        {"device": "cpu"},
    )
    plain = deepspeed_config(recipe, DeepSpeedConfig(kind="deepspeed"))["zero_optimization"]
    assert plain.keys() == {"stage", "stage3_gather_16bit_weights_on_model_save"}


def _model(base: Path, recipe: object) -> Trainable:
    torch.manual_seed(0)
    return Trainable.new(base, recipe)  # type: ignore[arg-type]


def _step(strategy: object) -> None:
    strategy.backward(strategy.module(BATCH))  # type: ignore[attr-defined]
    strategy.step(0.01)  # type: ignore[attr-defined]
