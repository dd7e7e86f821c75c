"""Special tokens inside what somebody said, broken up: text must not become a control token.

In: any JSON value, and the texts of the special tokens (a model may have thousands). Out: the same value, in which no
text holds any of them. The time is linear in the text, however many tokens there are. It knows no chat format.
"""

from collections.abc import Sequence
from typing import Any

import re2

_PATTERN_BYTES = 64 << 20
"""What RE2 may use for a model's tokens: Gemma's 6,249 need about one MB, and with too little RE2 gets slow."""

_PASSES = 8
"""Of tokens that overlap a pass breaks one. A bound, because a token that begins with a space cannot be broken so."""


class SpecialTokens:
    """The special tokens of one chat format, each of two characters or more."""

    def __init__(self, tokens: Sequence[str]) -> None:
        options = re2.Options()
        options.max_mem = _PATTERN_BYTES
        longest_first = sorted(tokens, key=len, reverse=True)
        self._pattern: Any = re2.compile("|".join(map(re2.escape, longest_first)), options) if tokens else None

    def break_up(self, value: Any) -> Any:
        """The same JSON value; in each special token in it stands a space behind the first character."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._break_up_text(value)
        if isinstance(value, list):
            return [self.break_up(v) for v in value]
        if isinstance(value, dict):
            return {self._break_up_text(k): self.break_up(v) for k, v in value.items()}
        return value

    def _break_up_text(self, text: str) -> str:
        for _ in range(_PASSES):
            if not self._pattern.search(text):
                break
            text = self._pattern.sub(_with_a_space, text)
        return text


def special_tokens(tokens: tuple[str, ...]) -> SpecialTokens:
    """Those of a chat format, compiled once.

    The tuple is known by its identity: to hash thousands of tokens takes longer than to look through a message.
    """
    known = _compiled.get(id(tokens))
    if known is None or known[0] is not tokens:
        if len(_compiled) >= _MAX_COMPILED:
            _compiled.clear()
        known = _compiled[id(tokens)] = (tokens, SpecialTokens(tokens))
    return known[1]


_MAX_COMPILED = 64
_compiled: dict[int, tuple[tuple[str, ...], SpecialTokens]] = {}


def _with_a_space(match: Any) -> str:
    token: str = match[0]
    return f"{token[0]} {token[1:]}"
