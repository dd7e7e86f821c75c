"""How long whole answers of each arm have taken of late, in this replica of the API."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from statistics import median

_MOST_ANSWERS, _FEWEST = 50, 5
_FORGOTTEN_AFTER_S = 300.0
"""An arm that was slow is asked again after so long: what made it slow may be over."""
_MOST_ARMS = 1000


class ArmPaces:
    """The last answers of each arm. `clock`: seconds, as of `time.monotonic`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: OrderedDict[str, deque[tuple[float, float]]] = OrderedDict()

    def add(self, arm: str, took_s: float) -> None:
        """Remember an answer."""
        self._answers.setdefault(arm, deque(maxlen=_MOST_ANSWERS)).append((self._clock(), took_s))
        self._answers.move_to_end(arm)
        if len(self._answers) > _MOST_ARMS:
            self._answers.popitem(last=False)

    def usual_s(self, arm: str) -> float | None:
        """The median of its last answers; None: there are too few."""
        oldest = self._clock() - _FORGOTTEN_AFTER_S
        took = [seconds for at, seconds in self._answers.get(arm, ()) if at >= oldest]
        return median(took) if len(took) >= _FEWEST else None
