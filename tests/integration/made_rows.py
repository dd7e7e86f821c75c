"""Rows of training data in files, prepared for a tiny model, and what is learned from them."""

import json
from pathlib import Path
from typing import Any

from plait.documents.row_source import find_rows
from plait.jobs.train.dataset import prepare_dataset
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.packed_rows import Encoding
from plait.jobs.train.shards import Manifest, Shards
from plait.models.chat import chat_format_for
from plait.models.tokenizer import load_tokenizer
from plait.recipes import DataConfig


def encoding_of(model: Path, objective: Any = None, **data: Any) -> Encoding:
    """How a run of a model encodes its rows."""
    config = DataConfig(**{"train": "unused", "max_tokens": 96} | data)
    return Encoding(model, chat_format_for(load_tokenizer(model)), objective or SftConfig(), config, seed=0)


def row(number: int) -> dict[str, str]:
    return {"question": f"What is number {number}?", "answer": f"It is {7 * number}."}


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def prepared(source: Path | str, encoding: Encoding, folder: Path) -> Manifest:
    return prepare_dataset(find_rows(str(source)), encoding, folder, left_out(folder))


def left_out(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.left-out.jsonl")


def answers(folder: Path, tokenizer: Any) -> list[str]:
    """What is learned, segment by segment, in the order of the shards."""
    shards, found = Shards(folder), []
    for refs in shards.in_order(chunk_rows=64):
        for packed in shards.read(refs):
            end = 0
            for length in packed.lengths:
                start, end = end, end + length
                labels = packed.labels[start:end]
                found.append(tokenizer.decode(labels[labels != IGNORED], skip_special_tokens=True).strip())
    return found
