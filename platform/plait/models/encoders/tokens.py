"""A model's tokenizer: it counts the tokens of a text, says where they lie, and makes text of tokens again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TextTokens:
    """Tokens of whole texts, however long. `tokenizer`: neither pads nor truncates."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        probe = tokenizer.encode("a")
        marks = probe.special_tokens_mask
        first, last = (marks.index(0), len(marks) - marks[::-1].index(0)) if 0 in marks else (len(marks), len(marks))
        self._before, self._after = probe.ids[:first], probe.ids[last:]

    @property
    def special(self) -> int:
        """Tokens that every text has besides its own."""
        return len(self._before) + len(self._after)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch(list(texts))]

    def places(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends, in characters; special ones have no place."""
        places: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return places

    def text_of(self, ids: Sequence[int]) -> str | None:
        """The text of which this tokenizer makes these tokens, special ones included; None: there is none."""
        given = list(ids)
        if not given or min(given) < 0 or max(given) >= self._tokenizer.get_vocab_size():
            return None
        text: str = self._tokenizer.decode(given[len(self._before) : len(given) - len(self._after)], False)
        return text if self._tokenizer.encode(text).ids == given else None


def counter_and_reader(folder: Path, max_tokens: int) -> "tuple[TextTokens, Tokenizer]":
    """Both from a folder's tokenizer.json, without padding: one of whole texts, one of as much as the model reads."""
    from tokenizers import Tokenizer

    whole, reader = (Tokenizer.from_file(str(folder / "tokenizer.json")) for _ in range(2))
    whole.no_truncation()
    reader.enable_truncation(max_tokens)
    for tokenizer in (whole, reader):
        tokenizer.no_padding()
    return TextTokens(whole), reader
