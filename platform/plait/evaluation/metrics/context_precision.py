"""`context_precision`: whether the useful passages stand before the others (average precision, as Ragas defines it).

The mean, over the useful passages, of the share of useful ones among those up to it; 0 where none is useful. A passage
is useful where it helps to give one of the expected answers.
"""

from dataclasses import dataclass

from plait.evaluation.judges.judge import Judge
from plait.evaluation.metrics.metric import Need
from plait.evaluation.metrics.verdicts import unread
from plait.evaluation.sample import Sample
from plait.evaluation.score import Finding, Score


@dataclass(frozen=True)
class ContextPrecision:
    """Average precision of the passages, the best first, by the judge's verdicts."""

    judge: Judge
    name: str = "context_precision"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.PASSAGES})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        said = await self.judge.useful(sample.question, sample.answers, sample.passage_texts)
        found = tuple(
            Finding(text, verdict.holds, verdict.reason, number)
            for number, (text, verdict) in enumerate(zip(sample.passage_texts, said.verdicts, strict=True))
        )
        lost = unread(found, said.use, "passages")
        if lost is not None:
            return lost
        useful = [place for place, each in enumerate(found, start=1) if each.holds]
        precisions = [count / place for count, place in enumerate(useful, start=1)]
        value = sum(precisions) / len(precisions) if precisions else 0.0
        return Score(value, f"{len(useful)} of {len(found)} passages are useful.", found, said.use)
