"""Models that judges are tested with: one that says what a test tells it to, one that reads, one that embeds words."""

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plait.errors import InvalidInput
from plait.evaluation.judges.judge import Verdict
from plait.evaluation.judges.lexical import LexicalJudge
from plait.models.generate import Generated
from plait.models.message import Message
from plait.models.vectors import NO_PROMPTS, Vectors

Say = Callable[[dict[str, Any], Mapping[str, Any]], str]
"""What a model says to the data of a question and the schema of the reply."""


class ScriptedModel:
    """A `Generate` that says what it is told to, and remembers what it was asked.

    Args:
        say: makes the reply.
        context_characters: a conversation that is longer is refused.
        is_cut: whether each reply ends for want of tokens.
    """

    def __init__(self, say: Say, context_characters: int = 1_000_000, is_cut: bool = False) -> None:
        self._say, self._context, self._is_cut = say, context_characters, is_cut
        self.asked: list[dict[str, Any]] = []

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        if sum(len(message.content) for message in messages) > self._context:
            raise InvalidInput("The prompt does not fit into the context.")
        await asyncio.sleep(0)
        data = data_of(messages)
        self.asked.append(data)
        assert json_schema is not None
        return Generated(self._say(data, json_schema), self._is_cut, prompt_tokens=100, generated_tokens=10)


def data_of(messages: Sequence[Message]) -> dict[str, Any]:
    """The data that a judge is given: the user's message."""
    data: dict[str, Any] = json.loads(messages[-1].content)
    return data


class ReadingModel(ScriptedModel):
    """A model that judges by words in common, and follows no order in what it is given."""

    def __init__(self, context_characters: int = 1_000_000) -> None:
        super().__init__(lambda data, schema: "", context_characters)
        self._judge = LexicalJudge()

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        made = await super().generate(messages, max_tokens, json_schema)
        said = await self._read(data_of(messages))
        return replace(made, text=json.dumps(said))

    async def _read(self, data: dict[str, Any]) -> dict[str, Any]:
        judge, question = self._judge, data.get("question", "")
        if "claims" in data:
            held = await judge.support(list(data["claims"].values()), list(data["passages"].values()))
            words = [_word(verdict) for verdict in held.verdicts]
            places = [0 if verdict.passage is None else verdict.passage + 1 for verdict in held.verdicts]
            pairs = enumerate(zip(places, words, strict=True), start=1)
            return {str(number): {"passage": place, "verdict": word} for number, (place, word) in pairs}
        if "passages" in data:
            found = await judge.useful(question, data["right answers"], list(data["passages"].values()))
            numbered = enumerate(found.verdicts, start=1)
            return {str(number): "useful" if verdict.holds else "not useful" for number, verdict in numbered}
        if "replies" in data:
            first, second = (len(text) for text in data["replies"].values())
            return {"verdict": "neither" if first == second else "1" if first > second else "2"}
        return await self._of_reply(question, data["reply"])

    async def _of_reply(self, question: str, reply: str) -> dict[str, Any]:
        answers = (await self._judge.answers_the_question(question, reply)).verdicts[0].holds
        declines = (await self._judge.declines(question, reply)).verdicts[0].holds
        claims = (await self._judge.claims(question, reply)).texts
        return {"verdict": "declines" if declines else "answers" if answers else "off topic", "claims": list(claims)}


def _word(verdict: Verdict) -> str:
    return "supported" if verdict.holds else "contradicted" if verdict.is_contradicted else "not stated"


class WordEmbedding:
    """An `Embedding` that counts words in 256 places: texts with the same words are near each other."""

    name, dimension, max_tokens, prompts = "words", 256, 1_000_000, NO_PROMPTS

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode_passages(self, texts: Sequence[str], batch_size: int = 0) -> Vectors:
        counts = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(".", " ").replace("?", " ").split() or [""]:
                counts[row, zlib.crc32(word.encode()) % self.dimension] += 1
        vectors: Vectors = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.encode_passages(texts)
