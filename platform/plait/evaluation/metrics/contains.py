"""`contains`: whether one of the expected answers stands in the reply, as `plait.evaluation.answers` says.

It asks no judge. It cannot judge free text, and counts a reply that lists several candidates as right if one is.
"""

from dataclasses import dataclass

from plait.evaluation.answers import is_correct
from plait.evaluation.metrics.metric import Need
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score


@dataclass(frozen=True)
class Contains:
    """1 where a reply has the tokens of one of the answers, together and in their order; else 0."""

    name: str = "contains"
    needs: frozenset[Need] = frozenset({Need.ANSWERS})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        found = next((answer for answer in sample.answers if is_correct(sample.reply, answer)), None)
        return Score(0.0) if found is None else Score(1.0, f"The reply has '{found}'.")
