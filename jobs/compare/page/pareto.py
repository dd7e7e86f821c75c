"""Quality against cost: which arms no other beats in both (the Pareto front), as points, lines and labels of a plot.

In: a verdict. Out: coordinates; a template draws them. It decides neither what is cheap nor what is on the front.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from plait.jobs.compare.arms import Arm
from plait.jobs.compare.cost_scale import CostScale
from plait.jobs.compare.page.axis import cost_axis, share_axis
from plait.jobs.compare.page.labels import Box, Label, place_labels
from plait.jobs.compare.verdict import ArmVerdict, Verdict

_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 12.0, 44.0


@dataclass(frozen=True)
class ParetoPoint:
    """An arm in the plot; coordinates are of its middle and of the ends of its interval."""

    arm: str
    x: float
    y: float
    low_y: float
    high_y: float
    label: Label
    retrieves: bool
    is_on_front: bool
    is_recommended: bool
    told: str


@dataclass(frozen=True)
class Tick:
    """A number beside an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class ParetoPlot:
    """The plot of `width` times `height`; the front is a path in SVG's language."""

    width: float
    height: float
    area: Box
    points: Sequence[ParetoPoint]
    front: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    x_title: str
    told: str


def pareto_plot(
    verdict: Verdict, arms: Sequence[Arm], plotted: Sequence[ArmVerdict], scale: CostScale, width: float, height: float
) -> ParetoPlot:
    """The plot of some arms, whose accuracies are known, for a width in CSS pixels."""
    names = [arm.arm for arm in plotted]
    area = Box(_LEFT, _TOP, width - _RIGHT, height - _BOTTOM)
    costs = [scale.by_arm[arm.arm] for arm in plotted]
    x_axis = cost_axis(costs, area.left, area.right)
    shares = [bound for arm in plotted for bound in (arm.accuracy.low, arm.accuracy.high)]
    y_axis = share_axis(shares, area.bottom, area.top)
    placed = [(x_axis.place(scale.by_arm[arm.arm]), y_axis.place(_share(arm))) for arm in plotted]
    whiskers = [(y_axis.place(arm.accuracy.low), y_axis.place(arm.accuracy.high)) for arm in plotted]
    front = [placed[names.index(name)] for name in verdict.front if name in names]
    lines = [Box(x - 1, high, x + 1, low) for (x, _), (low, high) in zip(placed, whiskers, strict=True)]
    texts = [shortened(name, 30 if width >= 600 else 20) for name in names]
    labels = place_labels(placed, texts, [*lines, *_steps(front)], area)
    retrieving = {arm.name for arm in arms if arm.retrieves}
    points = [
        ParetoPoint(
            arm=arm.arm,
            x=x,
            y=y,
            low_y=low,
            high_y=high,
            label=label,
            retrieves=arm.arm in retrieving,
            is_on_front=arm.arm in verdict.front,
            is_recommended=arm.arm == verdict.overall.recommended,
            told=f"{arm.arm}: {_share(arm):.0%} at {scale.written(scale.by_arm[arm.arm])}",
        )
        for arm, (x, y), (low, high), label in zip(plotted, placed, whiskers, labels, strict=True)
    ]
    return ParetoPlot(
        width=width,
        height=height,
        area=area,
        points=points,
        front=_path(front),
        x_ticks=[Tick(x_axis.place(tick), scale.written(tick)) for tick in x_axis.ticks(int(width / 75))],
        y_ticks=[Tick(y_axis.place(tick), f"{tick:.0%}") for tick in y_axis.ticks(10)],
        x_title=f"{scale.title}{' (log scale)' if x_axis.is_log else ''}",
        told=f"Accuracy by {scale.title}. " + "; ".join(point.told for point in points),
    )


def _share(arm: ArmVerdict) -> float:
    assert arm.accuracy.value is not None
    return arm.accuracy.value


def _path(front: Sequence[tuple[float, float]]) -> str:
    """Steps through the points, the cheapest first: up to the next arm's cost nothing is better than the one before."""
    steps = [f"H{x:.2f} V{y:.2f}" for x, y in front[1:]]
    return " ".join((f"M{front[0][0]:.2f} {front[0][1]:.2f}", *steps)) if steps else ""


def _steps(front: Sequence[tuple[float, float]]) -> Iterator[Box]:
    """What the steps cover."""
    for (x, y), (next_x, next_y) in pairwise(front):
        yield Box(x, y - 1, next_x, y + 1)
        yield Box(next_x - 1, next_y, next_x + 1, y)


def shortened(text: str, longest: int) -> str:
    """A text without its middle where it is too long, since names of arms differ at both ends."""
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[len(text) - (longest - head - 1) :]}"
