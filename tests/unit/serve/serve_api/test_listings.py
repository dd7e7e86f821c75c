"""Lists in pages, as OpenAI's clients ask for them."""

from dataclasses import dataclass

import pytest

from plait.errors import NotFound
from plait.serve.api.listing import Order, PageWanted, page


@dataclass
class Thing:
    id: str


NEWEST_FIRST = [Thing(letter) for letter in "edcba"]


def ids(
    limit: int = 20, order: Order = "desc", after: str | None = None, before: str | None = None
) -> tuple[str, bool]:
    found = page(NEWEST_FIRST, PageWanted(limit, order, after, before))
    letters = "".join(thing.id for thing in found["data"])
    assert (found["first_id"], found["last_id"]) == ((letters[0], letters[-1]) if letters else (None, None))
    return letters, found["has_more"]


def test_a_page_has_so_many_in_the_order_asked_for_and_says_whether_there_are_more() -> None:
    assert ids() == ("edcba", False)
    assert ids(order="asc") == ("abcde", False)
    assert ids(2) == ("ed", True)
    assert ids(5) == ("edcba", False)


def test_the_next_page_follows_the_last_id_until_there_is_none() -> None:
    assert ids(2, after="d") == ("cb", True)
    assert ids(2, after="b") == ("a", False)
    assert ids(2, after="a") == ("", False)
    assert ids(2, "asc", after="b") == ("cd", True)


def test_the_page_before_an_id_is_next_to_it() -> None:
    assert ids(2, before="b") == ("dc", True)
    assert ids(3, before="b") == ("edc", False)
    assert ids(9, after="e", before="b") == ("dc", False)


@pytest.mark.parametrize("field", ["after", "before"])
def test_a_place_that_is_not_in_the_list_is_not_found(field: str) -> None:
    with pytest.raises(NotFound, match="nothing of the id 'z'"):
        page(NEWEST_FIRST, PageWanted(20, "desc", **{field: "z"}))
