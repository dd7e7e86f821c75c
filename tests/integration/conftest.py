"""What integration tests share: three documents, a collection, the recipe from one to the other; jobs in place."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from local_ingestion import ingestion_in_this_process
from local_training import training_in_this_process

from plait.index.collection import Index, list_collections
from plait.index.stores.store import Store
from plait.recipes import IngestRecipe


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Three documents of several chunks each, at 32 tokens a chunk."""
    folder = tmp_path / "docs"
    (folder / "guide").mkdir(parents=True)
    for name in ("a.md", "b.md", "guide/c.md"):
        sections = [f"## Part {number}\n\nsome words of {name} in part {number}" for number in range(4)]
        (folder / name).write_text(f"# Title of {name}\n\n" + "\n\n".join(sections), encoding="utf-8")
    return folder


@pytest.fixture
def collection(milvus: Store) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    yield name
    if name in list_collections(milvus):
        Index.open(name, milvus).drop()


@pytest.fixture
def recipe(docs: Path, collection: str, tiny_embedder: Path) -> IngestRecipe:
    return IngestRecipe.model_validate(
        {
            "collection": collection,
            "sources": [str(docs)],
            "chunk": {"max_tokens": 32},
            # Small batches, so that documents are cut in the middle by them.
            "embedding": {"model": str(tiny_embedder), "batch_size": 1},
        }
    )


@pytest.fixture
def ingestion_in_place(ray_cluster: None) -> Iterator[None]:
    with ingestion_in_this_process():
        yield


@pytest.fixture
def training_in_place(ray_cluster: None) -> Iterator[None]:
    with training_in_this_process():
        yield
