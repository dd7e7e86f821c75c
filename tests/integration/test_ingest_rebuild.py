import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from plait.errors import CollectionNotFound, Conflict, DataError, PlaitError
from plait.index.collection import Index, list_collections
from plait.index.search import Search
from plait.index.stores.connect import connect_store
from plait.jobs.ingest.job import ingest
from plait.jobs.ingest.rebuild import Rebuild
from plait.recipes import IngestRecipe

pytestmark = pytest.mark.usefixtures("ingestion_in_place")


def changed(recipe: IngestRecipe, **fields: object) -> IngestRecipe:
    return IngestRecipe.model_validate(recipe.model_dump() | fields)


def opened(recipe: IngestRecipe) -> Index:
    return Index.open(recipe.collection, connect_store())


def generations(recipe: IngestRecipe) -> list[str]:
    """Milvus's own collections of an index."""
    return sorted(name for name in connect_store().collections() if name.startswith(recipe.collection))


class Searcher(threading.Thread):
    """Searches without a pause, and opens the index again when its collection is gone, as serving does."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.counts: list[int] = []
        self.reopened = 0
        self.error: BaseException | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            index = Index.open(self._name, connect_store())
            while not self._stopped.is_set():
                try:
                    (hits,) = index.search(Search(1000), vectors=np.ones((1, index.dimension), np.float32))
                except CollectionNotFound:
                    index = Index.open(self._name, connect_store())
                    self.reopened += 1
                    continue
                self.counts.append(len(hits))
                time.sleep(0.01)
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        if self.error is not None:
            raise self.error


def test_a_rebuilt_index_takes_its_place_whole_while_it_is_searched(recipe: IngestRecipe, docs: Path) -> None:
    before = ingest(recipe).chunks_written
    assert generations(recipe) == [f"{recipe.collection}__1"]
    searcher = Searcher(recipe.collection)
    searcher.start()
    report = ingest(changed(recipe, chunk={"max_tokens": 64}), rebuild=True)
    deadline = time.monotonic() + 30  # a busy machine may take its time for the next search
    while report.chunks_written not in searcher.counts and searcher.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    searcher.stop()
    assert report.written == 3
    assert generations(recipe) == [f"{recipe.collection}__2"]
    assert opened(recipe).chunking.chunk.max_tokens == 64
    assert recipe.collection in list_collections(connect_store())
    # Every search saw one index or the other, and never a part of one.
    assert report.chunks_written < before
    assert set(searcher.counts) == {before, report.chunks_written}
    assert searcher.reopened == 1


def test_a_rebuild_that_fails_leaves_the_index_and_is_taken_up_again(
    recipe: IngestRecipe, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = ingest(recipe).chunks_written
    (docs / "bad.md").write_bytes(b"\0")
    with pytest.raises(DataError, match="The index is as it was"):
        ingest(recipe, rebuild=True)
    assert opened(recipe).generation == 1
    assert opened(recipe).stats().chunk_count == chunks

    # What it wrote is taken up: only the check was missing.
    (docs / "bad.md").unlink()
    assert generations(recipe) == [f"{recipe.collection}__1", f"{recipe.collection}__2"]
    with monkeypatch.context() as patch:
        patch.setattr("plait.local.ray_head.connect", lambda: pytest.fail("Ray was started"))
        assert ingest(recipe, rebuild=True).unchanged == 3
    assert opened(recipe).generation == 2
    assert generations(recipe) == [f"{recipe.collection}__2"]


def test_an_index_whose_searches_find_nothing_does_not_take_its_place(
    recipe: IngestRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(recipe)
    monkeypatch.setattr(Index, "search", lambda self, how, vectors: [[] for _ in vectors])
    with pytest.raises(PlaitError, match="0 of 3 searches"):
        ingest(recipe, rebuild=True)
    assert generations(recipe) == [f"{recipe.collection}__1"]


def test_a_rebuild_may_change_the_embedding_model_and_starts_anew_with_a_third(
    recipe: IngestRecipe, tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(recipe)
    others = [str(shutil.copytree(tiny_embedder, tmp_path / name)) for name in ("second", "third")]
    with monkeypatch.context() as patch:
        patch.setattr(Rebuild, "finish", lambda *_: pytest.fail("stop here"))
        with pytest.raises(pytest.fail.Exception):
            ingest(changed(recipe, embedding={"model": others[0]}), rebuild=True)
    assert opened(recipe).embedding_model == str(tiny_embedder)
    assert ingest(changed(recipe, embedding={"model": others[1]}), rebuild=True).written == 3
    assert opened(recipe).embedding_model == others[1]


def test_a_rebuild_that_would_lose_documents_is_refused(recipe: IngestRecipe, docs: Path) -> None:
    ingest(recipe)
    (docs / "a.md").unlink()
    with pytest.raises(Conflict, match=r"1 documents that are not in the sources, as 'a\.md'"):
        ingest(changed(recipe, sync=False), rebuild=True)
    (docs / "b.md").write_bytes(b"\0")
    with pytest.raises(Conflict, match=r"1 documents that collection .* cannot be read now, as 'b\.md'"):
        ingest(changed(recipe, max_bad_share=1.0), rebuild=True)
    (docs / "b.md").write_text("# B\n\nreadable again", encoding="utf-8")
    ingest(changed(recipe, tenant="other"))
    with pytest.raises(Conflict, match="also holds documents of other"):
        ingest(recipe, rebuild=True)


def test_a_first_index_is_seen_when_it_is_whole(recipe: IngestRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Rebuild, "finish", lambda *_: pytest.fail("stop here"))
        with pytest.raises(pytest.fail.Exception):
            ingest(recipe, rebuild=True)
    assert recipe.collection not in list_collections(connect_store())
    ingest(recipe, rebuild=True)
    assert opened(recipe).stats().documents_by_tenant == {"default": 3}
