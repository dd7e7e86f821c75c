"""Answers and ratings read back out of traces of MLflow, as `traces.py` writes them.

In: a trace. Out: an answer. What an earlier version of Plait did not write is empty.
"""

from typing import Any

from plait.evaluation.live.answer import KeptAnswer, LivePassage, RatedAnswer, Rating, RoutedAnswer
from plait.evaluation.live.route import Route
from plait.models.message import Message

RATING, CORRECTION = "rating", "expected_response"
"""Names of assessments; the second is the one that MLflow's own scorers read."""
OWNER, IS_RATED, IS_DRAWN = "plait.owner", "plait.is_rated", "plait.has_propensity"
"""Tags of a trace."""
MODEL, ADAPTER, ANSWERED_BY, COLLECTION = "plait.model", "plait.adapter", "plait.answered_by", "plait.collection"
"""Metadata of a trace, whose values MLflow cuts after 250 characters."""
MADE_FROM = "plait.made_from"
"""Attribute of the first span: what the answer was made from, as far as nothing else in the trace says it."""
ROUTE, TOKENS = "plait.route", "plait.tokens"
"""Attributes of the first span, too: how `auto` came to the arm, where it was asked; tokens read and written."""


def rated_answer(trace: Any) -> RatedAnswer:
    """The answer of a trace that has a rating."""
    by_name = {said.name: said for said in said_by_people(trace.info)}
    corrected = by_name.get(CORRECTION)
    root = _root(trace)
    return RatedAnswer(
        model=trace.info.trace_metadata[MODEL],
        conversation=tuple(Message(said["role"], said["content"]) for said in root.inputs["messages"]),
        reply=root.outputs,
        passages=_passages(trace),
        rating=Rating(
            float(by_name[RATING].value),
            str(corrected.expectation.value) if corrected else "",
            by_name[RATING].rationale or "",
        ),
    )


def kept_answer(trace: Any) -> KeptAnswer:
    """The answer of a trace."""
    root = _root(trace)
    made_from, route = root.attributes.get(MADE_FROM, {}), root.attributes.get(ROUTE)
    metadata = trace.info.trace_metadata
    numbers = [each for each in trace.info.assessments if isinstance(each.value, int | float)]
    return KeptAnswer(
        request_id=trace.info.client_request_id,
        trace_id=trace.info.trace_id,
        model=metadata[MODEL],
        adapter=metadata[ADAPTER],
        answered_by=metadata[ANSWERED_BY],
        location=made_from.get("location", ""),
        base_model=made_from.get("base_model", ""),
        collections=tuple(made_from.get("collections", filter(None, metadata[COLLECTION].split(", ")))),
        generations=made_from.get("generations", {}),
        tenant=made_from.get("tenant", ""),
        question=root.inputs["messages"][-1]["content"],
        passages=_passages(trace),
        started_ms=trace.info.request_time,
        said={each.name: float(each.value) for each in sorted(numbers, key=lambda each: each.create_time_ms)},
        route=None if route is None else _route(route),
    )


def routed_answer(trace: Any) -> RoutedAnswer:
    """The answer of a trace that has a route."""
    root = _root(trace)
    numbers = [each for each in trace.info.assessments if isinstance(each.value, int | float)]
    return RoutedAnswer(
        question=root.inputs["messages"][-1]["content"],
        route=_route(root.attributes[ROUTE]),
        scores={each.name: float(each.value) for each in sorted(numbers, key=lambda each: each.create_time_ms)},
        tokens=root.attributes[TOKENS],
    )


def _route(said: dict[str, Any]) -> Route:
    return Route(**said | {"candidates": tuple(said["candidates"])})


def said_by_people(trace_info: Any) -> list[Any]:
    """Assessments of people, oldest first."""
    said = [each for each in trace_info.assessments if each.source.source_type == "HUMAN"]
    return sorted(said, key=lambda each: each.create_time_ms)


def _root(trace: Any) -> Any:
    return next(span for span in trace.data.spans if span.parent_id is None)


def _passages(trace: Any) -> tuple[LivePassage, ...]:
    found = [document for span in trace.data.spans if span.span_type == "RETRIEVER" for document in span.outputs]
    return tuple(
        LivePassage(
            document["page_content"],
            document["metadata"]["doc_uri"],
            document["id"],
            collection=document["metadata"].get("collection", ""),
            content_hash=document["metadata"].get("content_hash", ""),
        )
        for document in found
    )
