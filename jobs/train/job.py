"""Fine-tuning as a job: prepare, train on Ray Train, register.

In: a `TrainRecipe`. Out: an `AdapterVersion`. A run that was killed, workers or driver, goes on from its last
checkpoint when the same recipe is run again on the same data.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from plait import __version__
from plait.adapters.metadata import AdapterMetadata
from plait.adapters.progress import ProgressLog
from plait.adapters.registry import AdapterVersion, Registry
from plait.adapters.tracking import start_run, tracking_client
from plait.errors import Conflict, Interrupted, InvalidInput, ModelNotFound, PlaitError, find_plait_error
from plait.interruption import on_interrupt, received
from plait.jobs.train.checkpoint import Checkpoint, Checkpoints, disk_is_full
from plait.jobs.train.dataset import prepare_dataset
from plait.jobs.train.interrupt import run_interruptibly
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.packed_rows import Encoding
from plait.jobs.train.prepare import Prepared, prepare
from plait.jobs.train.progress import shown
from plait.jobs.train.record import final_metrics, log_run, samples_table
from plait.jobs.train.rehearsal import WINDOW_TOKENS
from plait.jobs.train.schedule import total_steps
from plait.local.ray_head import connect
from plait.model_ids import AdapterRef
from plait.models.tokenizer import load_tokenizer
from plait.recipes import ScaleConfig, TrainRecipe
from plait.settings import settings

# Fewer steps than this hardly teach anything.
_FEW_STEPS = 10


def train(recipe: TrainRecipe, reuse: bool = False) -> AdapterVersion:
    """Train an adapter (or a whole model) and register it as the next version of `recipe.name`.

    Args:
        recipe: what to train, on what.
        reuse: give back the version that the same recipe, base model and data already made, if there is one.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, when a checkpoint is saved.
        PlaitError: one of its kinds for everything that is wrong with recipe, data, model or cluster.
    """
    prepared = prepare(recipe)
    registry = Registry()
    if reuse and (existing := _made_before(registry, prepared)) is not None:
        return existing
    folder = settings().runs_dir / f"{recipe.name}-{prepared.key[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with _only_run_in(folder):
        run_id = _open_run(folder, prepared)
        _write_rows(folder, prepared)
        checkpoint = _fit(folder, prepared)
        # A run that is registered, and whose folder is still there, would be taken for one that was interrupted.
        with on_interrupt(_tell_that_it_ends_by_itself):
            version = _register(registry, folder, checkpoint, run_id, prepared)
            # What is registered is kept with its MLflow run; a later run of the same recipe starts afresh.
            shutil.rmtree(folder)
    return version


def _tell_that_it_ends_by_itself() -> None:
    again = "" if received() == signal.SIGTERM else " (Ctrl-C again: stop at once)"
    print(f"training has ended; the adapter is being registered{again}", flush=True)


def _made_before(registry: Registry, prepared: Prepared) -> AdapterVersion | None:
    try:
        newest = registry.resolve(AdapterRef(prepared.recipe.name))
    except ModelNotFound:
        return None
    return newest if newest.metadata.run_key == prepared.key else None


@contextmanager
def _only_run_in(folder: Path) -> Iterator[None]:
    """Two runs of the same recipe and data would write the same checkpoints: the second is refused."""
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Conflict(
            f"The same recipe is already training on the same data ('{folder.name}').",
            "Wait for it, or change the recipe.",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _open_run(folder: Path, prepared: Prepared) -> str:
    """The MLflow run of this folder: the one of an interrupted run, or a new one."""
    note = folder / "run.json"
    if note.is_file():
        print(f"going on with the interrupted run {folder.name}")
        run_id: str = json.loads(note.read_text(encoding="utf-8"))["run_id"]
        return run_id
    run_id = start_run(tracking_client(), folder.name, _flat(prepared.recipe.model_dump(mode="json")))
    note.write_text(json.dumps({"run_id": run_id}), encoding="utf-8")
    return run_id


def _write_rows(folder: Path, prepared: Prepared) -> None:
    """Encode and pack the data, once for a run."""
    recipe = prepared.recipe
    connect()
    check_cluster(recipe.scale)
    encoding = Encoding(prepared.base_folder, prepared.chat_format, recipe.objective, recipe.data, recipe.train.seed)
    train = prepare_dataset(prepared.train, encoding, folder / "train", _left_out(folder, "train"))
    steps = total_steps(recipe.train, -(-train.rows // recipe.train.batch_size))
    if steps < _FEW_STEPS:
        print(
            f"only {steps} optimiser step{'s' if steps > 1 else ''}: {train.rows} packed rows, train.batch_size="
            f"{recipe.train.batch_size}; lower train.batch_size or raise train.epochs to learn more"
        )
    unused = set(train.unused)
    if prepared.eval:
        unused.update(prepare_dataset(prepared.eval, encoding, folder / "eval", _left_out(folder, "eval")).unused)
    if unused:
        print(f"columns not used: {', '.join(sorted(unused))}")
    plain = recipe.data.model_copy(update={"context": None})
    as_text = replace(encoding, objective=PretrainConfig(kind="pretrain"), data=plain)
    prepare_dataset(prepared.general, as_text, folder / "general", _left_out(folder, "general"))
    if prepared.rehearsal is not None:
        windows = plain.model_copy(update={"max_tokens": min(WINDOW_TOKENS, plain.max_tokens)})
        in_windows = replace(as_text, data=windows)
        prepare_dataset(prepared.rehearsal, in_windows, folder / "rehearsal", _left_out(folder, "rehearsal"))


def _left_out(folder: Path, data: str) -> Path:
    """Beside the run's folder, which does not outlive the run."""
    return folder.with_name(f"{folder.name}.{data}.left-out.jsonl")


