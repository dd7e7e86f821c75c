"""The pipeline over models and an index that note what they are asked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from plait.errors import Conflict, InvalidInput
from plait.index.conditions import EVERY_ROW
from plait.index.passage import Passage
from plait.index.search import Hit, Search
from plait.models.vectors import NO_PROMPTS, VectorKind, Vectors
from plait.recipes import Rerank
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import Found, Query, RetrievalPipeline
from plait.retrieval.question import EmbeddedQuestions, Question
from plait.retrieval.request import Retrieval

KIND = VectorKind("model", 2)
REFUSED = 'source == "a.md"'


class Models:
    """The first letter of a question is its vector; a text scores by its last digit, by a cross-encoder minus that."""

    def __init__(self, has_cross_encoder: bool = False) -> None:
        self.has_cross_encoder = has_cross_encoder
        self.embedded: list[Sequence[str]] = []

    async def embed(self, kind: VectorKind, questions: Sequence[str]) -> EmbeddedQuestions:
        self.embedded.append(questions)
        vectors = np.array([[ord(question[0]), 0] for question in questions], np.float32)
        return EmbeddedQuestions(vectors, tuple(question.endswith("…") for question in questions))

    async def rerank(self, method: Rerank, question: str, texts: Sequence[str]) -> list[float]:
        sign = -1 if method == "cross-encoder" else 1
        return [sign * float(text[-1]) for text in texts]


class ThreeDocuments:
    """An index that finds `0`, `1` and `2` for any question, says to whom it was asked, and refuses all filters."""

    name, vectors = "three", KIND

    def __init__(self) -> None:
        self.asked: list[tuple[Search, list[str], list[float] | None]] = []

    def search(self, how: Search, texts: Sequence[str], vectors: Vectors | None) -> list[list[Hit]]:
        self.asked.append((how, list(texts), None if vectors is None else vectors[:, 0].tolist()))
        if how.condition != EVERY_ROW:
            raise InvalidInput("Milvus refuses the filter.")
        return [[Hit(passage(n)) for n in range(3)] for _ in texts]

    def around(self, passages: Sequence[Passage], reach: int, tenant: str) -> Mapping[str, Sequence[Passage]]:
        return {p.chunk_id: [p, Passage(f"after {p.chunk_id}", p.source, "", "", "…", 10, 11, 0, 1)] for p in passages}


def passage(number: int) -> Passage:
    return Passage(str(number), f"{number}.md", "", "", f"document {number}", 0, 10, 1 - number / 10)


def ids(passages: Sequence[Passage]) -> list[str]:
    return [p.chunk_id for p in passages]


async def test_each_question_gets_its_passages_and_one_without_a_word_none() -> None:
    models, index = Models(), ThreeDocuments()
    found = await RetrievalPipeline(models).retrieve(index, ["a?", "?!", "b?"], Retrieval(top_k=2))
    assert [ids(passages) for passages in found] == [["0", "1"], [], ["0", "1"]]
    assert models.embedded == [["a?", "b?"]]
    assert [asked[1:] for asked in index.asked] == [(["a?", "b?"], [97.0, 98.0])]


async def test_questions_that_are_searched_for_alike_share_a_search_and_a_bad_one_fails_alone() -> None:
    models, index = Models(), ThreeDocuments()
    hows = [Retrieval(), Retrieval(mode="bm25"), Retrieval(filter=REFUSED), Retrieval(min_score=0.95)]
    queries = [Query(index, Question(letter), how) for letter, how in zip("abcd", hows, strict=True)]
    found = await RetrievalPipeline(models).find(queries)
    assert models.embedded == [["a", "c", "d"]]
    assert sorted(asked[1:] for asked in index.asked) == [(["a", "d"], [97, 100]), (["b"], None), (["c"], [99])]
    assert [isinstance(of_query, Found) for of_query in found] == [True, True, False, True]
    assert isinstance(found[2], InvalidInput)
    assert set(queries[0].timings_ms) == {"embed", "search"}
    assert set(queries[1].timings_ms) == {"search"}


async def test_a_filter_that_is_none_is_refused_before_anything_is_embedded() -> None:
    models, index = Models(), ThreeDocuments()
    with pytest.raises(InvalidInput):
        await RetrievalPipeline(models).retrieve(index, ["a"], Retrieval(filter="no filter"))
    assert (models.embedded, index.asked) == ([], [])


async def test_a_question_that_the_model_did_not_read_whole_is_said_to_be_cut() -> None:
    queries = [Query(ThreeDocuments(), Question(text), Retrieval()) for text in ("a", "b…")]
    found = await RetrievalPipeline(Models()).find(queries)
    assert [of_query.is_cut for of_query in found if isinstance(of_query, Found)] == [False, True]


@pytest.mark.parametrize(
    ("rerank", "expected"),
    [("none", ["0", "1", "2"]), ("late-interaction", ["2", "1", "0"]), ("cross-encoder", ["0", "1", "2"])],
)
async def test_what_is_found_is_ranked_anew_by_the_method_asked_for(rerank: Rerank, expected: list[str]) -> None:
    pipeline = RetrievalPipeline(Models(has_cross_encoder=True))
    (passages,) = await pipeline.retrieve(ThreeDocuments(), ["a"], Retrieval(rerank=rerank))
    assert ids(passages) == expected
    assert (passages[0].score == 0) == (rerank == "cross-encoder")


async def test_passages_are_expanded_by_what_is_around_them() -> None:
    how = Retrieval(top_k=1, expand=1)
    query = Query(ThreeDocuments(), Question("a"), how)
    expanded = await RetrievalPipeline(Models()).choose([query], [Found([Hit(passage(0))])])
    assert [p.text for p in expanded] == ["document 0…"]
    assert "expand" in query.timings_ms


class Tickets(ThreeDocuments):
    name = "tickets"


def hits_in(index: ThreeDocuments, *scores: float) -> Found:
    """What was found in an index, in its order."""
    found = [Passage(f"{n} {index.name}", "", "", "", f"{n} {index.name}", 0, 10, s) for n, s in enumerate(scores)]
    return Found([Hit(replace(passage, collection=index.name)) for passage in found])


async def test_a_question_to_two_collections_gets_the_best_of_both_each_with_what_is_around_it() -> None:
    three, tickets = ThreeDocuments(), Tickets()
    queries = [Query(index, Question("a"), Retrieval(top_k=3, expand=1)) for index in (three, tickets)]
    found = [hits_in(three, 0.9, 0.8, 0.7), hits_in(tickets, 0.3, 0.2, 0.1)]
    passages = await RetrievalPipeline(Models()).choose(queries, found)
    assert [p.text for p in passages] == ["0 three…", "1 three…", "2 three…"]
    # What a collection puts first, as by its words, stays before what has a better score.
    passages = await RetrievalPipeline(Models()).choose(queries, [found[0], hits_in(tickets, 0.4, 0.85, 0.1)])
    assert [p.text for p in passages] == ["0 three…", "0 tickets…", "1 tickets…"]
    assert [p.collection for p in passages] == ["three", "tickets", "tickets"]


async def test_a_cross_encoder_that_is_not_there_is_refused_before_anything_is_searched() -> None:
    index = ThreeDocuments()
    with pytest.raises(InvalidInput, match=r"no cross-encoder here\. Use rerank: late-interaction or none"):
        await RetrievalPipeline(Models()).retrieve(index, ["a"], Retrieval(rerank="cross-encoder"))
    assert index.asked == []


async def test_an_error_of_the_search_reaches_who_asks() -> None:
    with pytest.raises(InvalidInput, match="refuses the filter"):
        await RetrievalPipeline(Models()).retrieve(ThreeDocuments(), ["a"], Retrieval(filter=REFUSED))


class OtherModel:
    """An embedding model that did not make the index's vectors."""

    name, dimension, max_tokens, prompts = "other", 2, 8, NO_PROMPTS

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode_passages(self, texts: Sequence[str], batch_size: int = 32) -> Vectors:
        raise NotImplementedError

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        raise NotImplementedError


async def test_a_loaded_model_refuses_an_index_of_another() -> None:
    pipeline = RetrievalPipeline(LocalModels(OtherModel()))
    with pytest.raises(Conflict, match=r"was made with 'model' \(2 dimensions\), not with 'other'"):
        await pipeline.retrieve(ThreeDocuments(), ["a"], Retrieval())
    with pytest.raises(InvalidInput, match="'other' gives no vectors of tokens"):
        await pipeline.retrieve(ThreeDocuments(), ["a"], Retrieval(mode="bm25", rerank="late-interaction"))
