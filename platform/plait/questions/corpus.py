"""The documents that questions are made of, and the passages that they are cut into.

It knows neither where documents lie nor how they are read.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from plait.documents.chunk import Chunk
from plait.documents.parse import Document
from plait.evaluation.answers import tokens


@dataclass(frozen=True)
class Corpus:
    """Documents by name, and their passages in order.

    Attributes:
        editable: documents whose file is their text, so that an edited copy of it can be written.
    """

    documents: Mapping[str, Document]
    passages: Sequence[Chunk]
    editable: frozenset[str] = frozenset()

    @cached_property
    def by_source(self) -> dict[str, list[Chunk]]:
        """The passages of each document, in order."""
        found: dict[str, list[Chunk]] = {}
        for passage in self.passages:
            found.setdefault(passage.source, []).append(passage)
        return found

    @cached_property
    def words(self) -> dict[str, frozenset[str]]:
        """The words of each passage with its title and heading, by the passage's id."""
        return {passage.chunk_id: frozenset(tokens(passage.text_to_embed)) for passage in self.passages}

    def passage_with(self, source: str, start: int, end: int) -> Chunk | None:
        """The passage that holds a span of a document; None where the span is cut."""
        passages = self.by_source.get(source, [])
        number = bisect_right([passage.start for passage in passages], start) - 1
        if number < 0 or end > passages[number].end:
            return None
        return passages[number]
