"""The judge `nli:MODEL`: a cross-encoder of the hub that tells entailment from contradiction.

A claim is held against windows of whole sentences that the model can read uncut, and follows where one of them entails
it (Laban et al. 2022, SummaC, arXiv:2111.09525). Questions about a reply are put as hypotheses about it (Yin et al.
2019, arXiv:1909.00161). A sentence of the reply is a claim.
"""

import asyncio
from collections.abc import Sequence

from plait.evaluation.judges.judge import Claims, Verdict, Verdicts
from plait.evaluation.judges.replies import as_statement, stated_sentences
from plait.evaluation.judges.usefulness import useful_by_support
from plait.evaluation.score import JudgeUse
from plait.evaluation.sentences import sentences
from plait.models.entailment import Entailment, EntailmentModel

_LIKELY = 0.5
"""What is likelier than not."""
_DECLINED = "The question cannot be answered."


class EntailmentJudge:
    """Judges by entailment.

    Args:
        model: computed in a thread.
    """

    def __init__(self, model: EntailmentModel) -> None:
        self._model, self.name = model, f"nli:{model.name}"

    async def claims(self, question: str, reply: str) -> Claims:
        """The sentences of a reply that decline nothing; a bare name or number as a statement."""
        statement = as_statement(question, reply)
        return Claims(stated_sentences(reply) if statement is None else (statement,), JudgeUse())

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`; what follows only from two windows together is not found."""
        return Verdicts(tuple(await asyncio.to_thread(self._support, claims, passages)), JudgeUse())

    def _support(self, claims: Sequence[str], passages: Sequence[str]) -> list[Verdict]:
        verdicts = []
        for claim, claim_tokens in zip(claims, self._model.count_tokens(claims) if claims else [], strict=True):
            windows = [
                (number, window)
                for number, passage in enumerate(passages)
                for window in self._windows(passage, self._model.max_tokens - claim_tokens)
            ]
            said = self._model.entailments([(window, claim) for _, window in windows])
            verdicts.append(_verdict([number for number, _ in windows], said))
        return verdicts

    def _windows(self, passage: str, max_tokens: int) -> list[str]:
        """The passage in as few windows of whole sentences as the model reads; it cuts a longer sentence."""
        found = sentences(passage)
        lengths = self._model.count_tokens([each.text for each in found]) if found else []
        windows: list[str] = []
        start, used = 0, 0
        for sentence, tokens in zip(found, lengths, strict=True):
            if used and used + tokens > max_tokens:
                windows.append(passage[start : sentence.start])
                used = 0
            start = start if used else sentence.start
            used += tokens
        return [*windows, passage[start:]] if used else windows

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """A passage is useful where one of the answers follows from it."""
        return await useful_by_support(self, question, answers, passages)

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        """Whether the reply entails that it answers, and does not decline."""
        declined = (await self.declines(question, reply)).verdicts[0]
        if declined.holds or declined.reason:
            return Verdicts((Verdict(False, declined.reason or "The reply declines to answer."),), JudgeUse())
        text = as_statement(question, reply) or reply
        return await self.support([f'This answers the question "{question.strip()}".'], [text])

    async def declines(self, question: str, reply: str) -> Verdicts:
        """Whether the reply entails that the question cannot be answered."""
        if not sentences(reply):
            return Verdicts((Verdict(False, "The reply is empty."),), JudgeUse())
        said = (await self.support([_DECLINED], [reply])).verdicts[0]
        return Verdicts((Verdict(said.holds),), JudgeUse())


def _verdict(passages: Sequence[int], said: Sequence[Entailment]) -> Verdict:
    if not said:
        return Verdict(False, "There are no passages.")
    nearest = max(range(len(said)), key=lambda place: said[place].entails)
    if said[nearest].entails > _LIKELY:
        return Verdict(True, f"Entailed at {said[nearest].entails:.2f}.", passages[nearest])
    against = max(range(len(said)), key=lambda place: said[place].contradicts)
    if said[against].contradicts > _LIKELY:
        return Verdict(False, f"Contradicted at {said[against].contradicts:.2f}.", passages[against], True)
    return Verdict(False, f"Entailed at {said[nearest].entails:.2f} at most.")
