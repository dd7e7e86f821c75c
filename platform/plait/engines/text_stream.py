"""From tokens to text, piece by piece: whole characters only, and never a part of a stop string."""

from collections.abc import Sequence
from typing import Any

from tokenizers.decoders import DecodeStream


class TextStream:
    """The text of one answer as its tokens come.

    Args:
        tokenizer: a fast transformers tokenizer.
        stop: strings at which the text ends; they are left out of it.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str]) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stop = [s for s in stop if s]
        self._held = ""
        self.is_stopped = False
        """Whether a stop string was met; no more text comes after it."""

    def push(self, token: int) -> str:
        """The text that this token makes certain, which may be none yet."""
        if self.is_stopped:
            return ""
        self._held += self._decoder.step(self._backend, token) or ""
        cut = min((at for s in self._stop if (at := self._held.find(s)) >= 0), default=-1)
        if cut >= 0:
            self.is_stopped = True
            certain, self._held = self._held[:cut], ""
            return certain
        keep = self._could_begin_a_stop()
        certain = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return certain

    def end(self) -> str:
        """What was held back, now that no more tokens come."""
        rest, self._held = self._held, ""
        return rest

    def _could_begin_a_stop(self) -> int:
        """Length of the longest end of the held text that a stop string begins with."""
        longest = 0
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest
