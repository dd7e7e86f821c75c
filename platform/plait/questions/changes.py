"""Facts that change: another value for a fact, and copies of documents in which it stands.

In: facts, and what other documents say. Out: new values that look right, by the swaps of calibration, and the texts of
the edited documents. Only a value that stands in one place is changed, so that no document contradicts another.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from plait.evaluation.answers import tokens
from plait.evaluation.calibration.material import Material
from plait.evaluation.calibration.swaps import swapped
from plait.questions.corpus import Corpus
from plait.questions.fact import AskedFact, Fact
from plait.questions.places import places_of

_DISTRACTORS = 3
_TRIES = 6


@dataclass(frozen=True)
class Change:
    """A fact with the value that it has from now on."""

    fact: Fact
    value: str


class Swaps:
    """Wrong values that look right, for the facts of a corpus.

    Args:
        asked: all facts; values are swapped among them.
        seed: chooses.
    """

    def __init__(self, asked: Sequence[AskedFact], seed: int) -> None:
        self._seed = seed
        is_one_document = len({each.fact.source for each in asked}) == 1
        self._material = {
            each.fact.fact_id: _material(number, each, is_one_document) for number, each in enumerate(asked)
        }

    @cached_property
    def _all(self) -> list[Material]:
        return list(self._material.values())

    def swap(self, fact: Fact, turn: int = 0) -> str | None:
        """Another value for a fact; None where nothing of its form is said elsewhere. `turn`: another choice."""
        return swapped(self._material[fact.fact_id], self._all, random.Random(f"{self._seed} {turn} {fact.fact_id}"))

    def distractors(self, fact: Fact) -> list[str]:
        """Up to three different wrong values."""
        made = (self.swap(fact, turn) for turn in range(1, _TRIES + 1))
        return list(dict.fromkeys(value for value in made if value is not None))[:_DISTRACTORS]


def can_change(fact: Fact, corpus: Corpus) -> bool:
    """Whether a copy of the fact's document can be written, and the value stands only there.

    It stands once in its document, and no passage of another one has all words of the entity and the value.
    """
    if fact.source not in corpus.editable:
        return False
    said = {*tokens(fact.entity), *tokens(fact.value)}
    others = (passage for passage in corpus.passages if passage.source != fact.source)
    if any(said <= corpus.words[passage.chunk_id] for passage in others):
        return False
    text = corpus.documents[fact.source].text
    return len(places_of(text[fact.start : fact.end], text)) == 1


def edited(corpus: Corpus, changes: Sequence[Change]) -> dict[str, str]:
    """The texts of the documents that changes are made in, by name."""
    by_source: dict[str, list[Change]] = {}
    for change in changes:
        by_source.setdefault(change.fact.source, []).append(change)
    return {source: _edit(corpus.documents[source].text, 0, own) for source, own in sorted(by_source.items())}


def edited_passage(fact: Fact, changes: Mapping[str, Sequence[Change]]) -> str:
    """The passage of a fact as it reads after the changes of its document. `changes`: by document."""
    passage = fact.passage
    within = [
        each
        for each in changes.get(passage.source, ())
        if passage.start <= each.fact.start and each.fact.end <= passage.end
    ]
    return _edit(passage.text, passage.start, within)


def _edit(text: str, offset: int, changes: Sequence[Change]) -> str:
    """A text with values replaced, from its end to its beginning, so that places stay. `offset`: its own place."""
    for change in sorted(changes, key=lambda each: -each.fact.start):
        start, end = change.fact.start - offset, change.fact.end - offset
        text = text[:start] + change.value + text[end:]
    return text


def _material(number: int, asked: AskedFact, is_one_document: bool) -> Material:
    """A fact as swaps take it. Of a single document, each passage counts as a document of its own."""
    fact = asked.fact
    source = fact.passage.chunk_id if is_one_document else fact.source
    return Material(number, asked.question, (fact.value,), fact.passage.text, source, source, fact.attribute)
