"""A run of a tiny model that is ready for its worker, prepared in this process, without Ray."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import ray.train

from plait.adapters.progress import ProgressLog, StepRecord
from plait.jobs.train.left_out import LeftOutRows
from plait.jobs.train.loop import WorkerPlan, train_worker
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.packed_rows import Encoding, encode_and_pack
from plait.jobs.train.shard_writer import ShardWriter
from plait.jobs.train.shards import MANIFEST
from plait.models.chat import chat_format_for
from plait.models.tokenizer import load_tokenizer
from plait.recipes import ObjectiveConfig, TrainRecipe, load_recipe

Rows = Sequence[Mapping[str, Any]]
ROWS = [{"question": f"What is number {i}?", "answer": f"It is {7 * i}."} for i in range(12)]


def tiny_recipe(base: Path, *overrides: str) -> TrainRecipe:
    """A recipe of few and small steps."""
    common = [
        *("name=tiny", "data.train=t.jsonl", "data.eval=e.jsonl", f"model.source={base}", "model.dtype=float32"),
        *("data.max_tokens=128", "train.batch_size=2", "train.max_steps=2", "train.samples=1", "adapter.rank=2"),
        *("train.epochs=99", "scale.threads_per_worker=1"),
    ]
    return load_recipe(TrainRecipe, None, [*common, *overrides])


def planned(
    folder: Path,
    base: Path,
    *overrides: str,
    rows: Rows = ROWS,
    held_out: Rows = ROWS[:3],
    general_text: Rows = (),
) -> WorkerPlan:
    """A run whose data is encoded and packed into `folder`."""
    recipe = tiny_recipe(base, *overrides)
    _write(folder / "train", base, recipe, recipe.objective, rows)
    _write(folder / "eval", base, recipe, recipe.objective, held_out)
    _write(folder / "general", base, recipe, PretrainConfig(kind="pretrain"), [{"text": "Water boils at 100 degrees."}])
    if general_text:
        _write(folder / "rehearsal", base, recipe, PretrainConfig(kind="pretrain"), general_text)
    return WorkerPlan(recipe=recipe, base_folder=base, start_from=None, run_folder=folder, pad_id=0)


def _write(folder: Path, base: Path, recipe: TrainRecipe, objective: ObjectiveConfig, rows: Rows) -> None:
    folder.mkdir(parents=True)
    chat_format = chat_format_for(load_tokenizer(base), "plain")
    texts = [json.dumps(row) for row in rows]
    raw = pa.table({"file": ["a"] * len(rows), "line": range(len(rows)), "text": texts, "error": [""] * len(rows)})
    writer = ShardWriter(folder, LeftOutRows(folder / "left-out.jsonl"), recipe.data.max_bad_share)
    writer.add(encode_and_pack(raw, Encoding(base, chat_format, objective, recipe.data, recipe.train.seed)))
    (folder / MANIFEST).write_text(writer.finish("a").model_dump_json(), encoding="utf-8")


def run(plan: WorkerPlan, monkeypatch: pytest.MonkeyPatch) -> list[StepRecord]:
    """What the only worker of a run does; its records."""
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    train_worker(plan.model_dump(mode="json"))
    return ProgressLog(plan.progress_file).records()
