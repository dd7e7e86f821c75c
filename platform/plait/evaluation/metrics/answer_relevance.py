"""`answer_relevance`: whether the reply answers what was asked, true or not.

1 or 0, by one verdict, which calibration can check. Ragas has three questions written for the reply and takes the mean
of their cosines to the one that was asked: a number that depends on the embedding model, and of which 0.8 means nothing
by itself.
"""

from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import findings, share
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score


@dataclass(frozen=True)
class AnswerRelevance:
    """1 where the judge says that the reply answers the question, else 0."""

    judge: Judge
    name: str = "answer_relevance"
    needs: frozenset[Need] = frozenset()

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        said = await self.judge.answers_the_question(sample.question, sample.reply)
        return share(findings([sample.reply], said.verdicts), said.use, "replies")
