"""Ingestion without the start of Ray's processes, for tests of what is in the index afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from plait.documents.read import DocumentFile
from plait.jobs.ingest.embed import Embed, batch_size_of
from plait.jobs.ingest.pipeline import Workplace, chunk_files, in_blocks
from plait.jobs.ingest.write import Write
from plait.recipes import IngestRecipe

_CHUNKS_AT_A_TIME = 4  # so that documents are cut in the middle


@contextmanager
def ingestion_in_this_process() -> Iterator[None]:
    """The stages of Ray Data one after the other, and actors as objects. The start of their processes takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("job", "dedup"):
            patch.setattr(f"plait.jobs.ingest.{module}.start_beside_driver", LocalActor)
        patch.setattr("plait.jobs.ingest.pipeline.run_pipeline", _run_here)
        yield


class LocalActor:
    """An object as the handle of an actor."""

    def __init__(self, kind: type, *arguments: Any) -> None:
        self._object = kind(*arguments)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._object, name)
        return SimpleNamespace(remote=lambda *arguments: ray.put(method(*arguments)))


def _run_here(recipe: IngestRecipe, documents: Sequence[DocumentFile], workplace: Workplace) -> None:
    embed = Embed(recipe, workplace.prompts, batch_size_of(recipe, on_gpu=False), workplace.ledger)
    write = Write(recipe, workplace.prompts, workplace.store, workplace.generation, workplace.ledger)
    for files in in_blocks(documents):
        chunks = chunk_files(files, recipe, workplace.tokenizer_folder, workplace.ledger, workplace.duplicate_filter)
        for start in range(0, len(chunks), _CHUNKS_AT_A_TIME):
            write(embed(chunks.slice(start, _CHUNKS_AT_A_TIME)))
