"""Where a value stands in a text, as whole words, whatever its case and blanks."""

import re


def places_of(value: str, text: str) -> list[tuple[int, int]]:
    """The spans of all places, in characters.

    >>> places_of("80", "Port 80 is not 8080."), places_of("New York", "new\\nyork")
    ([(5, 7)], [(0, 8)])
    """
    words = r"\s+".join(map(re.escape, value.split()))
    return [found.span() for found in re.finditer(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE)] if words else []


def around(value: str, text: str) -> tuple[str, ...]:
    """What stands before, between and after the places of a value; the whole text alone where it has none."""
    places = places_of(value, text)
    ends, starts = [0, *(end for _, end in places)], [*(start for start, _ in places), len(text)]
    return tuple(text[end:start] for end, start in zip(ends, starts, strict=True))
