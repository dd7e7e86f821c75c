"""An axis of a plot: where a number stands on it, and which numbers are written below it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LOG_FROM = 10.0
"""Numbers that span more than this are drawn on a log scale: on a linear one all but the largest would be one spot."""


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` onto coordinates from `start` to `end`, linear or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, number: float) -> float:
        """The coordinate of a number."""
        scale = math.log if self.is_log else float
        share = (scale(number) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self, at_most: int) -> list[float]:
        """Round numbers on the axis, in order: 1, 2 or 5 times a power of ten, or steps of one of these."""
        for factors in ((1, 2, 5), (1, 3), (1,)) if self.is_log else ():
            ticks = [tick for tick in _powers(self.low, self.high, factors) if self.low <= tick <= self.high]
            if len(ticks) <= at_most:
                return ticks
        if self.is_log:
            return ticks[:: math.ceil(len(ticks) / at_most)]
        rough = (self.high - self.low) / at_most
        step = next(step for step in _powers(rough, 10 * rough, (1, 2, 5)) if step >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def cost_axis(costs: Sequence[float], start: float, end: float) -> Axis:
    """An axis for costs of 0 or more: from 0, or logarithmic where they span more than ten times and none is 0."""
    least, most = min(costs), max(costs)
    if least > 0 and most / least > _LOG_FROM:
        return Axis(least / 1.6, most * 1.6, start, end, is_log=True)
    return Axis(0.0, 1.08 * most or 1.0, start, end)


def share_axis(shares: Sequence[float], start: float, end: float) -> Axis:
    """An axis for shares in [0, 1]: the tenths that hold all of them."""
    low, high = math.floor(10 * min(shares) + 1e-9) / 10, math.ceil(10 * max(shares) - 1e-9) / 10
    return Axis(low, high, start, end) if low < high else Axis(max(0.0, low - 0.1), min(1.0, high + 0.1), start, end)


def _powers(low: float, high: float, factors: Sequence[int]) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**exponent for exponent in exponents for factor in factors]
