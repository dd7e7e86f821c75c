"""Whether passages are useful, by a judge that can only say what follows from them."""

from collections.abc import Sequence

from plait.evaluation.judges.judge import Judge, Verdict, Verdicts
from plait.evaluation.judges.replies import as_statement
from plait.evaluation.score import JudgeUse


async def useful_by_support(judge: Judge, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
    """A passage is useful where the judge finds that it supports one of the answers; the judge costs no tokens."""
    stated = [as_statement(question, answer) or answer for answer in answers]
    found = [(await judge.support(stated, [passage])).verdicts for passage in passages]
    best = [max(verdicts, key=lambda each: bool(each.holds), default=Verdict(False)) for verdicts in found]
    return Verdicts(tuple(Verdict(each.holds, each.reason) for each in best), JudgeUse())