def _fit(folder: Path, prepared: Prepared) -> Checkpoint:
    """Run the workers; returns the best checkpoint, or the last one where nothing says which is best."""
    import ray.train
    from ray.train.torch import TorchTrainer

    from plait.jobs.train.loop import train_worker
    from plait.jobs.train.rendezvous import NodeTorchConfig
    from plait.jobs.train.worker_plan import WorkerPlan

    # How often Ray Train looks after its workers; it notices their end, too, no sooner.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    recipe = prepared.recipe
    plan = WorkerPlan(
        recipe=recipe,
        base_folder=prepared.base_folder,
        start_from=prepared.start_from,
        run_folder=folder,
        pad_id=prepared.pad_id,
    )
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=plan.model_dump(mode="json"),
        torch_config=NodeTorchConfig(),
        scaling_config=ray.train.ScalingConfig(
            num_workers=recipe.scale.workers,
            use_gpu=recipe.scale.gpus_per_worker > 0,
            resources_per_worker={"CPU": recipe.scale.cpus_per_worker}
            | ({"GPU": recipe.scale.gpus_per_worker} if recipe.scale.gpus_per_worker else {}),
        ),
        run_config=ray.train.RunConfig(
            name="ray",
            storage_path=str(folder),
            failure_config=ray.train.FailureConfig(max_failures=recipe.scale.max_failures),
        ),
    )
    plan.stop_file.unlink(missing_ok=True)
    with shown(ProgressLog(plan.progress_file), f"train {recipe.name}"):
        try:
            run_interruptibly(trainer.fit, ask=plan.stop_file.touch)
        except Exception as error:
            raise _explained(error, folder) from error
    if plan.stop_file.exists():
        plan.stop_file.unlink()
        records = ProgressLog(plan.progress_file).records()
        raise Interrupted(
            f"Training stopped after step {records[-1].step} of {records[-1].total_steps}; a checkpoint is saved.",
            "Run the same command again to go on.",
        )
    checkpoint = Checkpoints(plan.checkpoints).best()
    assert checkpoint is not None, "a run ends with a checkpoint"
    return checkpoint


def _explained(error: Exception, folder: Path) -> PlaitError:
    """What made the workers fail, in a sentence."""
    known = find_plait_error(error)
    if known is not None:
        return known
    if "No space left on device" in str(error):
        return disk_is_full(folder)
    return PlaitError(
        f"Training failed ({_last_line(error)}).",
        "Run again to go on from the last checkpoint; --debug shows the workers' traceback.",
    )


def check_cluster(scale: ScaleConfig) -> None:
    """Refuse a run that this cluster can never start, instead of waiting for ever."""
    import ray

    total = ray.cluster_resources()
    wanted = {"CPU": scale.cpus_per_worker * scale.workers, "GPU": scale.gpus_per_worker * scale.workers}
    for kind, amount in wanted.items():
        if amount > total.get(kind, 0):
            raise InvalidInput(
                f"The recipe asks for {amount:g} {kind}s, but the cluster has {total.get(kind, 0):g}.",
                f"Lower scale.workers or scale.{kind.lower()}s_per_worker, or use a larger cluster.",
            )


def _register(
    registry: Registry, folder: Path, checkpoint: Checkpoint, run_id: str, prepared: Prepared
) -> AdapterVersion:
    records = ProgressLog(folder / "progress.jsonl").records()
    before = json.loads((folder / "before.json").read_text(encoding="utf-8"))
    metadata = AdapterMetadata(
        base_model=prepared.recipe.model.source,
        base_sha256=prepared.base_sha256,
        dataset_sha256=prepared.dataset_sha256,
        recipe=prepared.recipe.model_dump(mode="json"),
        method=prepared.recipe.adapter.method,
        chat_format=prepared.chat_format,
        parent=prepared.parent,
        run_id=run_id,
        run_key=prepared.key,
        plait_version=__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        metrics=final_metrics(records, before, checkpoint.record),
    )
    with TemporaryDirectory() as aside:
        for file in checkpoint.model_files:
            shutil.copy2(file, aside)
        if prepared.recipe.adapter.trains_base:
            load_tokenizer(prepared.base_folder).save_pretrained(aside)
        metadata.write(Path(aside))
        version = registry.register(prepared.recipe.name, Path(aside), run_id)
    samples = samples_table(before["samples"], checkpoint.samples, load_tokenizer(prepared.base_folder))
    log_run(run_id, records, samples)
    return version


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{train: {lr: 1}}` as `{train.lr: 1}`, the way recipes are overridden."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
