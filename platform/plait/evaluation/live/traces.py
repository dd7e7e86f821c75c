"""Answers as traces of MLflow, with what people and judges say of them as its assessments.

In: answers, scores, ratings. Out: the answers that were rated. A trace has a span of the answer and, where passages
were looked for, one of the search, in MLflow's words for both: its pages show them, and its scorers can judge them.

MLflow's fluent API would hand the spans, with what was said in them, to the OpenTelemetry collector of the environment
where there is one, and would log and swallow what fails. So they are written through the client below it, which has no
stable interface: `tests/unit/evaluation/live/test_traces.py` fails when it changes.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from plait.adapters.tracking import tracking_client
from plait.errors import NotFound
from plait.evaluation.live.answer import KeptAnswer, LiveAnswer, RatedAnswer, Rating, RoutedAnswer
from plait.evaluation.live.trace_reading import (
    ADAPTER,
    ANSWERED_BY,
    COLLECTION,
    CORRECTION,
    IS_DRAWN,
    IS_RATED,
    MADE_FROM,
    MODEL,
    OWNER,
    RATING,
    ROUTE,
    TOKENS,
    kept_answer,
    rated_answer,
    routed_answer,
    said_by_people,
)
from plait.evaluation.score import Score
from plait.settings import settings

EXPERIMENT = "plait-answers"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,140}")
_PREFIX = re.compile(r"^(chatcmpl-|msg_)")
_PREVIEW_CHARACTERS = 1000
_MAX_RATIONALE = 2000
_PAGE = 100


class AnswerTraces:
    """The answers that are kept. One thread at a time.

    Raises:
        Unavailable: on opening, when a configured tracking server does not answer.
    """

    def __init__(self) -> None:
        client = tracking_client()
        from mlflow.tracing.client import TracingClient

        self._experiment = _experiment_id(client)
        self._client = TracingClient(settings().mlflow_uri)

    def keep(self, answer: LiveAnswer) -> str:
        """Write an answer; returns the id of its trace."""
        from mlflow.entities import TraceInfo, TraceLocation, TraceState

        trace_id = f"tr-{secrets.token_hex(16)}"
        self._client.start_trace(
            TraceInfo(
                trace_id=trace_id,
                trace_location=TraceLocation.from_experiment_id(self._experiment),
                request_time=answer.started_ms,
                execution_duration=answer.took_ms,
                state=TraceState.OK,
                request_preview=answer.question[:_PREVIEW_CHARACTERS],
                response_preview=answer.reply[:_PREVIEW_CHARACTERS],
                client_request_id=answer.request_id,
                trace_metadata={
                    MODEL: answer.model,
                    ADAPTER: answer.adapter,
                    ANSWERED_BY: answer.answered_by,
                    COLLECTION: answer.collection,
                },
                tags={
                    "mlflow.traceName": f"chat {answer.model}",
                    OWNER: answer.owner,
                    IS_RATED: "no",
                    IS_DRAWN: "no" if answer.route is None or answer.route.propensity is None else "yes",
                },
            )
        )
        self._client.log_spans(self._experiment, _spans(trace_id, answer))
        return trace_id

    def add_scores(self, trace_id: str, judge: str, scores: Mapping[str, Score], is_model: bool) -> None:
        """Add what a judge says of an answer. `is_model`: whether the judge is a language model."""
        from mlflow.entities import AssessmentSource, Feedback

        source = AssessmentSource("LLM_JUDGE" if is_model else "CODE", judge)
        for name, score in scores.items():
            error = score.reason if score.value is None else None
            said = Feedback(name=name, value=score.value, error=error, source=source, rationale=_rationale(score))
            self._client.log_assessment(trace_id, said)

    def rate(self, request_id: str, owner: str | None, rating: Rating) -> str:
        """Keep a rating, in place of an earlier one; returns the model id of the answer.

        Args:
            owner: whose the answer must be; None: anybody's. Of several with this id it is the last.

        Raises:
            NotFound: when no such answer is kept.
        """
        from mlflow.entities import AssessmentSource, Expectation, Feedback

        trace = self._find(request_id, owner)
        source = AssessmentSource("HUMAN", trace.tags[OWNER])
        said = Feedback(name=RATING, value=rating.value, source=source, rationale=rating.comment or None)
        self._client.log_assessment(trace.trace_id, said)
        if rating.correction:
            corrected = Expectation(name=CORRECTION, value=rating.correction, source=source)
            self._client.log_assessment(trace.trace_id, corrected)
        self._client.set_trace_tag(trace.trace_id, IS_RATED, "yes")
        for earlier in said_by_people(trace):  # last: an answer that is marked as rated has a rating at every moment
            if earlier.name in (RATING, CORRECTION):
                self._client.delete_assessment(trace.trace_id, earlier.assessment_id)
        return str(trace.trace_metadata[MODEL])

    def find(self, request_id: str, owner: str | None) -> KeptAnswer:
        """An answer that is kept; see `rate` for `owner`.

        Args:
            request_id: of its request, or its own, as clients of OpenAI and Anthropic see it (`chatcmpl-…`, `msg_…`).

        Raises:
            NotFound: when no such answer is kept.
        """
        try:
            found = self._find(request_id, owner)
        except NotFound:
            found = self._find(_PREFIX.sub("", request_id), owner)
        return kept_answer(self._client.get_trace(found.trace_id))

    def rated(self) -> Iterator[RatedAnswer]:
        """Every answer that has a rating, oldest first."""
        yield from map(rated_answer, self._tagged(IS_RATED))

    def routed(self) -> Iterator[RoutedAnswer]:
        """Every answer of `auto` whose arm was partly left to chance, oldest first."""
        yield from map(routed_answer, self._tagged(IS_DRAWN))

    def _tagged(self, tag: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_traces(
                locations=[self._experiment],
                filter_string=f"tags.`{tag}` = 'yes'",
                order_by=["timestamp_ms ASC"],
                max_results=_PAGE,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def forget(self, max_age_days: float) -> int:
        """Delete answers that are older than so many days, with all that was said of them; returns how many."""
        oldest = time.time() - max_age_days * 24 * 60 * 60
        return int(self._client.delete_traces(self._experiment, max_timestamp_millis=int(oldest * 1000)))

    def _find(self, request_id: str, owner: str | None) -> Any:
        if not _SANE_ID.fullmatch(request_id):  # it must not end the text that it stands in below
            raise _no_answer(request_id)
        whose = "" if owner is None else f" AND tags.`{OWNER}` = '{owner}'"
        found = self._client.search_traces(
            locations=[self._experiment],
            filter_string=f"trace.client_request_id = '{request_id}'{whose}",
            order_by=["timestamp_ms DESC"],
            max_results=1,
            include_spans=False,
        )
        if not found:
            raise _no_answer(request_id)
        return found[0].info


def _no_answer(request_id: str) -> NotFound:
    return NotFound(
        f"There is no answer to a request '{request_id[:80]}' that is yours.",
        "Send the X-Request-Id of its response, with the key of its request, while it is kept.",
    )


def _experiment_id(client: Any) -> str:
    """The experiment of answers, made where it is not there."""
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(EXPERIMENT)
    if known is None:
        local = None if settings().tracking_uri else (settings().root / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=local))
        except MlflowException:  # another process made it this moment
            known = client.get_experiment_by_name(EXPERIMENT)
    return str(known.experiment_id)


def _spans(trace_id: str, answer: LiveAnswer) -> list[Any]:
    """The span of an answer, and the span of the search for it."""
    messages = [{"role": message.role, "content": message.content} for message in answer.conversation]
    root = secrets.token_hex(8)
    name = f"chat {answer.model}"
    more = {
        "location": answer.location,
        "base_model": answer.base_model,
        "collections": answer.collections,
        "generations": answer.generations,
        "tenant": answer.tenant,
    }
    attributes: dict[str, object] = {MADE_FROM: more, TOKENS: answer.tokens}
    if answer.route is not None:
        attributes[ROUTE] = asdict(answer.route)
    spans = [_span(trace_id, root, None, name, "CHAT_MODEL", {"messages": messages}, answer, more=attributes)]
    if answer.is_grounded:
        found = [
            {
                "page_content": p.text,
                "metadata": {
                    "doc_uri": p.source,
                    "chunk_id": p.chunk_id,
                    "collection": p.collection,
                    "content_hash": p.content_hash,
                },
                "id": p.chunk_id,
            }
            for p in answer.passages
        ]
        name = f"retrieval {answer.collection}"
        spans.append(_span(trace_id, secrets.token_hex(8), root, name, "RETRIEVER", answer.question, answer, found))
    return spans


def _span(
    trace_id: str,
    span_id: str,
    parent: str | None,
    name: str,
    kind: str,
    inputs: object,
    answer: LiveAnswer,
    outputs: object = None,
    more: Mapping[str, object] | None = None,
) -> Any:
    from mlflow.entities import Span

    started = answer.started_ms * 1_000_000
    said = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": kind,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": answer.reply if outputs is None else outputs,
        **(more or {}),
    }
    return Span.from_dict(
        {
            "trace_id": trace_id,
            "span_id": span_id,
            "parent_span_id": parent,
            "name": name,
            "start_time_unix_nano": started,
            "end_time_unix_nano": started + answer.took_ms * 1_000_000,
            "status": {"code": "OK", "message": ""},
            "attributes": {key: json.dumps(value) for key, value in said.items()},
        }
    )


def _rationale(score: Score) -> str:
    """What explains a score: its reason, else what did not hold."""
    wrong = "\n".join(f"{found.text}: {found.reason}" for found in score.findings if not found.holds)
    return (score.reason or wrong)[:_MAX_RATIONALE]
