"""`abstention`: whether the reply declines where there is no answer, and answers where there is one.

1 for a right refusal and for a right attempt, 0 for a wrong refusal and for an answer to what cannot be answered
(Rajpurkar et al. 2018, arXiv:1806.03822, for questions without an answer). The reason says which it is.
"""

from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import findings, unread
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score

_REASONS = {
    (True, True): "A right refusal: the question has no answer.",
    (True, False): "A wrong answer: the question has none.",
    (False, True): "A wrong refusal: the question has an answer.",
    (False, False): "A right attempt: the question has an answer.",
}
"""By whether the question is unanswerable, and whether the reply declines."""


@dataclass(frozen=True)
class Abstention:
    """1 where the reply declines if and only if the question is unanswerable, else 0."""

    judge: Judge
    name: str = "abstention"
    needs: frozenset[Need] = frozenset({Need.UNANSWERABLE})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        said = await self.judge.declines(sample.question, sample.reply)
        found = findings([sample.reply], said.verdicts)
        lost = unread(found, said.use, "replies")
        if lost is not None:
            return lost
        declines, unanswerable = bool(found[0].holds), bool(sample.unanswerable)
        return Score(float(declines == unanswerable), _REASONS[unanswerable, declines], found, said.use)
