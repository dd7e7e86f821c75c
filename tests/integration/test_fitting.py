"""Hybrid search is fitted to questions of which the right documents are known."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_chunks import one_chunk_documents
from typer.testing import CliRunner

from plait.cli import app
from plait.index.collection import Index
from plait.index.stores.store import Store
from plait.models.encoders.load import load_embedding

COUNT = 30


@pytest.fixture
def embedded(milvus: Store, tiny_embedder: Path) -> Iterator[Index]:
    texts = [f"document number {i} tells of thing {i * 7}" for i in range(COUNT)]
    model = load_embedding(str(tiny_embedder))
    index = Index.open_or_create("fit", milvus, embedding_model=model.name, dimension=model.dimension)
    index.upsert(one_chunk_documents(texts, model.encode_passages(texts)))
    yield index
    index.drop()


def test_the_command_shows_all_strategies_and_keeps_the_best(milvus: Store, embedded: Index, tmp_path: Path) -> None:
    lines = [{"question": f"thing {i * 7}", "answer": "it", "source": f"{i}.md"} for i in range(COUNT)]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, [*lines, {**lines[0], "source": "elsewhere.md"}])), encoding="utf-8")
    done = CliRunner().invoke(app, ["collections", "fit", embedded.name, "--questions", str(file)])
    assert done.exit_code == 0, done.output
    assert f"{COUNT} questions" in done.output
    assert "dense_weight 0.9" in done.output
    assert f"Hybrid search of '{embedded.name}' is fused by" in done.output
    weight = Index.open(embedded.name, milvus).dense_weight
    assert f"fused by {'ranks' if weight is None else f'dense_weight {weight}'}" in done.output
    assert f"hybrid search: by {'ranks' if weight is None else f'dense_weight {weight}'}" in (
        CliRunner().invoke(app, ["collections", "show", embedded.name]).output
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--rerank", "cross-encoder"], "--rerank cross-encoder and --rerank-model go together"),
        (["--rerank", "crossencoder"], "The field 'rerank' must be 'none', 'cross-encoder' or 'late-interaction'"),
    ],
)
def test_a_reranking_that_cannot_be_done_is_refused(embedded: Index, options: list[str], complaint: str) -> None:
    done = CliRunner().invoke(app, ["collections", "fit", embedded.name, *options])
    assert complaint in str(done.exception)


def test_too_few_questions_are_refused_and_nothing_changes(milvus: Store, embedded: Index, tmp_path: Path) -> None:
    embedded.note_dense_weight(0.3)
    file = tmp_path / "questions.jsonl"
    file.write_text(json.dumps({"question": "thing 7", "answer": "it", "source": "1.md"}), encoding="utf-8")
    done = CliRunner().invoke(app, ["collections", "fit", embedded.name, "--questions", str(file)])
    assert done.exit_code != 0
    assert "There are 1 questions about documents" in str(done.exception)
    assert Index.open(embedded.name, milvus).dense_weight == 0.3
