"""Strategies: how the workers of a run keep one model between them.

In: losses that are already divided by the terms of the whole batch. Out: one optimiser step, the same for all workers.
A strategy also writes and reads its part of a checkpoint. It knows nothing of data, objectives or schedules.
"""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from plait.errors import InvalidInput
from plait.jobs.train.peers import Peers
from plait.jobs.train.trainable import Trainable
from plait.recipes import DeepSpeedConfig, TrainRecipe

_OPTIMIZER_FILE = "optimizer.pt"


class Strategy(Protocol):
    """What the loop asks of a strategy."""

    module: Any
    """The model to call for a loss: `Trainable`, or what wraps it."""
    steps_together: bool
    """Every worker must run every micro-batch, for weights are gathered in it."""

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradients to those of this step."""

    def step(self, lr: float) -> float:
        """Sum the gradients over the workers, clip them, update the weights; returns the norm before clipping."""

    def save(self, folder: Path) -> None:
        """Write this worker's part of a checkpoint; every worker calls it."""

    def restore(self, folder: Path) -> None:
        """Read it again."""


def strategy_for(recipe: TrainRecipe, model: Trainable, peers: Peers) -> Strategy:
    """The strategy that a recipe asks for."""
    if isinstance(recipe.strategy, DeepSpeedConfig):
        return _DeepSpeed(recipe, recipe.strategy, model, peers)
    return _Ddp(recipe, model, peers)


def join_workers(recipe: TrainRecipe) -> object | None:
    """What must stand before a model is loaded. With ZeRO-3 each worker then loads its part of every weight only, as
    long as the object that is given back lives."""
    if not isinstance(recipe.strategy, DeepSpeedConfig):
        return None
    import deepspeed

    # It would be compiled, which takes a minute in each new home, and sums in inference only.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo")
    if recipe.strategy.zero_stage != 3:
        return None
    from transformers.integrations import HfDeepSpeedConfig

    kept: object = HfDeepSpeedConfig(deepspeed_config(recipe, recipe.strategy))
    return kept


class _Ddp:
    """Every worker holds the model; gradients are summed in one message, as adapters are small."""

    steps_together = False

    def __init__(self, recipe: TrainRecipe, model: Trainable, peers: Peers) -> None:
        self.module = model
        self._model, self._peers = model, peers
        self._max_grad_norm = recipe.train.max_grad_norm
        self._parameters = model.trained_parameters()
        self._optimizer = _optimizer(recipe, self._parameters)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, lr: float) -> float:
        self._peers.sum_gradients(self._parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm))
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()
        self._optimizer.zero_grad()
        return norm

    def save(self, folder: Path) -> None:
        if self._peers.rank == 0:
            self._model.save(folder)
            torch.save(self._optimizer.state_dict(), folder / _OPTIMIZER_FILE)

    def restore(self, folder: Path) -> None:
        # The weights were loaded with the model.
        self._optimizer.load_state_dict(torch.load(folder / _OPTIMIZER_FILE, weights_only=True))


def _optimizer(recipe: TrainRecipe, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    config = recipe.train
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    if not parameters[0].is_cuda:
        raise InvalidInput("train.optimizer=paged_adamw_8bit needs a GPU.", "Set train.optimizer=adamw.")
    from bitsandbytes.optim import PagedAdamW8bit

    paged: torch.optim.Optimizer = PagedAdamW8bit(parameters, lr=config.lr, weight_decay=config.weight_decay)
    return paged


class _DeepSpeed:
    """ZeRO: states, gradients, weights divided among the workers (Rajbhandari et al. 2019, arXiv:1910.02054)."""

    def __init__(self, recipe: TrainRecipe, config: DeepSpeedConfig, model: Trainable, peers: Peers) -> None:
        import deepspeed

        self._model, self._peers = model, peers
        self.steps_together = config.zero_stage == 3
        self.module, *_ = deepspeed.initialize(
            model=model, model_parameters=model.trained_parameters(), config=deepspeed_config(recipe, config)
        )

    def backward(self, loss: Tensor) -> None:
        # DeepSpeed takes the mean over the workers; these are parts of one sum.
        self.module.backward(loss * self._peers.world_size)

    def step(self, lr: float) -> float:
        for group in self.module.optimizer.param_groups:
            group["lr"] = lr
        self.module.step()
        return float(self.module.get_global_grad_norm())

    def save(self, folder: Path) -> None:
        self.module.save_checkpoint(str(folder), tag="deepspeed")
        weights = (
            self.module._zero3_consolidated_16bit_state_dict()
            if self.steps_together
            else self.module.module.state_dict()
        )
        if self._peers.rank == 0:
            self._model.save(folder, weights)

    def restore(self, folder: Path) -> None:
        self.module.load_checkpoint(str(folder), tag="deepspeed")


def deepspeed_config(recipe: TrainRecipe, config: DeepSpeedConfig) -> dict[str, Any]:
    """What DeepSpeed reads; the loop itself decides about micro-batches and learning rate."""
    zero: dict[str, Any] = {"stage": config.zero_stage, "stage3_gather_16bit_weights_on_model_save": True}
    if config.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu"}
    if config.offload_parameters:
        zero["offload_param"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "bf16": {"enabled": recipe.model.dtype == "bfloat16"},
        "gradient_clipping": recipe.train.max_grad_norm,
        "zero_optimization": zero,
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": recipe.train.lr, "weight_decay": recipe.train.weight_decay, "torch_adam": True},
        },
        "zero_force_ds_cpu_optimizer": False,
    }
