"""The last questions for `auto` in this replica, and whether they drift from those that the policy was learned from."""

from collections import deque

from plait.models.vectors import Vectors
from plait.observability import metrics
from plait.serve.routing.followed import LoadedPolicy

WINDOW, FEWEST, _EVERY = 200, 100, 20
"""Questions of the window; as many must be in it; after so many more the test is done again."""


class DriftWindow:
    """Distances of questions, of one policy at a time."""

    def __init__(self) -> None:
        self._policy = ""
        self._distances: deque[float] = deque(maxlen=WINDOW)
        self._count = 0

    def add(self, loaded: LoadedPolicy, question: str, embedding: Vectors | None) -> None:
        """Take a question; one that has no embedding where the policy needs one is left out."""
        seen = loaded.seen
        if seen is None or (embedding is None and not seen.are_words):
            return
        if loaded.name != self._policy:
            self._begin(loaded.name)
        self._distances.append(seen.distance(question, embedding))
        self._count += 1
        if len(self._distances) >= FEWEST and self._count % _EVERY == 0:
            from plait.routing.drift import drift_of  # it is imported already where there are questions to compare with

            found = drift_of(self._distances, seen)
            self._tell(found.statistic, found.is_found)

    def _begin(self, policy: str) -> None:
        if self._policy:
            self._tell(0.0, False)
        self._policy, self._count = policy, 0
        self._distances.clear()

    def _tell(self, statistic: float, is_found: bool) -> None:
        label = metrics.policy_label(self._policy)
        metrics.ROUTE_DRIFT.labels(label).set(statistic)
        metrics.ROUTE_DRIFTED.labels(label).set(float(is_found))
