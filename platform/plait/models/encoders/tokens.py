"""A model's tokenizer in two forms: one counts all tokens of a text, the other reads as many as the model does."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def counter_and_reader(folder: Path, max_tokens: int) -> "tuple[Tokenizer, Tokenizer]":
    """Both from a folder's tokenizer.json, without padding."""
    from tokenizers import Tokenizer

    counter, reader = (Tokenizer.from_file(str(folder / "tokenizer.json")) for _ in range(2))
    counter.no_truncation()
    reader.enable_truncation(max_tokens)
    for tokenizer in (counter, reader):
        tokenizer.no_padding()
    return counter, reader
