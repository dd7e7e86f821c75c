"""The sentences of a text, with their places in it.

In: a text. Out: its sentences, as sentencex (Wikimedia) finds them for some 240 languages. A mark such as `[1]` belongs
to the sentence before it.
"""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Sentence:
    """Characters `start` to `end` of a text, without the blanks around them."""

    start: int
    end: int
    text: str


def sentences(text: str) -> list[Sentence]:
    """The sentences of a text that hold a letter or a digit.

    >>> [sentence.text for sentence in sentences("Dr. Wu wrote 2.60.0. [1] Is it new?")]
    ['Dr. Wu wrote 2.60.0. [1]', 'Is it new?']
    """
    from sentencex import get_sentence_boundaries

    starts = [boundary["start_index"] for boundary in get_sentence_boundaries("en", text)]
    found = []
    for start, end in pairwise(sorted({0, *starts, len(text)})):
        piece = text[start:end].strip()
        if any(character.isalnum() for character in piece):
            begin = text.index(piece, start)
            found.append(Sentence(begin, begin + len(piece), piece))
    return found
