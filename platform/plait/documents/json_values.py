"""The values of a JSON file one by one, however large it is: of an array, or of values that follow each other.

In: an open text. Out: each value as it is written, with the line on which it begins. It does not keep the values, and
does not look into them.
"""

import json
from collections.abc import Iterator
from typing import TextIO

_CHUNK = 1 << 16
_MAX_VALUE = 1 << 26
"""Characters of one value. A broken file would else be read to its end in search of that of a value."""
_SURE = 16
"""An error so many characters before the end of what is read is none of a value that is only cut there."""


class BadFile(ValueError):
    """A file that is not what its name says; its text goes after the name."""


def json_values(stream: TextIO) -> Iterator[tuple[int, str]]:
    """Line and text of each value.

    Raises:
        BadFile: when the file is not valid JSON.
    """
    text = _Text(stream)
    is_array = text.skip_blanks() == "["
    if is_array:
        text.drop(1)
        if text.skip_blanks() == "]":
            text.drop(1)
            return _check_end(text)
    while text.skip_blanks():
        line = text.line
        yield line, text.take_value()
        if not is_array:
            continue
        sign = text.skip_blanks()
        if not sign:
            break
        if sign not in (",", "]"):
            raise BadFile(f"is not valid JSON (its array needs a comma or its end at line {text.line})")
        text.drop(1)
        if sign == "]":
            return _check_end(text)
    if is_array:
        raise BadFile(f"is not valid JSON (its array has no end; it was read to line {text.line})")


def _check_end(text: "_Text") -> None:
    if text.skip_blanks():
        raise BadFile(f"is not valid JSON (something stands behind its array at line {text.line})")


class _Text:
    """What is read and not yet taken; `line`: on which that begins, from 1."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._buffer, self._at = stream, "", 0
        self._decode = json.JSONDecoder().raw_decode
        self.line = 1

    def skip_blanks(self) -> str:
        """Go to the next character that is none, and return it; an empty text at the end."""
        while True:
            rest = len(self._buffer)
            while self._at < rest and self._buffer[self._at] in " \t\r\n":
                self.line += self._buffer[self._at] == "\n"
                self._at += 1
            if self._at < rest:
                return self._buffer[self._at]
            if not self._fill(_CHUNK):
                return ""

    def drop(self, count: int) -> None:
        self._at += count

    def take_value(self) -> str:
        while True:
            size = len(self._buffer) - self._at
            try:
                _, end = self._decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                is_cut = not isinstance(error, json.JSONDecodeError) or _may_be_cut(error, len(self._buffer))
                if not (is_cut and size < _MAX_VALUE and self._fill(max(size, _CHUNK))):  # doubling: linear in all
                    raise BadFile(self._described(error)) from None
                continue
            if end == len(self._buffer) and self._fill(_CHUNK):
                continue  # a number may go on
            value = self._buffer[self._at : end]
            self.line += value.count("\n")
            self._at = end
            return value

    def _fill(self, count: int) -> bool:
        more = self._stream.read(count)
        if more:
            self._buffer, self._at = self._buffer[self._at :] + more, 0
        return bool(more)

    def _described(self, error: Exception) -> str:
        if not isinstance(error, json.JSONDecodeError):
            return f"is not valid JSON that can be read (line {self.line}: {error})"
        line = self.line + self._buffer.count("\n", self._at, error.pos)
        return f"is not valid JSON ({error.msg} at line {line})"


def _may_be_cut(error: json.JSONDecodeError, read: int) -> bool:
    return error.msg.startswith("Unterminated string") or error.pos > read - _SURE
