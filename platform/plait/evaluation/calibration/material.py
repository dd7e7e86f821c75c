"""What cases are made of: a question, its answer, and a passage that holds the answer.

In: samples of an eval set or of a run, and where to look documents up. Out: `Material`, and of which sample there is
none and why. Whether a passage holds an answer is whether the answer stands in it, word for word.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plait.evaluation.answers import is_correct
from plait.evaluation.sample import Sample

FindDocument = Callable[[str], Sequence[str]]
"""The passages of a document of the index by its name, in its order; none where there is no such document."""


@dataclass(frozen=True)
class Material:
    """A question that cases can be made of.

    Attributes:
        number: of the sample, among all that were given.
        answers: texts of which each counts as right; the first is what replies are made of. Empty for a question that
            the documents do not answer.
        passage: holds the first answer; empty where there is no answer.
        source: the document of the passage, or its own where none is named.
        group: questions of one group are not independent of each other.
    """

    number: int
    question: str
    answers: tuple[str, ...]
    passage: str
    source: str
    group: str
    kind: str = ""

    @property
    def answer(self) -> str:
        return self.answers[0]


@dataclass(frozen=True)
class Missing:
    """What could not be made, and why, as a sentence."""

    question: str
    what: str
    reason: str


def find_material(
    samples: Sequence[Sample], find_document: FindDocument | None = None
) -> tuple[list[Material], list[Missing]]:
    """Material of each sample that has what it takes; a question that comes twice, as in two arms, counts once.

    Args:
        find_document: where passages of a sample's `sources` are looked up that holds none itself.
    """
    found: list[Material] = []
    missing: list[Missing] = []
    seen: set[str] = set()
    for number, sample in enumerate(samples):
        if sample.question in seen:
            continue
        seen.add(sample.question)
        group = sample.group or next(iter(sample.sources), "") or f"question {number}"
        if sample.unanswerable:
            found.append(Material(number, sample.question, (), "", "", group, sample.kind))
        elif not sample.answers:
            missing.append(Missing(sample.question, "any case", "The question has no answer."))
        elif (held := _held(sample, find_document)) is None:
            missing.append(Missing(sample.question, "any case", "No passage holds an answer of it."))
        else:
            answer, passage, source = held
            answers = (answer, *(other for other in sample.answers if other != answer))
            source = source or f"question {number}"
            found.append(Material(number, sample.question, answers, passage, source, group, sample.kind))
    return found, missing


def _held(sample: Sample, find_document: FindDocument | None) -> tuple[str, str, str] | None:
    """An answer, a passage that holds it, and the document of that."""
    for passage, source in _passages(sample, find_document):
        for answer in sample.answers:
            if is_correct(passage, answer):
                return answer, passage, source
    return None


def _passages(sample: Sample, find_document: FindDocument | None) -> Iterator[tuple[str, str]]:
    """Passages that may hold an answer, with their documents, the likeliest first."""
    for passage in (*sample.reference_passages, *sample.passages):
        if not sample.sources or not passage.source or passage.source in sample.sources:
            yield passage.text, passage.source
    if find_document is not None:
        for source in sample.sources:
            for text in find_document(source):
                yield text, source
