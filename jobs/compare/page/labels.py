"""Labels beside the points of a plot, so that none covers another or a point.

In: points and texts. Out: where each text starts. Greedy: each label takes the best free place around its point, the
points of the most crowded places first; one that had to go far is joined to its point by a line.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

FONT = 12.0
_CHARACTER = 6.7
"""Width of a character at this size: a little more than the mean of the sans serif that browsers take."""
_POINT = 8.0
_RADII = tuple(range(13, 240, 8))
_DIRECTIONS = tuple(math.radians(angle) for angle in (0, -45, 45, 180, -135, 135, -90, 90, -20, 20, 160, -160))
_NEAR = 14.0
"""Labels up to here need no line to their point."""


@dataclass(frozen=True)
class Box:
    """A rectangle, in coordinates of the plot."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


@dataclass(frozen=True)
class Label:
    """A text and its place.

    Attributes:
        x, y: where its baseline starts.
        leader: where a line from the point ends; None: it is near enough to need none.
    """

    text: str
    x: float
    y: float
    leader: tuple[float, float] | None

    @property
    def box(self) -> Box:
        """What it covers."""
        return Box(self.x, self.y - FONT * 0.8, self.x + _width(self.text), self.y + FONT * 0.25)


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], lines: Sequence[Box], inside: Box
) -> list[Label]:
    """A label for each point, within `inside`; `lines` (whiskers and the like) are crossed only where it must be."""
    spots = [Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    crowd = [sum(math.dist(point, other) < 80 for other in points) for point in points]
    labels: dict[int, Label] = {}
    for place in sorted(range(len(points)), key=lambda number: (-crowd[number], number)):
        covered = [label.box for label in labels.values()] + spots
        best = math.inf
        for radius, label in _candidates(points[place], texts[place], inside):
            if radius >= best:
                break  # those that follow are farther away still
            box = label.box
            area = sum(box.overlap(other) for other in covered)
            badness = 1000 * area + 12 * sum(box.overlap(line) > 0 for line in lines) + radius
            if badness < best:
                best, labels[place] = badness, label
    return [labels[place] for place in range(len(points))]


def _candidates(point: tuple[float, float], text: str, inside: Box) -> Iterator[tuple[float, Label]]:
    """Labels around a point and how far they are, the nearest first, moved so that they are inside."""
    width = _width(text)
    for radius, angle in product(_RADII, _DIRECTIONS):
        near_x, near_y = point[0] + radius * math.cos(angle), point[1] + radius * math.sin(angle)
        across = math.cos(angle)
        x = near_x if across > 0.1 else near_x - width if across < -0.1 else near_x - width / 2
        x = min(max(x, inside.left), inside.right - width)
        y = min(max(near_y + FONT * 0.35, inside.top + FONT), inside.bottom - 3)
        leader = (min(max(near_x, x), x + width), y - FONT * 0.35) if radius > _NEAR else None
        yield radius, Label(text, x, y, leader)


def _width(text: str) -> float:
    return _CHARACTER * len(text)
