"""The fields of a row, taken one by one, so that it can be said what nobody took.

In: the values that a row has. Out: texts and lists, or a sentence that names the field at fault. It does not know what
a field means.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plait.documents.row_files import BadRow

TOO_MANY_LEVELS = "is no example: its JSON has too many levels"
"""Of a value that a chat template, or Python, cannot walk through."""
NOTHING: tuple[Any, ...] = (None, "", [], {})
"""Values that say nothing. 0 and false do."""
_KINDS = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


class Fields:
    """The values of a row, or of an object in it. A null is no value.

    Args:
        values: by name.
        place: where they stand in the row, as in `messages.0`; empty for the row itself.
    """

    def __init__(self, values: Mapping[str, Any], place: str = "") -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        self._prefix = f"{place}." if place else ""
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def place(self, name: str) -> str:
        """Where a field stands in the row, as in `messages.0.content`."""
        return self._prefix + name

    def first_of(self, names: Iterable[str]) -> str | None:
        """The first of these names that has a value."""
        for name in names:
            if name in self._values:
                return name
        return None

    def take(self, name: str) -> Any:
        """The value, or None; from now on the field counts as used."""
        self._taken.add(name)
        return self._values.get(name)

    def text(self, name: str) -> str:
        """A text of one character or more.

        Raises:
            BadRow: when it is none.
        """
        return checked_text(self.take(name), self.place(name))

    def text_or_nothing(self, name: str) -> str:
        """A text, which is empty where there is none."""
        value = self.take(name)
        return "" if value in NOTHING else checked_text(value, self.place(name))

    def listed(self, name: str) -> list[Any]:
        """A list, which may be written as JSON in a text (as in CSV), and is empty where there is none.

        Raises:
            BadRow: when it is none.
        """
        value = self.take(name)
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = parsed(value, self.place(name))
        if value in NOTHING:
            return []
        if not isinstance(value, list):
            raise BadRow(f"is no example: {self.place(name)} is {kind_of(value)} and must be a list")
        return value

    def mapping(self, name: str, what: str) -> dict[str, Any] | None:
        """An object, which may be written as JSON in a text; None where there is none.

        Args:
            name: of the field.
            what: the object should be, as in `a JSON schema`.

        Raises:
            BadRow: when it is none.
        """
        value = self.take(name)
        if isinstance(value, str):
            value = parsed(value, self.place(name))
        if value is not None and not isinstance(value, dict):
            raise BadRow(f"is no example: {self.place(name)} is {kind_of(value)} and must be {what}")
        return value

    def unused(self) -> Iterator[tuple[str, Any]]:
        """Names and values of the fields that nobody took and that are not empty."""
        for name, value in self._values.items():
            if name not in self._taken and value not in NOTHING:
                yield name, value


def checked_text(value: Any, place: str) -> str:
    """The value, if it is a text of one character or more, and whole (not half of a surrogate pair).

    Raises:
        BadRow: with the place.
    """
    if not isinstance(value, str):
        raise BadRow(f"is no example: {place} is {kind_of(value)} and must be a text")
    if not value:
        raise BadRow(f"is no example: {place} is empty")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadRow(f"is no example: {place} has half a character (position {error.start})") from None
    return value


def parsed(text: str, place: str) -> Any:
    """What a text says as JSON.

    Raises:
        BadRow: when it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"is no example: {place} is not valid JSON ({error})") from None


def as_json(value: Any, place: str) -> str:
    """A JSON value as text, its letters as they are.

    Raises:
        BadRow: when it holds half a character, or more levels than Python can write.
    """
    try:
        return checked_text(json.dumps(value, ensure_ascii=False), place)
    except RecursionError:
        raise BadRow(f"is no example: {place} has too many levels") from None


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    return _KINDS.get(type(value), "missing" if value is None else type(value).__name__)
