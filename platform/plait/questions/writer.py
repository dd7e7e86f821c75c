"""A model that finds facts, writes questions, and tries them. It is believed only as far as the text bears it out.

In: passages, facts, questions. Out: facts whose answer stands in its passage, wordings, and attempts to answer. A reply
that cannot be read costs that one fact or question, and is counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from plait.documents.chunk import Chunk
from plait.evaluation.answers import is_correct, tokens
from plait.evaluation.judges.asking import ask_json
from plait.evaluation.judges.prompts import Inquiry
from plait.evaluation.judges.replies import is_refusal
from plait.evaluation.score import JudgeUse
from plait.models.generate import Generate
from plait.questions import prompts
from plait.questions.fact import AskedFact, Fact, Unanswerable
from plait.questions.places import around

_T = TypeVar("_T")


@dataclass(frozen=True)
class WrittenFact:
    """A fact as a model gave it, not yet looked for in its passage."""

    passage: Chunk
    entity: str
    question: str
    answer: str


class Writer:
    """Asks a model, so many requests at once.

    Args:
        model: writes and answers.
        concurrency: requests under way.
    """

    def __init__(self, model: Generate, concurrency: int) -> None:
        self._model, self._places = model, asyncio.Semaphore(concurrency)
        self.use = JudgeUse()
        self.unread: list[str] = []
        """Why replies could not be read."""

    async def facts(self, passage: Chunk, most: int) -> list[WrittenFact]:
        """What a passage states, with a question for each."""
        said = await self._ask(prompts.facts(passage.title, passage.heading, passage.text, most))
        items = said.get("facts")
        found = [_texts(item, ("entity", "question", "answer")) for item in items] if isinstance(items, list) else []
        self.unread += ["A fact lacks its entity, question or answer."] * found.count(None)
        return [WrittenFact(passage, *texts) for texts in found if texts is not None][:most]

    async def wordings(self, asked: AskedFact, count: int) -> AskedFact:
        """A fact with other wordings of its question, and a sentence as its reply where that has the answer."""
        fact = asked.fact
        said = await self._ask(prompts.wordings(asked.question, fact.entity, fact.value, count))
        questions, sentence = said.get("questions"), said.get("sentence")
        texts = [text.strip() for text in questions if isinstance(text, str)] if isinstance(questions, list) else []
        reply = asked.around
        if isinstance(sentence, str) and is_correct(sentence, fact.value):
            reply = around(fact.value, sentence)
        return replace(asked, training=tuple(texts[:count]), around=reply if len(reply) > 1 else asked.around)

    async def is_answered(self, question: str, answer: str, passages: Sequence[str]) -> bool:
        """Whether the model gives the answer from passages; without any, from what it knows."""
        said = await self._attempt(question, passages)
        return said is not None and (is_correct(said, answer) or _is_most_of(said, answer))

    async def declines(self, question: str, passages: Sequence[str]) -> bool:
        """Whether the model says that passages do not answer a question. A reply that cannot be read is no refusal."""
        said = await self._attempt(question, passages)
        return said is not None and (is_correct(said, prompts.NOT_STATED) or is_refusal(said))

    async def bridge(self, first: Fact, second: Fact) -> str:
        """A question that takes both facts; empty where the model writes none."""
        return _text(await self._ask(prompts.bridge(first, second)), "question")

    async def unanswered(self, passage: Chunk) -> Unanswerable | None:
        """A question that a passage leaves open."""
        texts = _texts(
            await self._ask(prompts.unanswered(passage.title, passage.heading, passage.text)), ("entity", "question")
        )
        return None if texts is None else Unanswerable(question=texts[1], subject=texts[0], passage=passage)

    async def _attempt(self, question: str, passages: Sequence[str]) -> str | None:
        inquiry = prompts.answer_from(question, passages) if passages else prompts.answer_unaided(question)
        return _text(await self._ask(inquiry), "answer") or None

    async def _ask(self, inquiry: Inquiry) -> Mapping[str, Any]:
        async with self._places:
            said = await ask_json(self._model, inquiry, "writer")
        self.use += said.use
        if said.value is None:
            self.unread.append(said.problem)
            return {}
        return said.value


async def all_of(calls: Sequence[Awaitable[_T]], on_each: Callable[[], None]) -> list[_T]:
    """The results of calls, in their order; `on_each` is called as each is done."""

    async def told(call: Awaitable[_T]) -> _T:
        result = await call
        on_each()
        return result

    return list(await asyncio.gather(*map(told, calls)))


def _is_most_of(said: str, answer: str) -> bool:
    """Whether a reply is at least half of an answer, word by word."""
    return is_correct(answer, said) and 2 * len(tokens(said)) >= len(tokens(answer))


def _texts(value: Any, keys: Sequence[str]) -> tuple[str, ...] | None:
    """The texts of an object by these keys; None where one is missing."""
    texts = tuple(_text(value, key) for key in keys) if isinstance(value, dict) else ()
    return texts if texts and all(texts) else None


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    return " ".join(text.split()) if isinstance(text, str) else ""
