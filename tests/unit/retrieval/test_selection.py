from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from plait.errors import InvalidInput
from plait.index.conditions import Equals, Field
from plait.index.passage import Passage
from plait.index.search import Hit
from plait.retrieval.request import Retrieval
from plait.retrieval.selection import reranked, selected


def hit(name: str, score: float, source: str = "a.md", direction: int = 0) -> Hit:
    return Hit(
        Passage(name, source, "", "", f"the text of {name}", 0, 9, score), np.eye(4, dtype=np.float32)[direction]
    )


def names(hits: list[Hit], **how: object) -> list[str]:
    return [passage.chunk_id for passage in selected(hits, Retrieval.model_validate(how))]


def test_what_a_request_sets_comes_before_what_the_server_says() -> None:
    server = Retrieval(top_k=5, mode="bm25", min_score=0.3, tenant="ours")
    assert Retrieval().over(server) == server
    assert Retrieval(top_k=2, min_score=None).over(server) == server.model_copy(update={"top_k": 2, "min_score": None})
    assert Retrieval(mode="dense").over(server).mode == "dense"


@pytest.mark.parametrize(
    "field", [{"k": 1}, {"top_k": 51}, {"tenant": ""}, {"filter": "x" * 2001}, {"dense_weight": 2}]
)
def test_a_wrong_field_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Retrieval.model_validate(field)


def test_more_is_searched_for_than_is_given_where_there_is_a_choice_to_make() -> None:
    assert Retrieval(top_k=3).search().top_k == 6
    assert Retrieval(top_k=3, rerank="late-interaction").search().top_k == 20
    assert Retrieval(top_k=10, max_per_source=1).search().top_k == 40
    assert Retrieval(mmr=0.5).search().with_vectors
    # Requests that search alike must be alike, to share a search.
    assert Retrieval(top_k=3, min_score=0.1).search() == Retrieval(top_k=3).search()


def test_a_filter_is_a_text_or_a_condition_that_was_read_before() -> None:
    condition = Equals(Field("source"), "a.md")
    assert Retrieval(filter='source == "a.md"').search().condition == condition
    assert Retrieval(filter=condition).over(Retrieval(top_k=7)).search().condition == condition
    with pytest.raises(InvalidInput, match="there is no field 'x'"):
        Retrieval(filter="x == 1").search()
    with pytest.raises(ValidationError):
        Retrieval.model_validate_json('{"filter": {"field": {"name": "source"}, "value": "a.md"}}')
    assert Retrieval.model_json_schema()["properties"]["filter"]["type"] == "string"


def test_scores_are_weighed_where_there_are_two() -> None:
    assert Retrieval().search().dense_weight is None
    assert Retrieval(dense_weight=0.6).search().dense_weight == 0.6
    assert Retrieval(mode="dense", dense_weight=0.6).search() == Retrieval(mode="dense").search()


def test_passages_are_selected_by_score_source_and_number() -> None:
    hits = [hit("a", 0.9), hit("b", 0.8), hit("c", 0.7, "b.md"), hit("d", 0.2, "c.md")]
    assert names(hits, top_k=3) == ["a", "b", "c"]
    assert names(hits, top_k=3, max_per_source=1) == ["a", "c", "d"]
    assert names(hits, top_k=3, max_per_source=1, min_score=0.5) == ["a", "c"]
    assert names(hits, min_score=0.95) == []


def test_diverse_passages_are_selected_by_their_vectors() -> None:
    hits = [hit("a", 0.9), hit("b", 0.8), hit("c", 0.7, direction=1)]
    assert names(hits, top_k=2, mmr=0.4) == ["a", "c"]
    assert names(hits, top_k=2, mmr=1.0) == ["a", "b"]


def test_the_same_text_is_selected_once() -> None:
    twin = hit("twin", 0.8)
    twin = replace(twin, passage=replace(twin.passage, text="the text of a"))
    assert names([hit("a", 0.9), twin, hit("b", 0.5)], top_k=2) == ["a", "b"]


def test_a_reranker_gives_order_and_scores() -> None:
    found = reranked([hit("a", 0.9), hit("b", 0.8), hit("c", 0.7)], [-1.0, 2.0, 2.0])
    assert [(h.passage.chunk_id, h.passage.score) for h in found] == [("b", 2.0), ("c", 2.0), ("a", -1.0)]
