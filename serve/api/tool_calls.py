"""From a model's text to the calls of tools in it, as it comes.

In: pieces of an answer. Out: text that is certainly no call, at once, and the calls at the end. A call is the JSON of a
function's name and its arguments: between `<tool_call>` tags, as most chat templates teach, in a Markdown fence, or
alone on its lines, as small models write it. JSON that names no known function is text.
"""

import json
import re
import uuid
from collections.abc import Collection, Iterator
from typing import Any

from plait.models.message import CALL_OPEN, ToolCall
from plait.strict_json import parse_json

_OPENINGS = (CALL_OPEN, "<tools>", "```")  # Qwen2.5-Coder writes <tools>, the tag around what it may call
_OPENING = re.compile(rf"(?:{CALL_OPEN}|<tools>|```\w{{0,16}})\Z")
_LONGEST_OPENING = 24
_LONGEST_BEGINNING = 1024
"""Characters that tell whether JSON may be a call: its first key and a name of at most 128 characters."""
_JSON_BEGINS = re.compile(r"[\[{]")
_ARGUMENTS = ("arguments", "parameters")  # Llama 3 says parameters
_KEYS = ("name", *_ARGUMENTS, "type", "function")
_BEGUN_CALL = re.compile(r'\s*\{\s*"name"\s*:\s*"(?P<name>[^"]+)"\s*,\s*"arguments"\s*:\s*(?P<arguments>.*)', re.DOTALL)
_MARK = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_WINDOW = 16 * 1024
_LONGEST_WORD = 16  # of JSON, as -Infinity or the escapes of a pair of surrogates: an error stands at its beginning
_NamedArguments = tuple[str, str]
_JSON = json.JSONDecoder(strict=False)  # small models break lines within texts


class ToolCallReader:
    """The calls in one answer.

    Args:
        names: of the functions that may be called; what calls another is text.
        is_forced: whether the answer must be a call, so that none of it is text.
        is_parallel: whether there may be more than one.
    """

    def __init__(self, names: Collection[str], is_forced: bool, is_parallel: bool) -> None:
        self._names, self._is_forced, self._is_parallel = tuple(names), is_forced, is_parallel
        self._pieces: list[str] = []  # of what is held
        self._is_begun = False
        self._is_called = False
        self._open: _EndOfJson | None = None

    def push(self, text: str) -> str:
        """Take the next piece; returns what of the answer is certainly text."""
        self._pieces.append(text)
        if self._is_forced or self._is_called or (self._open and self._open.find(text) is None):
            return ""  # without a look at what is held: at each piece, that would take longer
        held = "".join(self._pieces)
        certain = self._certain(held)
        self._pieces = [held[certain:]]
        self._is_begun = self._is_begun or certain > 0
        return held[:certain]

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """The rest of the text, and the calls; what the model wrote after its first call, and is none, is left out."""
        held, self._pieces = "".join(self._pieces), []
        before, calls = self._called(held)
        if not calls and self._is_forced:
            before, calls = "", self._cut_off(held)
        if not calls:
            return held, ()
        calls = calls if self._is_parallel else calls[:1]
        return before, tuple(ToolCall(f"call_{uuid.uuid4().hex[:24]}", name, arguments) for name, arguments in calls)

    def _certain(self, held: str) -> int:
        """How many characters of what is held are text, whatever follows."""
        self._open = None
        behind = 0
        for opening, at in self._openings(held):
            if at < behind or not self._may_be_a_call(held[at : at + _LONGEST_BEGINNING]):
                continue
            end_of_json = _EndOfJson()
            end = end_of_json.find(held, at)
            if end is None:
                if len(held) - at >= _LONGEST_BEGINNING:  # else what follows may tell that it is no call
                    self._open = end_of_json
                return opening
            self._is_called = bool(self._calls_at(held[at:end], 0)[0])
            if self._is_called:
                return opening
            behind = end  # whole, and no call
        body = len(held.rstrip())  # a call may come on the next line
        tail = held[max(0, body - _LONGEST_OPENING) : body]
        if found := _OPENING.search(tail):
            body -= len(tail) - found.start()
        elif body == len(held):
            body -= _could_open(tail)
        return _end_of_text(held, body)

    def _openings(self, text: str) -> Iterator[tuple[int, int]]:
        """Where JSON begins that may be a call: after a tag or a fence, or on a line of its own.

        Each after where the text before it ends.
        """
        for begun in _JSON_BEGINS.finditer(text):
            at = begun.start()
            body = _end_of_text(text, at)
            tail = text[max(0, body - _LONGEST_OPENING) : body]
            if found := _OPENING.search(tail):
                yield _end_of_text(text, body - len(tail) + found.start()), at
            elif "\n" in text[body:at] or not (body or self._is_begun):
                yield body, at

    def _may_be_a_call(self, begun: str) -> bool:
        """Whether JSON that begins like this can be a call, or a list of them."""
        begun = begun.removeprefix("[").lstrip()
        if not begun:
            return True
        if begun[0] != "{":
            return False
        begun = begun[1:].lstrip()
        key, is_whole, rest = _text_at(begun)
        if key is None:
            return not begun
        if not is_whole:
            return any(known.startswith(key) for known in _KEYS)
        rest = rest.lstrip().removeprefix(":").lstrip()
        values = {"name": self._names, "type": ("function",)}.get(key)
        if values is None or not rest:
            return key in _KEYS
        value, is_whole, _ = _text_at(rest)
        if value is None:
            return False
        return value in values if is_whole else any(known.startswith(value) for known in values)

    def _called(self, text: str) -> tuple[str, list[_NamedArguments]]:
        """What stands before the first call of a known function, and all of them."""
        before, calls, behind = text, list[_NamedArguments](), 0
        for opening, at in self._openings(text):
            if at < behind:
                continue  # within what was read
            found, behind = self._calls_at(text, at)
            if found:
                before = before if calls else text[:opening]
                calls += found
        return before, calls

    def _calls_at(self, text: str, start: int) -> tuple[list[_NamedArguments], int]:
        """The calls that follow each other from `start` on, and the end of what was read, which is no more to be read.

        The first JSON that is no call ends them; a list is one where all that is in it are.
        """
        calls: list[_NamedArguments] = []
        end = start
        while end < len(text) and text[end] in "[{":
            try:
                value, end = _decoded(text, end)
            except json.JSONDecodeError as error:
                return calls, max(end + error.pos, start + 1)
            except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
                return calls, len(text)
            found = [self._call(item) for item in (value if isinstance(value, list) else [value])]
            known = [call for call in found if call is not None]
            if not known or len(known) < len(found):
                break
            calls += known
            while end < len(text) and text[end] in " \t\r\n,;":  # Llama 3 puts a semicolon between calls
                end += 1
        return calls, end

    def _call(self, value: Any) -> _NamedArguments | None:
        called = value.get("function", value) if isinstance(value, dict) else None  # OpenAI's shape, or the plain one
        if not isinstance(called, dict) or called.get("name") not in self._names:
            return None
        given = [called[key] for key in _ARGUMENTS if key in called]
        if not given and len(called) > 1:
            return None
        try:
            arguments: Any = given[0] if given else None
            arguments = (parse_json(arguments) if isinstance(arguments, str) and arguments else arguments) or {}
            written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
            written.encode()  # half a character is no text
        except ValueError:
            return None
        return (called["name"], written) if isinstance(arguments, dict) else None

    def _cut_off(self, text: str) -> list[_NamedArguments]:
        """A forced call that max_tokens cut off: its arguments end where the answer does."""
        match = _BEGUN_CALL.match(text)
        return [(match["name"], match["arguments"])] if match and match["name"] in self._names else []


