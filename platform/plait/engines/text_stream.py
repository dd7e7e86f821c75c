"""From tokens to text, piece by piece: whole characters only, and never a part of a stop string."""

from collections.abc import Sequence
from typing import Any

from tokenizers.decoders import DecodeStream

from plait.engines.stop_strings import StopStrings


class TextStream:
    """The text of one answer as its tokens come.

    Args:
        tokenizer: a fast transformers tokenizer.
        stop: strings at which the text ends; of several that end at one place the longest counts.
        includes_stop: whether the string that ends the text stays in it.
        skips_special_tokens: whether special tokens are no text.
    """

    def __init__(
        self, tokenizer: Any, stop: Sequence[str], includes_stop: bool = False, skips_special_tokens: bool = True
    ) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._decoder = DecodeStream(skip_special_tokens=skips_special_tokens)
        self._stops, self._includes_stop = StopStrings(stop), includes_stop
        self._state = 0
        self._held = ""
        self.is_stopped = False
        """Whether a stop string was met; no more text comes after it."""
        self.stop_string = ""
        """Which it was."""

    def push(self, token: int, may_stop: bool = True) -> str:
        """The text that this token makes certain, which may be none yet.

        Where it may not stop, no stop string ends in its text, or begins there.
        """
        if self.is_stopped:
            return ""
        text: str = self._decoder.step(self._backend, token) or ""
        if not self._stops:
            return text
        before, self._held = self._held, ""
        if not may_stop:
            self._state = 0
            return before + text
        for at, character in enumerate(text, start=len(before) + 1):
            self._state = self._stops.step(self._state, character)
            length = self._stops.matched[self._state]
            if length:
                self.is_stopped = True
                self.stop_string = (before + text)[at - length : at]
                return (before + text)[: at if self._includes_stop else at - length]
        certain = len(before) + len(text) - self._stops.depth[self._state]
        self._held = (before + text)[certain:]
        return (before + text)[:certain]

    def end(self) -> str:
        """What was held back, now that no more tokens come."""
        rest, self._held = self._held, ""
        return rest
