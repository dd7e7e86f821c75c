"""Answers that stand on retrieved passages: what is said when there are none, and how long each stage took.

In: what was retrieved, and the events of the model. Out: the events of the answer. It finds nothing and generates
nothing itself.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from plait.observability import metrics
from plait.serve.messages.calls import Call, Event, Retrieved

REFUSAL = "The documents here say nothing about that."
NOTICE = "The documents here say nothing about that; this answer is not from them.\n\n"


async def answer_from(retrieved: Retrieved, call: Call, generated: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """The events of an answer; the first says what was retrieved.

    Without passages it is a refusal, for which nothing is generated, or a notice and what the model says. An answer
    that has to be JSON, or may be a call of a tool, has no notice in it.
    """
    started = time.perf_counter()
    async with aclosing(generated):
        if retrieved.no_context == "refused":
            yield Event(REFUSAL, 0, 0, "stop", answered_by="none", retrieved=retrieved)
            return
        notice = NOTICE if retrieved.no_context == "answered" and call.is_prose else ""
        first: Retrieved | None = retrieved
        async for event in generated:
            if first is not None:
                event = replace(event, text=notice + event.text.lstrip() if notice else event.text, retrieved=first)
                first = None
            yield event
    took_s = time.perf_counter() - started
    for label in map(metrics.collection_label, retrieved.collections):
        metrics.RETRIEVAL_SECONDS.labels(collection=label, stage="generate").observe(took_s)
