"""Answers in MLflow: kept, scored, rated, found by whom they are for, forgotten."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from evaluation.live.rated_answers import PASSAGES, QUESTION, REPLY, live

from plait.adapters.tracking import tracking_client
from plait.errors import NotFound
from plait.evaluation.live.answer import LiveAnswer, RatedAnswer, Rating, RoutedAnswer, is_drawn
from plait.evaluation.live.route import Route
from plait.evaluation.live.traces import EXPERIMENT, AnswerTraces
from plait.evaluation.score import Finding, Score, unsaid
from plait.models.message import Message

NOW_MS = int(time.time() * 1000)
ALL = -36_500.0
"""An age in days: other tests keep answers of days to come."""


@pytest.fixture
def traces() -> Iterator[AnswerTraces]:
    opened = AnswerTraces()
    opened.forget(max_age_days=ALL)
    yield opened
    opened.forget(max_age_days=ALL)


def test_a_rated_answer_comes_back_as_it_was_given(traces: AnswerTraces) -> None:
    answer = live(conversation=(Message("system", "Be \U0001f600."), Message("user", QUESTION)), started_ms=NOW_MS)
    traces.keep(answer)
    traces.keep(live("r-2", started_ms=NOW_MS))
    assert list(traces.rated()) == []
    assert traces.rate("r-1", "anybody", Rating(0.25, "It is 2.61.0.", "Too old.")) == "rag/support"
    expected = RatedAnswer(
        "rag/support", answer.conversation, REPLY, PASSAGES, Rating(0.25, "It is 2.61.0.", "Too old.")
    )
    assert list(traces.rated()) == [expected]


def test_a_later_rating_takes_the_place_of_an_earlier_one(traces: AnswerTraces) -> None:
    traces.keep(live(started_ms=NOW_MS))
    traces.rate("r-1", "anybody", Rating(0.0, "wrong"))
    traces.rate("r-1", "anybody", Rating(1.0))
    (rated,) = traces.rated()
    assert rated.rating == Rating(1.0)


def test_an_answer_is_rated_by_its_owner_and_by_who_may_rate_all(traces: AnswerTraces) -> None:
    traces.keep(live(owner="a" * 32, started_ms=NOW_MS))
    for request_id, owner in (("r-1", "b" * 32), ("r-2", "a" * 32), ("r-2", None)):
        with pytest.raises(NotFound, match=f"There is no answer to a request '{request_id}'"):
            traces.rate(request_id, owner, Rating(1.0))
    traces.rate("r-1", "a" * 32, Rating(1.0))
    traces.rate("r-1", None, Rating(0.5))
    assert [each.rating.value for each in traces.rated()] == [0.5]


def test_of_two_answers_with_one_id_the_last_is_rated(traces: AnswerTraces) -> None:
    traces.keep(live(reply="first", started_ms=NOW_MS))
    traces.keep(live(reply="second", started_ms=NOW_MS + 1))
    traces.rate("r-1", "anybody", Rating(1.0))
    assert [each.reply for each in traces.rated()] == ["second"]


def test_scores_are_assessments_that_mlflow_shows(traces: AnswerTraces) -> None:
    trace_id = traces.keep(live(started_ms=NOW_MS))
    claims = (Finding("It is 3.0.", False, "No passage says so."), Finding("It is there.", True))
    scores = {"faithfulness": Score(0.5, findings=claims), "answer_relevance": unsaid("The reply is too short.")}
    traces.add_scores(trace_id, "lexical", scores, is_model=False)
    client = tracking_client()
    trace = client.get_trace(trace_id)
    said = {each.name: each for each in trace.info.assessments}
    assert (said["faithfulness"].value, said["faithfulness"].source.source_type) == (0.5, "CODE")
    assert said["faithfulness"].rationale == "It is 3.0.: No passage says so."
    assert said["answer_relevance"].value is None
    assert said["answer_relevance"].error.error_message == "The reply is too short."
    assert trace.info.experiment_id == client.get_experiment_by_name(EXPERIMENT).experiment_id
    assert [span.span_type for span in trace.data.spans] == ["CHAT_MODEL", "RETRIEVER"]
    assert (trace.info.request_preview, trace.info.response_preview) == (QUESTION, REPLY)


def test_old_answers_are_forgotten_with_their_ratings(traces: AnswerTraces) -> None:
    def kept(request_id: str, age_days: float) -> LiveAnswer:
        return live(request_id, started_ms=NOW_MS - int(age_days * 86_400_000))

    traces.keep(kept("old", 3))
    traces.keep(kept("young", 1))
    traces.rate("old", None, Rating(1.0))
    assert traces.forget(max_age_days=2) == 1
    assert list(traces.rated()) == []
    assert traces.rate("young", None, Rating(1.0))


def test_more_ratings_than_a_page_holds_are_all_read(traces: AnswerTraces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.evaluation.live.traces._PAGE", 2)
    for number in range(5):
        traces.keep(live(f"r-{number}", reply=str(number), started_ms=NOW_MS + number))
        traces.rate(f"r-{number}", None, Rating(1.0))
    assert [each.reply for each in traces.rated()] == ["0", "1", "2", "3", "4"]


def test_a_share_of_requests_is_drawn_the_same_everywhere() -> None:
    ids = [f"request-{number}" for number in range(2000)]
    drawn = [each for each in ids if is_drawn(each, 0.1)]
    assert 150 < len(drawn) < 250
    assert set(drawn) <= {each for each in ids if is_drawn(each, 0.2)}
    assert not any(is_drawn(each, 0.0) for each in ids)
    assert all(is_drawn(each, 1.0) for each in ids)


def test_an_answer_whose_arm_was_left_to_chance_comes_back_with_how_likely_it_was(traces: AnswerTraces) -> None:
    drawn = Route(
        arm="rag/support:3",
        policy="support:2",
        reason="It was drawn at random.",
        probabilities={"rag/support:3": 0.7},
        expected_tokens=230.0,
        is_explored=True,
        propensity=0.05,
        candidates=("base", "rag/support:3"),
        collection="docs",
        language="de",
        key="batch",
    )
    trace_id = traces.keep(live(model="auto", route=drawn, tokens=250, started_ms=NOW_MS))
    traces.keep(live("r-2", model="auto", route=replace(drawn, propensity=None), started_ms=NOW_MS))
    traces.keep(live("r-3", started_ms=NOW_MS))
    traces.add_scores(trace_id, "lexical", {"faithfulness": Score(0.5), "relevance": unsaid("Nobody knows.")}, False)
    traces.rate("r-1", None, Rating(1.0, "It is 2.61.0."))
    assert list(traces.routed()) == [RoutedAnswer(QUESTION, drawn, {"faithfulness": 0.5, "rating": 1.0}, 250)]
