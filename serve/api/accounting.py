"""Every request counted, timed, logged and traced, whichever way it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from opentelemetry.trace import INVALID_SPAN, Span

from plait.errors import ModelNotFound
from plait.observability import metrics, tracing
from plait.serve.api.errors import as_plait_error
from plait.serve.api.generation_span import Content, describe_answer, describe_request
from plait.serve.api.merged_events import Indexed
from plait.serve.messages.arguments import PriceOf, no_price
from plait.serve.messages.calls import Call, Event, Retrieved, answering
from plait.serve.messages.request_log import RequestLog
from plait.settings import settings


def _labels(call: Call, first: Event | None = None) -> tuple[str, str]:
    """The id that was asked for, and the adapter that answers."""
    adapter = answering(call, first).adapter
    return metrics.model_label(str(call.model)), metrics.adapter_label(adapter.name if adapter else "")


def _observe_ages(retrieved: Retrieved, model: str) -> None:
    """How old what an answer is given from is, by the indexes that it was searched in."""
    for collection, in_step_at in retrieved.in_step_at.items():
        age_s = max(0.0, time.time() - in_step_at)
        metrics.ANSWER_INDEX_AGE_SECONDS.labels(model, metrics.collection_label(collection)).observe(age_s)


class _Pace:
    """Times between the tokens of one answer."""

    def __init__(self, model: str, adapter: str) -> None:
        self._histogram = metrics.INTER_TOKEN_SECONDS.labels(model, adapter)
        self._at = time.perf_counter()
        self._tokens = 0

    def take(self, event: Event) -> None:
        now, new = time.perf_counter(), event.generated_tokens - self._tokens
        if self._tokens:
            for _ in range(new):  # tokens of one piece share its time
                self._histogram.observe((now - self._at) / new)
        self._at, self._tokens = now, event.generated_tokens


async def recorded(
    calls: Sequence[Call],
    events: AsyncGenerator[Indexed],
    span: Span = INVALID_SPAN,
    n: int = 1,
    price_of: PriceOf = no_price,
) -> AsyncGenerator[Indexed]:
    """Pass the events of a request's choices on; record time to first token, duration, tokens, cost and outcome.

    Outcomes: `ok`, `cancelled` (the client left), or an error's code. `calls`: one a prompt, all of one model, `n`
    choices of each. `span`: the request's, which is told the same in the words of OpenTelemetry's conventions for
    generative AI. `price_of`: of the tokens of a model id.
    """
    call = calls[0]
    model, adapter = "unknown", ""  # until it answers: names that anybody may invent must not become series
    started = time.perf_counter()
    outcome, tenant, price = "cancelled", None, None
    last: dict[int, Event] = {}
    paces: dict[int, _Pace] = {}
    log = RequestLog("ingress", call)
    content = Content(calls) if settings().log_content else None
    describe_request(span, call)
    metrics.REQUESTS_UNDER_WAY.inc()
    try:
        async with aclosing(events):
            async for index, event in events:
                if not last:
                    model, adapter = _labels(call, event)
                    price = price_of(answering(call, event))
                    log.first_token()
                    ttft_s = time.perf_counter() - started
                    metrics.TTFT.labels(model, adapter).observe(ttft_s)
                    span.set_attribute("gen_ai.response.time_to_first_chunk", ttft_s)
                    if event.retrieved is not None:
                        tenant = event.retrieved.how.tenant
                        _observe_ages(event.retrieved, model)
                    metrics.QUEUE_SECONDS.labels(model, adapter).observe(event.queue_s)
                if index not in paces:
                    paces[index] = _Pace(model, adapter)
                paces[index].take(event)
                last[index] = event
                if content is not None:
                    content.add(index, event)
                yield index, event
        outcome = "ok"
    except asyncio.CancelledError:
        raise
    except Exception as error:
        known = as_plait_error(error)
        outcome = known.code
        if not last and not isinstance(known, ModelNotFound):
            model, adapter = _labels(call)
        raise
    finally:
        ends = list(last.values())
        generated = sum(event.generated_tokens for event in ends)
        prompts = sum(event.prompt_tokens for index, event in last.items() if index % n == 0)
        metrics.REQUESTS_UNDER_WAY.dec()
        metrics.REQUESTS.labels(model, adapter, outcome).inc()
        if ends:
            metrics.REQUEST_SECONDS.labels(model, adapter).observe(time.perf_counter() - started)
            metrics.PROMPT_TOKENS.labels(model, adapter).inc(prompts)
            metrics.GENERATED_TOKENS.labels(model, adapter).inc(generated)
            if price is not None:
                metrics.ANSWER_COST.labels(model, adapter).inc(price.cost(prompts, generated))
        for reason in (event.finish_reason for event in ends if event.finish_reason):
            metrics.SUCCESSES.labels(model, adapter, reason).inc()
        log.end(outcome, ends, tenant, content.texts() if content else None)
        describe_answer(span, ends, tenant, content)
        if outcome != "ok":
            tracing.fail(span, outcome)
