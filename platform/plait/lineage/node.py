"""A lineage: a tree whose every node is something that was made, above what it was made from.

It knows neither where records are kept nor who prints them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from plait.errors import NotFound

Kind = Literal["answer", "adapter", "base_model", "run", "data", "recipe", "evaluation", "collection", "document"]
Fact = str | int | float | bool


@dataclass(frozen=True)
class LineageNode:
    """One step.

    Attributes:
        name: as in `support:3`; of an answer the id of its request, of a document its source.
        facts: what is recorded of it; hashes are hexadecimal SHA-256, times are ISO 8601 in UTC.
        note: what is gone, has changed since or was never recorded, as a sentence; empty: nothing.
        children: what it was made from, and what judged it.
    """

    kind: Kind
    name: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    note: str = ""
    children: tuple["LineageNode", ...] = ()


def nothing_of(id: str) -> NotFound:
    """What is said of an id that names nothing."""
    return NotFound(
        f"There is no answer, adapter or collection '{id[:80]}'.",
        "An answer has the X-Request-Id of its request as its id, while a server keeps it: set answers.keep.",
    )


def moment(milliseconds: float) -> str:
    """A time since 1970 as facts have it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
