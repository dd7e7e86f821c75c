"""Citations in the text of an answer: `[1]` after a sentence that repeats words of a passage, and a list of sources.

In: pieces of an answer as they come. Out: the same with marks, nothing held back. Numbers are those of the citations
(and of the passages in the prompt), from 1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from plait.index.passage import Passage
from plait.retrieval.verbatim import MIN_WORDS, repeated
from plait.serve.api.citations import title_of

_ENDED = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
_NEEDS_NO_SPACE = "。！？"
_MARK = re.compile(r"\[(\d{1,3})\]")
_MARKUP = re.compile(r"([\\`*_\[\]<>!|#])")
_LONGEST_TITLE = 200
_LONGEST_SENTENCE = 2_000  # characters; keeps what is looked at for each of them bounded
_LONGEST_END = 16


@dataclass
class InlineCitations:
    """The marks of one answer. `passages`: those of its prompt, best first; `urls`: their addresses."""

    passages: Sequence[Passage]
    urls: Sequence[str]
    inserted: list[tuple[int, int]] = field(default_factory=list)
    """Where in the answer without marks each stands, and how many characters it has."""
    _sentence: str = ""
    _length: int = 0
    _cited: set[int] = field(default_factory=set)

    def push(self, text: str) -> str:
        """Take the next piece; returns what to send."""
        sent = []
        for character in text:
            if self._is_ended_by(character):
                sent.append(self._mark())
            self._sentence += character
            self._length += 1
            sent.append(character)
        return "".join(sent)

    def end(self) -> str:
        """What to send after the last piece: the mark of its sentence, and the sources; all, where none is marked."""
        mark = self._mark()
        cited = sorted(self._cited) or range(len(self.passages))
        return mark + "\n\nSources:" + "".join(f"\n[{i + 1}] {self._title(i)}, {self.urls[i]}" for i in cited)

    def place_in_sent(self, start: int, end: int) -> tuple[int, int]:
        """Characters of what was sent, for characters of the answer without marks."""
        before_start = sum(length for at, length in self.inserted if at <= start)
        before_end = sum(length for at, length in self.inserted if at < end)
        return start + before_start, end + before_end

    def _is_ended_by(self, character: str) -> bool:
        """Whether a sentence ends before this character; a few words, as of a number in a list, are none."""
        if character == "\n":
            return bool(self._sentence.strip())
        if len(self._sentence) > 2 * _LONGEST_SENTENCE:  # not even a space
            return True
        if not character.isspace() and not self._sentence.endswith(tuple(_NEEDS_NO_SPACE)):
            return False
        if len(self._sentence) > _LONGEST_SENTENCE:
            return True
        return bool(_ENDED.search(self._sentence[-_LONGEST_END:])) and len(self._sentence.split()) >= MIN_WORDS

    def _mark(self) -> str:
        sentence, self._sentence = self._sentence, ""
        given = {int(number) - 1 for number in _MARK.findall(sentence)} & set(range(len(self.passages)))
        self._cited |= given
        if given:  # the model has marked it
            return ""
        runs = [(repeated(sentence, passage), i) for i, passage in enumerate(self.passages)]
        found = [(run.answer_end - run.answer_start, -i) for run, i in runs if run is not None]
        if not found:
            return ""
        best = -max(found)[1]
        self._cited.add(best)
        mark = f" [{best + 1}]"
        self.inserted.append((self._length, len(mark)))
        return mark

    def _title(self, i: int) -> str:
        """A title as text: nothing in it is markup, so that a document can put no link or picture into an answer."""
        return _MARKUP.sub(r"\\\1", " ".join(title_of(self.passages[i]).split())[:_LONGEST_TITLE])
