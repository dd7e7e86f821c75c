"""What of a question is searched for, the same in serving and in jobs.

In: a question as somebody wrote it. Out: the text to search for, or nothing where it holds no word: every passage is as
near to it as any other, and what a search finds for it is chance.
"""

from dataclasses import dataclass

from plait.index.words import from_word_to_word, has_words

MAX_CHARACTERS = 16_384
"""Of a question are searched for: dense models read a fraction of that, and every word more makes BM25 slower for
everybody."""


@dataclass(frozen=True)
class Question:
    """The text to search for; `is_cut`: it is the beginning and the end of what was asked."""

    text: str
    is_cut: bool = False

    @classmethod
    def of(cls, asked: str) -> "Question | None":
        """What was asked; None: it holds no letter and no digit, so there is nothing to look for."""
        text = asked.strip()
        if not has_words(text):
            return None
        if len(text) > MAX_CHARACTERS:
            text = from_word_to_word(text)  # so that both ends have words
        if len(text) <= MAX_CHARACTERS:
            return cls(text)
        half = MAX_CHARACTERS // 2
        return cls(f"{text[:half]}\n{text[-half + 1 :]}", is_cut=True)
