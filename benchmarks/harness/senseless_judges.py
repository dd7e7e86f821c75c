"""Judges that know nothing: calibration must say so."""

import random
from collections.abc import Sequence

from plait.evaluation.judges.judge import Claims, Verdict, Verdicts
from plait.evaluation.score import JudgeUse


class AtRandom:
    """Says yes or no, each as likely, whatever it is asked."""

    name = "answers at random"

    def __init__(self) -> None:
        self._random = random.Random(0)

    async def claims(self, question: str, reply: str) -> Claims:
        """See `Judge`."""
        return Claims((reply,), JudgeUse())

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`."""
        return self._said(len(claims))

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`."""
        return self._said(len(passages))

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        """See `Judge`."""
        return self._said(1)

    async def declines(self, question: str, reply: str) -> Verdicts:
        """See `Judge`."""
        return self._said(1)

    def _verdict(self) -> bool:
        return self._random.random() < 0.5

    def _said(self, count: int) -> Verdicts:
        return Verdicts(tuple(Verdict(self._verdict()) for _ in range(count)), JudgeUse())


class AlwaysYes(AtRandom):
    """Says yes, whatever it is asked."""

    name = "always says yes"

    def _verdict(self) -> bool:
        return True
