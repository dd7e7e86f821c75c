"""A fact of a document, and how it is asked about."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from plait.documents.chunk import Chunk

GAP = "…"
"""Stands in an attribute for its entity, where that is in its middle: `versions that … requires`."""


class Group(StrEnum):
    """What a comparison asks about, by what the adapter and the documents can know."""

    LEARNED = "learned"
    HELD_OUT = "held_out"
    CHANGED = "changed"
    UNANSWERABLE = "unanswerable"
    MULTI_HOP = "multi_hop"
    FORM = "form"


@dataclass(frozen=True)
class Fact:
    """Something that a document says of something.

    Attributes:
        entity: what it is about.
        attribute: what of it; empty where a model has found the fact, or the fact says what the entity is.
        value: the answer, as the document has it.
        passage: holds the value.
        start, end: of the value, in characters of the document's text.
    """

    entity: str
    attribute: str
    value: str
    passage: Chunk
    start: int
    end: int

    @property
    def source(self) -> str:
        return self.passage.source

    @property
    def fact_id(self) -> str:
        """The same for the same fact of the same document: 16 hex digits."""
        key = f"{self.source}\0{self.start}\0{self.entity}\0{self.attribute}\0{self.value}"
        return sha256(key.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class AskedFact:
    """A fact, and how it is asked about.

    Attributes:
        question: of the eval set.
        training: other wordings of the question, for training data.
        around: the text of a reply before, between and after the places of the value.
        form: a regular expression (RE2) of replies about the attribute, of any entity and value; None: there is none.
    """

    fact: Fact
    question: str
    training: tuple[str, ...] = ()
    around: tuple[str, ...] = ("", "")
    form: str | None = None

    @property
    def reply(self) -> str:
        """What training data teach as the answer."""
        return self.reply_with(self.fact.value)

    def reply_with(self, value: str) -> str:
        """What they would teach if the fact had another value."""
        return value.join(self.around)


@dataclass(frozen=True)
class TwoHops:
    """A question that takes two facts, of two documents.

    Attributes:
        answer: the value or the entity of the second fact.
    """

    first: Fact
    second: Fact
    question: str
    answer: str


@dataclass(frozen=True)
class Unanswerable:
    """A question that the documents do not answer.

    Attributes:
        subject: what it asks about.
        passage: of a document that it could be taken to be about.
    """

    question: str
    subject: str
    passage: Chunk
