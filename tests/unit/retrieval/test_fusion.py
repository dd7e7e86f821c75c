"""Hybrid search is fitted to questions of which the right documents are known, and which a model may write."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from made_chunks import one_chunk_documents

from plait.index.collection import Index
from plait.index.stores.memory import MemoryStore
from plait.index.stores.store import Store
from plait.models.generate import Generated
from plait.models.message import Message
from plait.models.vectors import NO_PROMPTS, Vectors
from plait.retrieval.fusion import KnownQuestion, fit_fusion, write_question
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import RetrievalPipeline
from plait.retrieval.request import DenseWeight, Retrieval

COUNT = 30
DIRECTIONS = np.eye(COUNT, 32, dtype=np.float32)


class Says:
    """A model that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked = ""

    async def generate(self, messages: Sequence[Message], max_tokens: int, json_schema: Any = None) -> Generated:
        self.asked = messages[-1].content
        return Generated(self.text, is_cut=False, prompt_tokens=None, generated_tokens=None)


async def test_what_a_model_writes_is_taken_where_it_is_a_question() -> None:
    model = Says("Sure:\n What is a fox? \nIt is.")
    assert await write_question("a.md", "A fox.", model) == KnownQuestion("What is a fox?", "a.md")
    assert model.asked.endswith("A fox.")
    assert await write_question("b.md", "B.", Says("No question.")) is None


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


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest.fixture
def index(store: Store) -> Index:
    """A document `N.md` in each direction."""
    index = Index.open_or_create("fit", store, embedding_model="model-a", dimension=32)
    index.upsert(one_chunk_documents([f"word{i} and some others" for i in range(COUNT)], DIRECTIONS))
    return index


def asked_for_the_word_of_another(step: int) -> list[KnownQuestion]:
    return [KnownQuestion(f"word{(i + step) % COUNT} about {i}", f"{i}.md") for i in range(COUNT)]


def test_where_words_mislead_meaning_gets_more_weight_and_the_index_remembers_it(store: Store, index: Index) -> None:
    found = fit_fusion(DIRECTED, index, asked_for_the_word_of_another(1), Retrieval())
    bm25, dense = found.single
    assert (bm25.mrr, dense.mrr) == (0, 1)
    weight = found.best.dense_weight
    assert isinstance(weight, float)
    assert weight > 0.5
    assert found.best.mrr == 1 > found.fusions[0].mrr
    index.note_dense_weight(weight)
    again = Index.open(index.name, store)
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
    assert Index.open(index.name, store).dense_weight is None


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
