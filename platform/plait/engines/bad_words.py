"""Words that an answer must not have, as the tokens that may not come next (vLLM's `bad_words`).

In: words, and the tokens of an answer so far. Out: the last token of each word whose other tokens have just come. A
word is looked for with and without a space before it. Knows no logits.
"""

from collections.abc import Callable, Sequence


class BadWords:
    """Some words in the tokens of one model.

    Args:
        words: as text.
        encode: gives the tokens of a text, no special tokens added.
    """

    def __init__(self, words: Sequence[str], encode: Callable[[str], list[int]]) -> None:
        self._sequences: list[list[int]] = []
        for word in words:
            bare, spaced = encode(word.lstrip()), encode(" " + word.lstrip())
            self._sequences += [tokens for tokens in (bare, spaced) if tokens]

    def forbidden(self, said: Sequence[int]) -> list[int]:
        """The tokens that would complete a word after these."""
        return [last for *before, last in self._sequences if not before or list(said[-len(before) :]) == before]
