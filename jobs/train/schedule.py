"""How many steps a run has, and the learning rate of each."""

import math

from plait.recipes import TrainConfig


def total_steps(config: TrainConfig, steps_per_epoch: int) -> int:
    """Optimiser steps of a run."""
    steps = max(1, round(config.epochs * steps_per_epoch))
    return min(steps, config.max_steps) if config.max_steps else steps


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Linear warm-up to `config.lr`, then a cosine to zero (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    warmup = max(1, round(config.warmup_share * total))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
