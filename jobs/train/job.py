"""Fine-tuning as a job: prepare, train on Ray Train, register.

In: a `TrainRecipe`. Out: an `AdapterVersion`. A run that was killed, workers or driver, goes on from its last
checkpoint when the same recipe is run again on the same data.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from plait import __version__
from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import AdapterVersion, Registry
from plait.adapters.tracking import start_run, tracking_client
from plait.errors import Conflict, InvalidInput, ModelNotFound, PlaitError, find_plait_error
from plait.jobs.train.examples import write_examples
from plait.jobs.train.prepare import Prepared, prepare
from plait.jobs.train.progress import ProgressLog, StepRecord, shown
from plait.model_ids import AdapterRef
from plait.recipes import ScaleConfig, TrainRecipe
from plait.settings import settings

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def train(recipe: TrainRecipe, reuse: bool = False) -> AdapterVersion:
    """Train an adapter and register it as the next version of `recipe.name`.

    Args:
        recipe: what to train, on what.
        reuse: give back the version that the same recipe, base model and examples already made, if there is one.

    Raises:
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
        checkpoint = _fit(folder, prepared)
        version = _register(registry, folder, checkpoint, run_id, prepared)
        # What is registered is kept with its MLflow run; a later run of the same recipe starts afresh.
        shutil.rmtree(folder)
    return version


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
    write_examples(prepared.train, folder / "train.parquet")
    write_examples(prepared.eval, folder / "eval.parquet")
    note.write_text(json.dumps({"run_id": run_id}), encoding="utf-8")
    return run_id


def _fit(folder: Path, prepared: Prepared) -> Any:
    """Run the workers; returns the last checkpoint."""
    import ray.train
    from ray.train.torch import TorchTrainer

    from plait.jobs.train.loop import WorkerPlan, train_worker
    from plait.local.ray_head import connect

    recipe = prepared.recipe
    connect()
    _check_cluster(recipe.scale)
    plan = WorkerPlan(
        recipe=recipe,
        base_folder=prepared.base_folder,
        train_file=folder / "train.parquet",
        eval_file=folder / "eval.parquet" if prepared.eval else None,
        progress_file=folder / "progress.jsonl",
        pad_id=prepared.pad_id,
    )
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=plan.model_dump(mode="json"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=recipe.scale.workers,
            use_gpu=recipe.scale.gpus_per_worker > 0,
            resources_per_worker={"CPU": recipe.scale.cpus_per_worker}
            | ({"GPU": recipe.scale.gpus_per_worker} if recipe.scale.gpus_per_worker else {}),
        ),
        # The same name and storage path let Ray Train find the checkpoints of an interrupted run.
        run_config=ray.train.RunConfig(
            name="ray",
            storage_path=str(folder),
            failure_config=ray.train.FailureConfig(max_failures=recipe.scale.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    )
    with shown(ProgressLog(plan.progress_file), f"train {recipe.name}"):
        try:
            result = trainer.fit()
        except Exception as error:
            known = find_plait_error(error)
            raise known or PlaitError(
                f"Training failed ({_first_line(error)}).",
                "Run again to go on from the last checkpoint; --debug shows the workers' traceback.",
            ) from error
    return result.checkpoint


def _check_cluster(scale: ScaleConfig) -> None:
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


def _register(registry: Registry, folder: Path, checkpoint: Any, run_id: str, prepared: Prepared) -> AdapterVersion:
    records = ProgressLog(folder / "progress.jsonl").records()
    metadata = AdapterMetadata(
        base_model=prepared.recipe.model.source,
        base_sha256=prepared.base_sha256,
        dataset_sha256=prepared.dataset_sha256,
        recipe=prepared.recipe.model_dump(mode="json"),
        chat_format=prepared.chat_format,
        run_id=run_id,
        run_key=prepared.key,
        plait_version=__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        metrics=_final_metrics(records),
    )
    with checkpoint.as_directory() as saved, TemporaryDirectory() as aside:
        for name in _ADAPTER_FILES:
            shutil.copy2(Path(saved) / name, aside)
        metadata.write(Path(aside))
        version = registry.register(prepared.recipe.name, Path(aside), run_id)
    _log_metrics(run_id, records)
    return version


def _final_metrics(records: list[StepRecord]) -> dict[str, float]:
    last = records[-1]
    tokens = sum(record.tokens for record in records)
    seconds = sum(record.tokens / record.tokens_per_second for record in records)
    final = {"loss": last.loss, "steps": float(last.step), "tokens_per_second": tokens / seconds}
    return final if last.eval_loss is None else final | {"eval_loss": last.eval_loss}


def _log_metrics(run_id: str, records: list[StepRecord]) -> None:
    """Log every step to MLflow and end the run."""
    from mlflow.entities import Metric

    client = tracking_client()
    entries = [
        Metric(key, value, record.time_ms, record.step)
        for record in records
        for key, value in record.model_dump(exclude_none=True).items()
        if key not in ("step", "total_steps", "time_ms")
    ]
    for start in range(0, len(entries), 1000):  # MLflow's limit for one batch
        client.log_batch(run_id, metrics=entries[start : start + 1000])
    client.set_terminated(run_id, end_time=int(time.time() * 1000))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{train: {lr: 1}}` as `{train.lr: 1}`, the way recipes are overridden."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