def _end_of_text(text: str, end: int) -> int:
    """Where the text before `end` ends, without the whitespace there."""
    while end and text[end - 1].isspace():
        end -= 1
    return end


class _EndOfJson:
    """Looks for the end of JSON that comes in pieces, at each character once."""

    def __init__(self) -> None:
        self._depth, self._is_in_text, self._is_escaped = 0, False, False

    def find(self, piece: str, start: int = 0) -> int | None:
        """Where in the next piece the JSON ends; None: it goes on. The first piece has it from `start` on."""
        read = start
        if self._is_escaped and piece:
            read, self._is_escaped = start + 1, False
        for mark in _MARK.finditer(piece, read):
            read = mark.end()
            if mark[0] == '"':
                self._is_in_text = not self._is_in_text
            elif len(mark[0]) == 1 and not self._is_in_text:
                self._depth += 1 if mark[0] in "[{" else -1
                if not self._depth:
                    return read
        self._is_escaped = self._is_escaped or (read < len(piece) and piece.endswith("\\"))
        return None


def _decoded(text: str, start: int) -> tuple[Any, int]:
    """The JSON at a place, and where it ends.

    Raises:
        JSONDecodeError: where there is none; its `pos` counts from `start`.
    """
    size = _WINDOW
    while True:
        # A part of the text, since an error counts the lines before it.
        part = text[start : start + size]
        try:
            value, length = _JSON.raw_decode(part)
            return value, start + length
        except json.JSONDecodeError as error:
            may_be_cut = error.pos > len(part) - _LONGEST_WORD or error.msg.startswith("Unterminated string")
            if not may_be_cut or start + size >= len(text):
                raise
        size *= 4


def _text_at(begun: str) -> tuple[str | None, bool, str]:
    """The JSON text that stands here, whether it is whole, and what follows; None where another value does."""
    if not begun.startswith('"'):
        return None, False, begun
    text, quote, rest = begun[1:].partition('"')
    return text, bool(quote), rest


def _could_open(text: str) -> int:
    """Length of the longest end of the text that an opening begins with."""
    ends = (n for o in _OPENINGS for n in range(1, len(o)) if text.endswith(o[:n]))
    return max(ends, default=0)
