"""The training loop that runs in every Ray Train worker.

In: a `WorkerPlan`, all of it decided before the workers start. Out: records of every step and checkpoints, reported to
Ray Train. Restarted after a failure, it goes on from the last checkpoint. It knows nothing of registries or data files.
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from pydantic import BaseModel
from torch import distributed

from plait.errors import PlaitError
from plait.jobs.train.adapter_model import AdapterModel, count_labels
from plait.jobs.train.batches import Batch, BatchOrder, collate, micro_batches
from plait.jobs.train.checkpoint import restore_state, saved_checkpoint
from plait.jobs.train.examples import Example, read_examples
from plait.jobs.train.progress import ProgressLog, StepRecord
from plait.observability import metrics
from plait.recipes import TrainConfig, TrainRecipe


class WorkerPlan(BaseModel):
    """What a worker needs, as Ray Train carries it to every worker."""

    recipe: TrainRecipe
    base_folder: Path
    train_file: Path
    eval_file: Path | None
    progress_file: Path
    pad_id: int


@dataclass(frozen=True)
class Peers:
    """The workers of a run; every method gives all of them the same result."""

    rank: int
    world_size: int

    def share(self, indices: Sequence[int]) -> Sequence[int]:
        """This worker's part of a batch."""
        return indices[self.rank :: self.world_size]

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the workers."""
        if self.world_size == 1:
            return list(values)
        totals = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(totals)
        return [float(total) for total in totals]

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sum the gradients over the workers, in one message."""
        if self.world_size == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        for parameter, total in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = total.view_as(parameter)


def train_worker(config: dict[str, Any]) -> None:
    """Entry point of a Ray Train worker."""
    plan = WorkerPlan.model_validate(config)
    recipe = plan.recipe
    context = ray.train.get_context()
    peers = Peers(context.get_world_rank(), context.get_world_size())
    # Ray sets one OpenMP thread a worker unless told otherwise; torch can still be given the node's cores.
    torch.set_num_threads(recipe.scale.threads_per_worker or max(1, (os.cpu_count() or 1) // peers.world_size))
    torch.manual_seed(recipe.train.seed)

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        run = _Run(plan, peers, AdapterModel.new(plan.base_folder, recipe.model, recipe.adapter))
    else:
        with checkpoint.as_directory() as folder:
            run = _Run(plan, peers, AdapterModel.resume(plan.base_folder, recipe.model, Path(folder)))
            run.step = restore_state(Path(folder), run.optimizer)
    run.go_on()


class _Run:
    """The state of a run in one worker, and what is done with it."""

    def __init__(self, plan: WorkerPlan, peers: Peers, model: AdapterModel) -> None:
        self.config: TrainConfig = plan.recipe.train
        self.name = plan.recipe.name
        self.peers, self.model = peers, model
        self.examples = read_examples(plan.train_file)
        self.eval_examples = read_examples(plan.eval_file) if plan.eval_file else []
        self.pad_id = plan.pad_id
        self.log = ProgressLog(plan.progress_file)
        self.order = BatchOrder([len(e.input_ids) for e in self.examples], self.config.batch_size, self.config.seed)
        self.total_steps = total_steps(self.config, self.order)
        self.parameters = model.trainable_parameters()
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=self.config.lr, weight_decay=self.config.weight_decay, fused=True
        )
        self.step = 0

    def go_on(self) -> None:
        """Train from `self.step` to the end."""
        while self.step < self.total_steps:
            record = self._train_step()
            is_last = self.step == self.total_steps
            if self.eval_examples and (is_last or self.step % self.config.eval_every_steps == 0):
                record = record.model_copy(update={"eval_loss": self._evaluate()})
            if self.peers.rank == 0:
                self._publish(record)
            if is_last or self.step % self.config.checkpoint_every_steps == 0:
                self._save(record)

    def _train_step(self) -> StepRecord:
        started = time.perf_counter()
        self.model.peft_model.train()
        # A batch may be smaller than the number of workers: then this worker's share of it is empty.
        batches = self._batches(self.examples, self.peers.share(self.order.batch(self.step)))
        labels, tokens = self.peers.sum(sum(map(count_labels, batches)), sum(b.token_count for b in batches))
        self.optimizer.zero_grad()
        my_loss = 0.0
        for batch in batches:
            loss = self.model.loss(batch) / labels
            loss.backward()
            my_loss += float(loss.detach())
        self.peers.sum_gradients(self.parameters)
        grad_norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm))
        lr = learning_rate(self.config, self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        (mean_loss,) = self.peers.sum(my_loss)
        if not math.isfinite(mean_loss) or not math.isfinite(grad_norm):
            raise PlaitError(
                f"The loss of step {self.step + 1} is {mean_loss} (gradient norm {grad_norm}).",
                "Lower train.lr, or set model.dtype=float32; the last checkpoint is kept.",
            )
        self.optimizer.step()
        self.step += 1
        return StepRecord(
            step=self.step,
            total_steps=self.total_steps,
            loss=mean_loss,
            lr=lr,
            grad_norm=grad_norm,
            tokens=int(tokens),
            tokens_per_second=tokens / (time.perf_counter() - started),
            time_ms=int(time.time() * 1000),
        )

    @torch.no_grad()
    def _evaluate(self) -> float:
        """Mean loss a labelled token over the held-out examples."""
        self.model.peft_model.eval()
        loss, labels = 0.0, 0
        for batch in self._batches(self.eval_examples, self.peers.share(range(len(self.eval_examples)))):
            loss += float(self.model.loss(batch))
            labels += count_labels(batch)
        total_loss, total_labels = self.peers.sum(loss, labels)
        return total_loss / total_labels

    def _batches(self, examples: Sequence[Example], indices: Sequence[int]) -> list[Batch]:
        """Examples as tensors, in parts that fit into memory."""
        lengths = [len(example.input_ids) for example in examples]
        parts = micro_batches(indices, lengths, self.config.micro_batch_tokens)
        return [collate([examples[i] for i in part], self.pad_id) for part in parts]

    def _publish(self, record: StepRecord) -> None:
        self.log.append(record)
        metrics.TRAIN_LOSS.labels(adapter=self.name).set(record.loss)
        metrics.TRAIN_TOKENS_PER_SECOND.labels(adapter=self.name).set(record.tokens_per_second)
        metrics.TRAIN_TOKENS.labels(adapter=self.name).inc(record.tokens)
        metrics.TRAIN_STEPS.labels(adapter=self.name).inc()

    def _save(self, record: StepRecord) -> None:
        report = record.model_dump(exclude_none=True)
        if self.peers.rank == 0:
            with saved_checkpoint(self.model.peft_model, self.optimizer, self.step) as checkpoint:
                ray.train.report(report, checkpoint=checkpoint)
        else:
            ray.train.report(report)


def total_steps(config: TrainConfig, order: BatchOrder) -> int:
    """Optimiser steps of a run."""
    steps = max(1, round(config.epochs * order.steps_per_epoch))
    return min(steps, config.max_steps) if config.max_steps else steps


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Linear warm-up to `config.lr`, then a cosine to zero (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    warmup = max(1, round(config.warmup_share * total))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
