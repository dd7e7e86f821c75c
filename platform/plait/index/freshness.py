"""Freshness: how long after its change at the source a document is searchable.

In: when documents changed and when they were in the index. Out: the summary that an index keeps of its last run.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Freshness:
    """Of the documents that changed before a run. `measured_at`: milliseconds since 1970, UTC."""

    documents: int
    median_s: float
    max_s: float
    measured_at: int

    @classmethod
    def of(cls, seconds: Sequence[float], measured_at: int) -> "Freshness":
        """Summary of at least one document."""
        return cls(len(seconds), statistics.median(seconds), max(seconds), measured_at)

    @classmethod
    def from_json(cls, text: str) -> "Freshness":
        """The summary that `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """As a property of a collection."""
        return json.dumps(asdict(self))
