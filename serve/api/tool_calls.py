"""From a model's text to the calls of tools in it, as it comes.

In: pieces of an answer. Out: text that is certainly no call, at once, and the calls at the end. A call is
`<tool_call>{"name", "arguments"}</tool_call>`, as most chat templates teach, or an answer that is only that JSON.
"""

import json
import re
import uuid
from collections.abc import Collection
from typing import Any

from plait.models.message import CALL_CLOSE, CALL_OPEN, ToolCall

_BEGUN_CALL = re.compile(r'\s*\{\s*"name"\s*:\s*"(?P<name>[^"]+)"\s*,\s*"arguments"\s*:\s*(?P<arguments>.*)', re.DOTALL)


class ToolCallReader:
    """The calls in one answer.

    Args:
        names: of the functions that may be called; what calls another is text.
        is_forced: whether the answer must be a call, so that none of it is text.
        is_parallel: whether there may be more than one.
    """

    def __init__(self, names: Collection[str], is_forced: bool, is_parallel: bool) -> None:
        self._names, self._is_forced, self._is_parallel = names, is_forced, is_parallel
        self._held = ""
        self._holds_all = is_forced
        self._is_begun = False

    def push(self, text: str) -> str:
        """Take the next piece; returns what of the answer is certainly text."""
        self._held += text
        if not self._is_begun and self._held.strip():
            self._is_begun = True
            self._holds_all = self._holds_all or self._held.lstrip()[0] in "{["
        if self._holds_all or not self._is_begun:
            return ""
        opened = self._held.find(CALL_OPEN)
        keep = len(self._held) - opened if opened >= 0 else _could_open(self._held)
        certain = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        self._holds_all = opened >= 0
        return certain

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """The rest of the text, and the calls."""
        held, self._held = self._held, ""
        found = self._called(held)
        if not found:
            return held, ()
        calls = found if self._is_parallel else found[:1]
        return "", tuple(ToolCall(f"call_{uuid.uuid4().hex[:24]}", name, arguments) for name, arguments in calls)

    def _called(self, text: str) -> list[tuple[str, str]]:
        """Names and arguments of the calls that a text consists of."""
        if CALL_OPEN in text:
            pieces = [piece.partition(CALL_CLOSE)[0] for piece in text.split(CALL_OPEN)[1:]]
        else:
            pieces = [text]
        values: list[Any] = []
        for piece in pieces:
            try:
                value = json.loads(piece)
            except ValueError:
                return self._begun(text) if self._is_forced else []
            values += value if isinstance(value, list) else [value]
        calls = [self._call(value) for value in values]
        return [call for call in calls if call is not None] if None not in calls else []

    def _call(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, dict) or value.get("name") not in self._names:
            return None
        arguments = value.get("arguments", value.get("parameters", {}))  # Llama 3 says parameters
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return value["name"], text

    def _begun(self, text: str) -> list[tuple[str, str]]:
        """A forced call that max_tokens cut off: its arguments end where the answer does."""
        match = _BEGUN_CALL.match(text)
        return [(match["name"], match["arguments"])] if match and match["name"] in self._names else []


def _could_open(text: str) -> int:
    """Length of the longest end of the text that `<tool_call>` begins with."""
    return next((n for n in range(len(CALL_OPEN) - 1, 0, -1) if text.endswith(CALL_OPEN[:n])), 0)
