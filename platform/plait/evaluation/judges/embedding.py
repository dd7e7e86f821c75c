"""The judge `embedding`: how near sentences are in meaning. It runs offline, and tells no number from another.

A claim is held against each sentence of the passages, and is supported where the cosine of the nearest reaches a
threshold. A sentence of the reply is a claim. Nearness is no entailment: a negation or another number is near, too,
which is what calibration shows.
"""

import asyncio
from collections.abc import Sequence

from plait.evaluation.judges.judge import Claims, Verdict, Verdicts
from plait.evaluation.judges.replies import REFUSALS, as_statement, stated_sentences
from plait.evaluation.judges.usefulness import useful_by_support
from plait.evaluation.score import JudgeUse
from plait.evaluation.sentences import sentences
from plait.models.embedding import Embedding

_SAME = 0.7
"""Cosine from which two sentences are taken to say the same. It fits no model best: calibration says how it does."""
_ON_TOPIC = 0.4
"""Cosine from which a reply is taken to answer a question, which it need not repeat."""


class EmbeddingJudge:
    """Judges by cosine similarity of sentences.

    Args:
        embedding: computed in a thread.
    """

    def __init__(self, embedding: Embedding) -> None:
        self._embedding, self.name = embedding, f"embedding:{embedding.name}"

    async def claims(self, question: str, reply: str) -> Claims:
        """The sentences of a reply that decline nothing; a bare name or number as a statement."""
        statement = as_statement(question, reply)
        return Claims(stated_sentences(reply) if statement is None else (statement,), JudgeUse())

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`."""
        parts = [(number, each.text) for number, text in enumerate(passages) for each in sentences(text)]
        if not claims or not parts:
            return Verdicts(tuple(Verdict(False, "There are no passages.") for _ in claims), JudgeUse())
        cosines = await self._cosines(claims, [text for _, text in parts])
        verdicts = []
        for row in cosines:
            nearest = max(range(len(parts)), key=row.__getitem__)
            verdicts.append(Verdict(row[nearest] >= _SAME, f"Cosine {row[nearest]:.2f}.", parts[nearest][0]))
        return Verdicts(tuple(verdicts), JudgeUse())

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """A passage is useful where a sentence of it is near one of the answers."""
        return await useful_by_support(self, question, answers, passages)

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        """Whether the reply is near the question, and does not decline."""
        declined = (await self.declines(question, reply)).verdicts[0]
        if declined.holds or not sentences(reply):
            return Verdicts((Verdict(False, declined.reason),), JudgeUse())
        query, said = await asyncio.gather(
            asyncio.to_thread(self._embedding.encode_queries, [question]),
            asyncio.to_thread(self._embedding.encode_passages, [reply]),
        )
        cosine = float(query[0] @ said[0])
        return Verdicts((Verdict(cosine >= _ON_TOPIC, f"Cosine {cosine:.2f}."),), JudgeUse())

    async def declines(self, question: str, reply: str) -> Verdicts:
        """Whether the first sentence of the reply is near a usual refusal."""
        first = next((sentence.text for sentence in sentences(reply)), None)
        if first is None:
            return Verdicts((Verdict(False, "The reply is empty."),), JudgeUse())
        cosine = max((await self._cosines([first], REFUSALS))[0])
        return Verdicts((Verdict(cosine >= _SAME, f"Cosine {cosine:.2f} to a refusal."),), JudgeUse())

    async def _cosines(self, texts: Sequence[str], others: Sequence[str]) -> list[list[float]]:
        vectors = await asyncio.to_thread(self._embedding.encode_passages, [*texts, *others])
        found: list[list[float]] = (vectors[: len(texts)] @ vectors[len(texts) :].T).tolist()
        return found
