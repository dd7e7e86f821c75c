"""`form`: whether the reply is worded as the row's pattern asks, as `plait.evaluation.patterns` says.

It asks no judge. Whether what the reply says is true is for other metrics: a wrong value in the right form counts.
"""

from dataclasses import dataclass

from plait.evaluation.metrics.metric import Need
from plait.evaluation.patterns import has_form
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score


@dataclass(frozen=True)
class Form:
    """1 where the whole reply matches the pattern, else 0."""

    name: str = "form"
    needs: frozenset[Need] = frozenset({Need.PATTERN})

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        assert sample.pattern is not None
        if has_form(sample.reply, sample.pattern):
            return Score(1.0)
        return Score(0.0, f"The reply does not match '{sample.pattern}'.")
