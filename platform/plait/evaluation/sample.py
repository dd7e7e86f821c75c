"""What is judged: a question, what was replied, and what the reply was given from.

It knows neither who replied nor who judges. Samples from elsewhere, which no server of ours answered, are the same.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplePassage:
    """A passage that stood in the prompt, or that should have.

    Attributes:
        source: the document that it is from, named as in the index; empty where it is not known.
        chunk_id: the chunk in the index; empty where it is not known.
        start, end: characters of the document; None where they are not known.
    """

    text: str
    source: str = ""
    chunk_id: str = ""
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class SampleCitation:
    """Characters `start` to `end` of a reply name the passage at `passage` (an index of `Sample.passages`)."""

    start: int
    end: int
    passage: int


@dataclass(frozen=True)
class Sample:
    """One question and one reply.

    Attributes:
        passages: what stood in the prompt, the best first; empty where nothing was retrieved.
        is_grounded: whether passages were looked for, found or not.
        citations: what the reply names of them.
        answers: texts of which each counts as right; empty where no answer is known.
        sources: documents that hold the answer, named as in the index.
        reference_passages: passages that hold the answer.
        kind: a heading that figures are shown under, as in "dates"; empty: none.
        group: questions of one group (of one document, as a rule) are not independent of each other; empty: its own.
        unanswerable: whether the right reply is to decline; None where it is not known.
        pattern: a regular expression (RE2) that the whole reply should match; None: its form does not matter.
    """

    question: str
    reply: str
    passages: tuple[SamplePassage, ...] = ()
    citations: tuple[SampleCitation, ...] = ()
    answers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    reference_passages: tuple[SamplePassage, ...] = ()
    kind: str = ""
    group: str = ""
    unanswerable: bool | None = None
    pattern: str | None = None
    is_grounded: bool = False

    @property
    def passage_texts(self) -> list[str]:
        """The texts of its passages, the best first."""
        return [passage.text for passage in self.passages]
