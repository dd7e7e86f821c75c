"""One figure of a report: a mean score over all samples that were submitted, some of which cannot be said.

What cannot be said is not left out of the interval: its lower bound takes those samples as wrong, its upper bound as
right (Horowitz & Manski 2000, doi:10.1080/01621459.2000.10473902). So a metric that fails on many samples is unsure,
not good.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plait.evaluation.statistics.means import mean_interval


@dataclass(frozen=True)
class Figure:
    """A mean score with its confidence interval, in [0, 1].

    Attributes:
        value: the mean over the samples whose score can be said; None where there are none.
        low, high: bounds for all submitted samples.
        submitted: samples that were measured.
        unsaid: those of them whose score cannot be said.
    """

    value: float | None
    low: float
    high: float
    submitted: int
    unsaid: int


def figure(scores: Sequence[float | None], groups: Sequence[str] = (), confidence: float = 0.95) -> Figure:
    """The figure of a metric over its samples.

    >>> figure([1.0, 1.0, 0.0, None])
    Figure(value=0.6666666666666666, low=0.15003898915214947, high=0.9543950871371486, submitted=4, unsaid=1)

    Args:
        scores: of every submitted sample, in [0, 1]; None: it cannot be said.
        groups: of every sample; samples of one group are not independent. An empty name is a group of its own.

    Raises:
        ValueError: for no samples, or a score outside [0, 1].
    """
    said = [score for score in scores if score is not None]
    low, high = mean_interval([0.0 if score is None else score for score in scores], groups, confidence)
    if len(said) < len(scores):
        high = mean_interval([1.0 if score is None else score for score in scores], groups, confidence)[1]
    value = sum(said) / len(said) if said else None
    return Figure(value, low, high, len(scores), len(scores) - len(said))
