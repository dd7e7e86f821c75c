"""The training loop that runs in every Ray Train worker.

In: a `WorkerPlan`, all of it decided before the workers start. Out: records of every step, and checkpoints. Restarted
after a failure, it goes on from the last checkpoint. It knows nothing of registries or data files.
"""

import json
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import ray.train
import torch
from joblib import cpu_count

from plait.adapters.progress import ProgressLog, StepRecord
from plait.errors import PlaitError
from plait.jobs.train.batches import Batch, collate, idle_batch, micro_batches
from plait.jobs.train.checkpoint import Checkpoints, RunState
from plait.jobs.train.held_out import HeldOut
from plait.jobs.train.objectives.objective import Objective, objective_of
from plait.jobs.train.packing import PackedRow
from plait.jobs.train.peers import Peers
from plait.jobs.train.rehearsal import Rehearsal
from plait.jobs.train.schedule import learning_rate, total_steps
from plait.jobs.train.shards import RowOrder, RowRef, Shards
from plait.jobs.train.strategies import join_workers, strategy_for
from plait.jobs.train.throughput import flops_by_token, measured_peak_flops, peak_memory_bytes
from plait.jobs.train.trainable import Trainable
from plait.jobs.train.worker_plan import WorkerPlan
from plait.observability import metrics
from plait.recipes import TrainConfig
from plait.whole_files import write_whole


def train_worker(config: dict[str, Any]) -> None:
    """Entry point of a Ray Train worker."""
    plan = WorkerPlan.model_validate(config)
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    # Ray sets one OpenMP thread a worker unless told otherwise; torch can still be given the node's cores.
    torch.set_num_threads(plan.recipe.scale.threads_per_worker or max(1, cpu_count() // world_size))
    torch.manual_seed(plan.recipe.train.seed)
    _kept = join_workers(plan.recipe)
    checkpoint = Checkpoints(plan.checkpoints).latest()
    model = Trainable.new(plan.base_folder, plan.recipe, checkpoint.folder if checkpoint else plan.start_from)
    run = _Run(plan, model, Peers(rank, world_size, model.device))
    if checkpoint is not None:
        run.state = checkpoint.restore(run.strategy, run.peers)
    run.go_on()


class _Learned(NamedTuple):
    """Means of a step's rows over their terms; tokens and labels are those of all workers."""

    loss: float
    figures: dict[str, float]
    tokens: float
    labels: float


class _Run:
    """The state of a run in one worker, and what is done with it."""

    def __init__(self, plan: WorkerPlan, model: Trainable, peers: Peers) -> None:
        self.plan, self.model, self.peers = plan, model, peers
        self.config: TrainConfig = plan.recipe.train
        self.objective = objective_of(plan.recipe.objective)
        self.strategy = strategy_for(plan.recipe, model, peers)
        self.shards = Shards(plan.train_rows)
        self.order = RowOrder(self.shards.manifest.shard_rows, self.config.batch_size, self.config.seed)
        self.total_steps = total_steps(self.config, self.order.steps_per_epoch)
        self.rehearsal = self._rehearsal()
        self.held_out = HeldOut(plan, self.strategy.module, model, self._batches)
        self.log = ProgressLog(plan.progress_file)
        if peers.rank == 0:
            self.log.drop_half_a_line()
        self.checkpoints = Checkpoints(plan.checkpoints)
        self.state = RunState()
        self.flops = flops_by_token(model)
        self.peak_flops = measured_peak_flops(model.device, getattr(torch, plan.recipe.model.dtype))

    def _rehearsal(self) -> Rehearsal | None:
        if self.plan.rehearsal_rows is None:
            return None
        general, examples = Shards(self.plan.rehearsal_rows), self.shards.manifest
        return Rehearsal(self.plan.recipe, general, examples, self.order.steps_per_epoch)

    def go_on(self) -> None:
        """Train from the step where the run stands to the end."""
        self._show_progress()
        self._measure_before()
        is_ended = self.state.step >= self.total_steps or self.state.is_stale(self.config.early_stopping_patience)
        while not is_ended:
            record = self._train_step()
            is_ended = self.state.step == self.total_steps or self._is_asked_to_stop()
            if is_ended or self.state.step % self.config.checkpoint_every_steps == 0:
                record = record.model_copy(update=self.held_out.losses(self.peers))
                if record.eval_loss is not None:
                    self.state.eval_losses.append(record.eval_loss)
                is_ended = is_ended or self.state.is_stale(self.config.early_stopping_patience)
                self._publish(record)
                samples = self.held_out.samples()
                self.checkpoints.save(self.strategy, self.state, record, samples, self.peers)
            else:
                self._publish(record)

    def _measure_before(self) -> None:
        """What the model can do before it learns anything, to compare with afterwards."""
        (is_known,) = self.peers.sum(float(self.peers.rank == 0 and self.plan.before_file.is_file()))
        if is_known:
            return
        with self.model.adapter_off():
            before = {**self.held_out.losses(self.peers), "samples": self.held_out.samples()}
        if self.peers.rank == 0:
            write_whole(self.plan.before_file, json.dumps(before))

    def _train_step(self) -> StepRecord:
        started = time.perf_counter()
        self.model.train()
        learned = self._learn(self.shards, self.order.batch(self.state.step), self.objective)
        tokens, labels, figures = learned.tokens, learned.labels, learned.figures
        if self.rehearsal is not None and (refs := self.rehearsal.refs(self.state.step)):
            rehearsed = self._learn(self.rehearsal.shards, refs, self.rehearsal)
            tokens, labels = tokens + rehearsed.tokens, labels + rehearsed.labels
            figures = figures | rehearsed.figures
        lr = learning_rate(self.config, self.state.step, self.total_steps)
        grad_norm = self.strategy.step(lr)
        self._refuse_unless_finite("gradient norm", grad_norm)
        self.state.step += 1
        elapsed_s = time.perf_counter() - started
        flops = self.flops[0] * tokens + self.flops[1] * labels
        return StepRecord(
            step=self.state.step,
            total_steps=self.total_steps,
            loss=learned.loss,
            lr=lr,
            grad_norm=grad_norm,
            tokens=int(tokens),
            tokens_per_second=tokens / elapsed_s,
            flops_share=flops / elapsed_s / (self.peak_flops * self.peers.world_size),
            memory_bytes=int(self.peers.max(peak_memory_bytes(self.model.device))),
            time_ms=int(time.time() * 1000),
            figures=figures,
        )

    def _learn(self, shards: Shards, refs: Sequence[RowRef], objective: Objective | Rehearsal) -> _Learned:
        """Add the gradients of the mean loss of rows, which all workers share; says what was learned of them."""
        # There may be fewer rows than workers: then this worker's share of them is empty.
        batches = self._batches(shards.read(self.peers.share(refs)))
        terms, tokens, labels = self.peers.sum(
            sum(objective.terms(batch) for batch in batches),
            sum(batch.token_count for batch in batches),
            sum(batch.label_count for batch in batches),
        )
        total, figures = 0.0, dict.fromkeys(objective.figures, 0.0)
        for batch in batches:
            found = objective.losses(self.strategy.module, batch)
            self.strategy.backward(found.total / terms)
            total += float(found.total.detach())
            for name, value in found.figures.items():
                figures[name] += value
        total, *sums = self.peers.sum(total, *figures.values())
        self._refuse_unless_finite("loss", total)
        means = {name: value / terms for name, value in zip(figures, sums, strict=True)}
        return _Learned(total / terms, means, tokens, labels)

    def _refuse_unless_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise PlaitError(
                f"The {name} of step {self.state.step + 1} is {value}.",
                "Lower train.lr, or set model.dtype=float32; the last checkpoint is kept.",
            )

    def _batches(self, rows: Sequence[PackedRow]) -> list[Batch]:
        """Rows as tensors, in parts that fit into memory."""
        pad_id = self.plan.pad_id
        batches = [collate(part, pad_id) for part in micro_batches(rows, self.config.micro_batch_tokens)]
        if self.strategy.steps_together:
            missing = int(self.peers.max(len(batches))) - len(batches)
            batches += [idle_batch(pad_id)] * missing
        return batches

    def _is_asked_to_stop(self) -> bool:
        (asked,) = self.peers.sum(float(self.peers.rank == 0 and self.plan.stop_file.exists()))
        return asked > 0

    def _publish(self, record: StepRecord) -> None:
        if self.peers.rank != 0:
            return
        self.log.append(record)
        name = self.plan.recipe.name
        metrics.TRAIN_LOSS.labels(adapter=name).set(record.loss)
        metrics.TRAIN_TOKENS_PER_SECOND.labels(adapter=name).set(record.tokens_per_second)
        metrics.TRAIN_TOKENS.labels(adapter=name).inc(record.tokens)
        metrics.TRAIN_STEPS.labels(adapter=name).inc()
        self._show_progress()

    def _show_progress(self) -> None:
        """Tell the alert for stalled training that this run lives."""
        if self.peers.rank == 0:
            metrics.TRAIN_PROGRESS.labels(adapter=self.plan.recipe.name).set(time.time())
