from collections.abc import AsyncGenerator
from typing import Literal

import pytest

from plait.engines.engine import Sampling
from plait.index.passage import Passage
from plait.model_ids import ModelId
from plait.models.message import Message
from plait.observability import metrics
from plait.retrieval.request import Retrieval
from plait.serve.api.grounding import NOTICE, REFUSAL, answer_from
from plait.serve.messages.calls import Call, Event, Retrieved

FOUND = Passage("c1", "ray.md", "ray", "", "ray 2.60.0", 0, 10, 0.9)


class Model:
    """Says "well yes" in two events, and whether it was asked."""

    def __init__(self) -> None:
        self.is_asked = False

    async def events(self) -> AsyncGenerator[Event]:
        self.is_asked = True
        yield Event(" well", 5, 1, answered_by="base")
        yield Event(" yes", 5, 2, "stop", answered_by="base")


def retrieved(*passages: Passage, no_context: Literal["refused", "answered"] | None = None) -> Retrieved:
    return Retrieved(passages, ("grounding",), Retrieval(), {"total": 1.0}, no_context)


async def answer(found: Retrieved, model: Model, json_schema: str | None = None) -> list[Event]:
    call = Call(ModelId.parse("rag/base"), Sampling(max_tokens=8, json_schema=json_schema), (Message("user", "so?"),))
    return [event async for event in answer_from(found, call, model.events())]


async def test_the_first_event_says_what_was_retrieved() -> None:
    found = retrieved(FOUND)
    first, last = await answer(found, Model())
    assert (first.text, first.retrieved, last.text, last.retrieved) == (" well", found, " yes", None)


async def test_a_refusal_says_so_and_nothing_is_generated() -> None:
    model = Model()
    (only,) = await answer(retrieved(no_context="refused"), model)
    assert (only.text, only.finish_reason, only.answered_by) == (REFUSAL, "stop", "none")
    assert (only.passages, only.generated_tokens) == ((), 0)
    assert not model.is_asked


@pytest.mark.parametrize(("schema", "text"), [(None, NOTICE + "well yes"), ("{}", " well yes")])
async def test_an_answer_without_passages_begins_with_a_notice_unless_it_is_json(schema: str | None, text: str) -> None:
    events = await answer(retrieved(no_context="answered"), Model(), schema)
    assert "".join(event.text for event in events) == text


async def test_the_time_of_generating_is_a_stage() -> None:
    stage = metrics.RETRIEVAL_SECONDS.labels(collection="grounding", stage="generate")
    before = sum(s.value for s in stage.collect()[0].samples if s.name.endswith("_count"))
    await answer(retrieved(FOUND), Model())
    assert sum(s.value for s in stage.collect()[0].samples if s.name.endswith("_count")) == before + 1
