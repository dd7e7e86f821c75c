"""What an answer repeats of a passage word by word, and where that stands in the source.

In: an answer and a passage that was in its prompt. Out: the longest run of words that both hold. What is found stands
in the source by construction; that the rest of the answer follows from it is not said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import Match

import numpy as np

from plait.index.passage import Passage

_WORD = re.compile(r"\w+(?:[.\-']\w+)*")
MIN_WORDS = 3
"""Shorter runs, as "of the", stand in any text; a shorter answer counts if all of it is there."""


@dataclass(frozen=True)
class Verbatim:
    """Words of a passage: `text` is what stands at the characters `start` to `end` of the source's cleaned text.

    The answer repeats them at its characters `answer_start` to `answer_end`.
    """

    start: int
    end: int
    text: str
    answer_start: int
    answer_end: int


def repeated(answer: str, passage: Passage) -> Verbatim | None:
    """The longest run of words in the answer that the passage holds too, whatever their case and punctuation.

    >>> text = "Ray was released. The installed version of ray is 2.60.0."
    >>> repeated("It is 2.60.0: the installed version of Ray", Passage("1", "ray.md", "", "", text, 0, 57, 0.9)).text
    'The installed version of ray'
    """
    in_answer = list(_WORD.finditer(answer))
    said = [word[0].lower() for word in in_answer]
    words = list(_WORD.finditer(passage.text))
    there = [word[0].lower() for word in words]
    longest = _longest_run(said, there)
    if not said or longest.size < min(MIN_WORDS, len(said)):
        return None
    first, last = words[longest.b], words[longest.b + longest.size - 1]
    text = passage.text[first.start() : last.end()]
    return Verbatim(
        start=passage.start + first.start(),
        end=passage.start + last.end(),
        text=text,
        answer_start=in_answer[longest.a].start(),
        answer_end=in_answer[longest.a + longest.size - 1].end(),
    )


def _longest_run(said: Sequence[str], there: Sequence[str]) -> Match:
    """The longest run of words that both have; of several the first in `said`, then in `there`.

    As difflib finds it, which takes minutes where one word is repeated thousands of times, as models at their wits' end
    do: here each word of `there` takes microseconds.
    """
    numbers = {word: number for number, word in enumerate(dict.fromkeys(said))}
    answer = np.array([numbers[word] for word in said])
    ending = np.zeros(len(said) + 1, np.int64)  # words of the run that ends before each place of the answer
    best = Match(0, 0, 0)
    for place, word in enumerate(there):
        before = ending
        ending = np.zeros_like(before)
        if word not in numbers:
            continue
        ending[1:] = np.where(answer == numbers[word], before[:-1] + 1, 0)
        end = int(ending.argmax())
        size = int(ending[end])
        if size > best.size or (size == best.size and end - size < best.a):
            best = Match(end - size, place + 1 - size, size)
    return best
