"""Pages of lists as OpenAI's: `limit`, `order`, `after` and `before`, of things that have ids.

In: everything that a caller may see, newest first. Out: a `Page`. It does not know what is listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, Protocol

from fastapi import Query

from plait.errors import NotFound
from plait.serve.messages.protocol import Item, ObjectList

MOST_FILES = 10_000
_MOST, _DEFAULT = 100, 20
Order = Literal["asc", "desc"]
_Cursor = Annotated[str | None, Query(max_length=512)]


class HasId(Protocol):
    id: str


@dataclass(frozen=True)
class PageWanted:
    """Which part of a list: at most `limit` things, from those after one (by its id) or before one."""

    limit: int
    order: Order
    after: str | None = None
    before: str | None = None


def page_wanted(
    limit: Annotated[int, Query(ge=1, le=_MOST)] = _DEFAULT,
    order: Order = "desc",
    after: _Cursor = None,
    before: _Cursor = None,
) -> PageWanted:
    """What a request says of the part of a list that it wants."""
    return PageWanted(limit, order, after, before)


def page_of_files_wanted(
    limit: Annotated[int, Query(ge=1, le=MOST_FILES)] = MOST_FILES, order: Order = "desc", after: _Cursor = None
) -> PageWanted:
    """The same of /v1/files."""
    return PageWanted(limit, order, after)


class Page(ObjectList[Item], Generic[Item]):
    """A part of a list of objects that have ids."""

    first_id: str | None
    last_id: str | None
    has_more: bool


def page(newest_first: Sequence[HasId], wanted: PageWanted) -> dict[str, Any]:
    """The fields of a Page: `data`, `first_id`, `last_id`, `has_more`.

    Raises:
        NotFound: when there is nothing of the id `after` or `before` in the list.
    """
    items = list(newest_first if wanted.order == "desc" else reversed(newest_first))
    if wanted.after is not None:
        items = items[_place(items, wanted.after) + 1 :]
    if wanted.before is not None:
        items = items[: _place(items, wanted.before)]
    from_its_end = wanted.before is not None and wanted.after is None
    data = items[-wanted.limit :] if from_its_end else items[: wanted.limit]
    return {
        "data": data,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": len(data) < len(items),
    }


def _place(items: Sequence[HasId], id: str) -> int:
    for place, item in enumerate(items):
        if item.id == id:
            return place
    raise NotFound(f"The list holds nothing of the id '{id[:80]}'.", "Start again without after and before.")
