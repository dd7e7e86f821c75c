"""What a name meant when: the judge of whether an answer came from weights that its request may have got.

In: what was put behind a name and when, then every answer. Out: nothing, or why it is wrong. Weights are numbers,
`None` is a name that means nothing (404); times are those of one clock. It knows no server.
"""

import math
from dataclasses import dataclass, field


@dataclass
class _Period:
    weights: int | None
    since: float
    until: float = math.inf


@dataclass
class Meanings:
    """The history of one name.

    Attributes:
        grace_s: how long after a change new requests may still get what was before.
        slowest_s: the longest after a change that a request began and yet got what was before.
    """

    grace_s: float = 0.0
    slowest_s: float = 0.0
    _periods: list[_Period] = field(default_factory=list)

    @property
    def now(self) -> int | None:
        return self._periods[-1].weights

    def change(self, weights: int | None, asked_at: float) -> None:
        """From `asked_at` the name may mean `weights`, and what it meant before until the change is `changed`."""
        self._periods.append(_Period(weights, asked_at))

    def changed(self, at: float) -> None:
        """The last change was confirmed: from here on only what it said."""
        if len(self._periods) > 1:
            self._periods[-2].until = at

    def refused(self) -> None:
        """The last change did not happen."""
        self._periods.pop()

    def why_wrong(self, weights: int | None, began_at: float, ended_at: float) -> str | None:
        """Why a request of that time must not have been answered by `weights`; None when it may.

        >>> name = Meanings()
        >>> name.change(1, 0.0); name.change(2, 10.0); name.changed(11.0)
        >>> name.why_wrong(1, 10.5, 12.0), name.why_wrong(2, 9.0, 10.5)
        (None, None)
        >>> name.why_wrong(1, 13.0, 14.0)
        'asked for 2.0 s after it meant 1 for the last time'
        >>> name.why_wrong(3, 13.0, 14.0)
        'it did not mean 3 yet'
        """
        periods = [p for p in self._periods if p.weights == weights and p.since <= ended_at]
        if not periods:
            return f"it did not mean {weights} yet"
        late_s = began_at - periods[-1].until
        self.slowest_s = max(self.slowest_s, late_s)
        return f"asked for {late_s:.1f} s after it meant {weights} for the last time" if late_s > self.grace_s else None
