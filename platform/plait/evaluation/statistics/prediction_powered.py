"""The mean of what people would say of all samples, from a few of their labels and the judge's scores of all.

The judge's mean is off by as much as the judge is; labels of a random few say by how much, and their scatter how sure
that is. So the interval holds whatever the judge is worth, and is narrower than that of the labels alone where it is
worth something (Angelopoulos et al. 2023, arXiv:2301.09633). How far the judge is trusted is tuned by the labels
(PPI++, arXiv:2311.01453); samples are labelled at random within strata of the judge's score (Fisch et al. 2024,
arXiv:2406.04291), each of its own rate, and may come in groups. `ppi-python`, the authors' library, knows neither
strata nor groups, and brings numba and statsmodels; the estimate itself is a mean of differences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from plait.evaluation.statistics.means import Array, group_totals

FEWEST_LABELS = 30
"""With fewer, the scatter of the labels is not known well enough for intervals to hold."""


@dataclass(frozen=True)
class PredictionPowered:
    """A mean of labels over all samples, in [0, 1].

    Attributes:
        submitted: all samples.
        labels: those of them that people have labelled.
        trust: how far the judge's scores are counted within strata: 0 not at all, 1 as they are.
    """

    value: float
    low: float
    high: float
    submitted: int
    labels: int
    trust: float


def prediction_powered(
    scores: Sequence[float | None],
    labels: Sequence[float | None],
    strata: Sequence[str] = (),
    groups: Sequence[str] = (),
    confidence: float = 0.95,
) -> PredictionPowered:
    """The mean label of a population, of which `scores` are seen and a few labelled at random.

    Args:
        scores: the judge's, of every sample, in [0, 1]; None: it cannot be said.
        labels: people's, in [0, 1]; None: not labelled.
        strata: within which the labelled ones were drawn at random; empty: one for all.
        groups: samples of one group are not independent; as of `figure`.

    Raises:
        ValueError: for fewer than 30 labels, a number outside [0, 1], or a stratum without a label.
    """
    judged = np.array([0.0 if score is None else score for score in scores])
    is_labelled = np.array([label is not None for label in labels])
    labelled = np.array([0.0 if label is None else label for label in labels])
    if is_labelled.sum() < FEWEST_LABELS:
        raise ValueError(f"{is_labelled.sum()} labels are fewer than {FEWEST_LABELS}")
    known = np.concatenate((judged, labelled))
    if not ((known >= 0) & (known <= 1)).all():  # also NaN
        raise ValueError("scores and labels are numbers between 0 and 1")
    parts = [
        _Stratum(np.flatnonzero(of_stratum), np.flatnonzero(of_stratum & is_labelled))
        for of_stratum in _members(strata, len(judged))
    ]
    if not all(len(part.labelled) for part in parts):
        raise ValueError("a stratum has no label")
    trust = _trust(parts, judged, labelled)
    # Every sample contributes the judge's score, corrected by the mean error of its stratum; a labelled one also how
    # much its own error differs from that, for all that are like it. Their mean is the estimate, their scatter is its.
    contributions, unseen = np.empty(len(judged)), 0.0
    for part in parts:
        errors = labelled[part.labelled] - trust * judged[part.labelled]
        rate, count = len(part.members) / len(part.labelled), len(part.labelled)
        contributions[part.members] = trust * judged[part.members] + errors.mean()
        correction = math.sqrt(count / max(1, count - 1))
        contributions[part.labelled] += rate * correction * (errors - errors.mean())
        unseen += (len(part.members) / len(judged)) ** 2 * _unseen_variance(errors, part, judged, trust) / count
    value = float(contributions.mean())
    totals, sizes = group_totals(contributions, groups)
    clusters = len(sizes)
    between = clusters / max(1, clusters - 1) * float(((totals - value * sizes) ** 2).sum()) / len(judged) ** 2
    degrees = max(1, min(int(is_labelled.sum()) - len(parts), clusters - 1))
    half = float(stats.t.ppf(0.5 + confidence / 2, degrees)) * math.sqrt(between + unseen)
    value = min(1.0, max(0.0, value))
    return PredictionPowered(
        value, max(0.0, value - half), min(1.0, value + half), len(judged), int(is_labelled.sum()), trust
    )


@dataclass(frozen=True)
class _Stratum:
    """Places of samples, and of those of them that are labelled."""

    members: "np.ndarray[tuple[int], np.dtype[np.intp]]"
    labelled: "np.ndarray[tuple[int], np.dtype[np.intp]]"


def _members(strata: Sequence[str], count: int) -> list["np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    names = np.array(strata or [""] * count)
    return [names == name for name in dict.fromkeys(names.tolist())]


def _trust(parts: Sequence[_Stratum], judged: Array, labelled: Array) -> float:
    """The weight of the judge's scores that makes the variance least: a slope within strata, between 0 and 1."""
    together = alone = 0.0
    for part in parts:
        count, all_ = len(part.labelled), len(part.members)
        if count > 1:
            weight = (all_ / len(judged)) ** 2 * (1 / count - 1 / all_)
            score = judged[part.labelled] - judged[part.labelled].mean()
            together += weight * float((score * labelled[part.labelled]).sum()) / (count - 1)
            alone += weight * float((score**2).sum()) / (count - 1)
    return min(1.0, max(0.0, together / alone)) if alone > 0 else 0.0


def _unseen_variance(errors: Array, part: _Stratum, judged: Array, trust: float) -> float:
    """What the variance of a stratum's errors lacks, as if half a label at either bound had been seen besides.

    Ten labels of one stratum that agree do not say that no eleventh disagrees.
    """
    if len(part.labelled) == len(part.members):
        return 0.0
    bounds = np.array([0.0, 1.0]) - trust * judged[part.members].mean()
    squares = float(((errors - errors.mean()) ** 2).sum())
    padded = (squares + float(((bounds - errors.mean()) ** 2).sum()) / 2) / len(errors)
    return max(0.0, padded - squares / max(1, len(errors) - 1))
