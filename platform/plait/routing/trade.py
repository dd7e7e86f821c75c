"""The trade between right answers and tokens: how many points of accuracy a thousand tokens are worth.

A point is one of a hundred. At 0 only right answers count, and of arms that are equally likely right the cheapest is
chosen.
"""

import math
from collections.abc import Mapping

import numpy as np

from plait.errors import InvalidInput, did_you_mean
from plait.evaluation.statistics.means import Array

TRADES: Mapping[str, float] = {"quality": 0.0, "balanced": 2.0, "cheap": 10.0}
"""Points per 1,000 tokens. A prompt with 2,000 tokens of passages must bring 0, 4 or 20 points."""

_SAME = 1e-9
"""Utilities that are no further apart are the same."""


def trade_of(text: str) -> float:
    """Points per 1,000 tokens, from a name or a number.

    Raises:
        InvalidInput: when it is neither.
    """
    if text in TRADES:
        return TRADES[text]
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not 0 <= points < math.inf:  # also NaN
        raise InvalidInput(
            f"'{text[:80]}' is no trade.",
            f"Write {', '.join(TRADES)} or points per 1,000 tokens. {_near(text)}".strip(),
        )
    return points


def _near(text: str) -> str:
    hint = did_you_mean(text, TRADES)
    return hint if hint.startswith("Did") else ""


def utilities(quality: Array, tokens: Array, points: float) -> Array:
    """What answers are worth in points: 100 for a right one, less what its tokens cost."""
    return 100 * quality - points * tokens / 1000


def best_first(quality: Array, tokens: Array, points: float) -> list[int]:
    """Arms in the order in which one would choose them; of equal ones the cheapest first.

    Args:
        quality: [arms], probability of a right answer.
        tokens: [arms], expected.
    """
    worth = np.round(utilities(quality, tokens, points) / _SAME) * _SAME
    return [int(arm) for arm in np.lexsort((tokens, -worth))]
