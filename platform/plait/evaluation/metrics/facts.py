"""What the expected answers state, and which of it follows from given texts: the ground of two metrics.

Correctness holds the facts against the reply, context recall against the passages.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge, Verdict
from plait.evaluation.score import JudgeUse, Score


@dataclass(frozen=True)
class AnswerFacts:
    """The facts of one answer, with a verdict for each; `problem`: why there are none that can be read."""

    texts: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    problem: str = ""


async def facts_in(
    judge: Judge, question: str, answers: Sequence[str], texts: Sequence[str]
) -> tuple[list[AnswerFacts], JudgeUse]:
    """The facts of each answer, held against the texts together in one request; also what that cost."""
    stated = await asyncio.gather(*(judge.claims(question, answer) for answer in answers))
    held = await judge.support([fact for each in stated for fact in each.texts], texts)
    verdicts = iter(held.verdicts)
    found = [AnswerFacts(each.texts, tuple(next(verdicts) for _ in each.texts), each.problem) for each in stated]
    return found, sum((each.use for each in stated), held.use)


def best(scores: Sequence[Score]) -> Score:
    """The highest score; one that cannot be said stands unless another is 1, as it might be higher."""
    said = max((score for score in scores if score.value is not None), key=lambda score: score.value or 0, default=None)
    if said is not None and (said.value == 1 or all(score.value is not None for score in scores)):
        return said
    return next(score for score in scores if score.value is None)
