"""What filters let through: how many came, and how many were dropped, by filter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Filtered:
    """What one filter did."""

    name: str
    seen: int
    dropped: int

    @property
    def rate(self) -> float:
        """Share of what it saw that it dropped; 0 where it saw nothing."""
        return self.dropped / self.seen if self.seen else 0.0


@dataclass
class Drops:
    """What all filters of a run did, in their order."""

    filters: list[Filtered] = field(default_factory=list)

    def note(self, name: str, seen: int, dropped: int) -> None:
        """Keep what a filter did; of one that is used several times, the sum."""
        for place, each in enumerate(self.filters):
            if each.name == name:
                self.filters[place] = Filtered(name, each.seen + seen, each.dropped + dropped)
                return
        self.filters.append(Filtered(name, seen, dropped))

    def kept(self, name: str, items: Sequence[_T], keeps: Callable[[_T], bool] | Sequence[bool]) -> list[_T]:
        """The items that a filter keeps, by a rule or by one verdict for each."""
        verdicts = [keeps(item) for item in items] if callable(keeps) else keeps
        found = [item for item, keep in zip(items, verdicts, strict=True) if keep]
        self.note(name, len(items), len(items) - len(found))
        return found
