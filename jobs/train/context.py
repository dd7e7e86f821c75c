"""Passages for training prompts: what serving would retrieve, distractors included (RAFT, arXiv:2403.10131).

A stage of the data pipeline: raw rows in, raw rows out, a share of them with passages in their prompt. Which rows get
them depends on the seed and on where a row stands, so it is the same in every run.
"""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from plait.documents.raw_rows import RawRow
from plait.documents.row_files import BadRow
from plait.index.stores.store import Store
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.parse import parse_row
from plait.jobs.train.rows import Conversation, row_of
from plait.models.tokenizer import load_tokenizer
from plait.recipes import ContextConfig, ObjectiveConfig


class AddContext:
    """Retrieves for conversations; rows of other kinds, and bad ones, pass as they are."""

    def __init__(
        self, config: ContextConfig, objective: ObjectiveConfig, base_folder: Path, seed: int, store: Store
    ) -> None:
        from plait.index.collection import Index
        from plait.index.search import Mode
        from plait.retrieval.local_models import LocalModels
        from plait.retrieval.pipeline import RetrievalPipeline
        from plait.retrieval.request import Retrieval

        self._config, self._objective, self._seed = config, objective_of(objective), seed
        self._tokenizer = load_tokenizer(base_folder)
        self._index = Index.open(config.collection, store)
        mode: Mode = "hybrid" if self._index.has_bm25 else "dense"
        self._how = Retrieval(top_k=config.top_k, tenant=config.tenant, mode=mode, rerank=config.rerank)
        models = LocalModels.load(self._index.vectors, config.rerank, config.rerank_model)
        self._pipeline = RetrievalPipeline(models)

    def __call__(self, rows: pa.Table) -> pa.Table:
        from plait.retrieval.context import with_passages

        raw = rows.to_pylist()
        chosen = {i: c for i, row in enumerate(raw) if self._is_chosen(row) and (c := self._conversation(row))}
        questions = [conversation.question for conversation, _ in chosen.values()]
        found = asyncio.run(self._pipeline.retrieve(self._index, questions, self._how))
        texts = rows["text"].to_pylist()
        for (i, (conversation, unused)), passages in zip(chosen.items(), found, strict=True):
            budget = self._config.budget_tokens
            grounded = with_passages(conversation.messages, passages, budget, self._count_tokens)
            # What is not used stays, so that it is said to be.
            texts[i] = json.dumps(unused | row_of(replace(conversation, messages=grounded.messages)))
        return rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))

    def _is_chosen(self, row: dict[str, Any]) -> bool:
        place = f"{self._seed}:{Path(row['file']).name}:{row['line']}"
        return int(hashlib.sha256(place.encode()).hexdigest()[:8], 16) / 16**8 < self._config.share

    def _conversation(self, row: dict[str, Any]) -> tuple[Conversation, dict[str, Any]] | None:
        """What the row means, and its fields that mean nothing."""
        try:
            values = RawRow(**row).values()
            parsed = parse_row(values, self._objective)
        except (BadRow, RecursionError):
            return None
        unused = {name: value for name, value in values.items() if name in parsed.unused}
        return (parsed.meaning, unused) if isinstance(parsed.meaning, Conversation) else None

    def _count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))
