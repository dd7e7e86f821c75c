"""Hybrid search is fitted to questions of which the right documents are known."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from plait.cli import app
from plait.documents.chunk import Chunk, chunk_table
from plait.index.collection import Index
from plait.index.stores.store import Store
from plait.models.encoders.load import load_embedding
from plait.models.vectors import NO_PROMPTS, Vectors
from plait.retrieval.fusion import KnownQuestion, fit_fusion
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import RetrievalPipeline
from plait.retrieval.request import DenseWeight, Retrieval

COUNT = 30
DIRECTIONS = np.eye(COUNT, 32, dtype=np.float32)


class Directions:
    """An embedding model for which a question `… about N` points at document N, whatever its other words are."""

    name, dimension, max_tokens, prompts = "model-a", 32, 512, NO_PROMPTS

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode_passages(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        raise NotImplementedError

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return DIRECTIONS[[int(text.split()[-1]) for text in texts]]


DIRECTED = RetrievalPipeline(LocalModels(Directions()))


def made(milvus: Store, texts: Sequence[str], vectors: Vectors, model: str) -> Index:
    """An index of a document `N.md` for each text."""
    index = Index.open_or_create(f"fit_{uuid4().hex}", milvus, embedding_model=model, dimension=vectors.shape[1])
    chunks = [
        Chunk(
            chunk_id=f"chunk-{i}", source=f"{i}.md", title="", heading="", text=text, position=0, start=0,
            end=len(text), chunk_count=1, content_hash="h", updated_at=i, tenant="default", metadata={},
        )
        for i, text in enumerate(texts)
    ]  # fmt: skip
    dense = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    index.upsert(chunk_table(chunks).append_column("dense", dense))
    return index


@pytest.fixture
def index(milvus: Store) -> Iterator[Index]:
    found = made(milvus, [f"word{i} and some others" for i in range(COUNT)], DIRECTIONS, "model-a")
    yield found
    found.drop()


def asked_for_the_word_of_another(step: int) -> list[KnownQuestion]:
    return [KnownQuestion(f"word{(i + step) % COUNT} about {i}", f"{i}.md") for i in range(COUNT)]


def test_where_words_mislead_meaning_gets_more_weight_and_the_index_remembers_it(milvus: Store, index: Index) -> None:
    found = fit_fusion(DIRECTED, index, asked_for_the_word_of_another(1), Retrieval())
    bm25, dense = found.single
    assert (bm25.mrr, dense.mrr) == (0, 1)
    weight = found.best.dense_weight
    assert isinstance(weight, float)
    assert weight > 0.5
    assert found.best.mrr == 1 > found.fusions[0].mrr
    index.note_dense_weight(weight)
    again = Index.open(index.name, milvus)
    assert again.dense_weight == weight

    def found_first(dense_weight: DenseWeight) -> list[str]:
        how = Retrieval(top_k=2, dense_weight=dense_weight)
        (passages,) = asyncio.run(DIRECTED.retrieve(again, ["word1 about 0"], how))
        return [passage.chunk_id for passage in passages]

    unsaid, weighted, ranked = found_first(None), found_first(weight), found_first("ranks")
    assert unsaid == weighted
    assert unsaid[0] == "chunk-0"
    assert set(ranked) == {"chunk-0", "chunk-1"}
    index.note_dense_weight(None)
    assert Index.open(index.name, milvus).dense_weight is None


class SameNumber:
    """A cross-encoder for which the document of a question's number is the right one."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [float(f"word{question.split()[-1]} " in text) for question, text in pairs]


def test_strategies_are_measured_with_the_reranking_that_is_served(index: Index) -> None:
    cross_encoder: Any = SameNumber()
    pipeline = RetrievalPipeline(LocalModels(Directions(), cross_encoder))
    misleading = asked_for_the_word_of_another(1)
    assert fit_fusion(pipeline, index, misleading, Retrieval()).fusions[0].mrr < 1
    found = fit_fusion(pipeline, index, misleading, Retrieval(rerank="cross-encoder"))
    assert [quality.mrr for quality in found.fusions] == [1] * 10
    assert found.best.strategy == "ranks"


def test_reciprocal_ranks_stay_where_no_strategy_is_surely_better(index: Index) -> None:
    found = fit_fusion(DIRECTED, index, asked_for_the_word_of_another(0), Retrieval())
    assert found.best is found.fusions[0]
    assert found.best.strategy == "ranks"


def test_a_document_is_asked_about_once_and_the_same_ones_each_time(index: Index) -> None:
    some = index.texts_at_random("default", 10)
    assert len(some) == 10
    assert some == index.texts_at_random("default", 10)
    assert all(text == f"word{source.removesuffix('.md')} and some others" for source, text in some.items())
    assert len(index.texts_at_random("default", 1000)) == COUNT
    assert index.texts_at_random("nobody", 10) == {}


@pytest.fixture
def embedded(milvus: Store, tiny_embedder: Path) -> Iterator[Index]:
    texts = [f"document number {i} tells of thing {i * 7}" for i in range(COUNT)]
    found = made(milvus, texts, load_embedding(str(tiny_embedder)).encode_passages(texts), str(tiny_embedder))
    yield found
    found.drop()


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
        (["--rerank", "cross-encoder"], "There is no cross-encoder here"),
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
