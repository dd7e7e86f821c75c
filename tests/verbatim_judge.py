"""A judge that Plait does not have, in one file: what stands there word by word, for docs/extending.md."""

from collections.abc import Sequence

from plait.evaluation.answers import is_correct
from plait.evaluation.judges.judge import Claims, Verdict, Verdicts
from plait.evaluation.judges.replies import refuses, stated_sentences
from plait.evaluation.score import JudgeUse


class VerbatimJudge:
    """A claim holds where a passage has it word by word."""

    name = "verbatim"

    async def claims(self, question: str, reply: str) -> Claims:
        return Claims(stated_sentences(reply), JudgeUse())

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        return Verdicts(tuple(_stands_in(claim, passages) for claim in claims), JudgeUse())

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        has = (any(is_correct(passage, answer) for answer in answers) for passage in passages)
        return Verdicts(tuple(map(Verdict, has)), JudgeUse())

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        declined = refuses(reply)
        if declined.holds or declined.reason:
            return Verdicts((Verdict(False, declined.reason),), JudgeUse())
        return Verdicts((Verdict(None, "Words alone do not tell."),), JudgeUse())

    async def declines(self, question: str, reply: str) -> Verdicts:
        return Verdicts((refuses(reply),), JudgeUse())


def _stands_in(claim: str, passages: Sequence[str]) -> Verdict:
    place = next((number for number, passage in enumerate(passages) if is_correct(passage, claim)), None)
    return Verdict(place is not None, "" if place is not None else "No passage has these words.", place)
