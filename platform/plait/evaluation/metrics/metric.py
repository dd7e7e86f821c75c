"""The port `Metric`: a sample in, a score out; and the registry of metrics by name.

A metric is one file: a class, and one registration in `plait.evaluation.metrics`. What it needs of a sample it says, so
that a report can tell "does not apply" (no such field in the row) from "cannot be said" (it was tried).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import Score

if TYPE_CHECKING:
    from plait.evaluation.judges.judge import Judge
    from plait.models.embedding import Embedding


class Need(StrEnum):
    """A field of a sample that a metric cannot do without.

    `PASSAGES`: they were looked for; a search that found none is measured, not passed over.
    """

    ANSWERS = "answers"
    SOURCES = "sources"
    PASSAGES = "passages"
    CITATIONS = "citations"
    REFERENCE_PASSAGES = "reference_passages"
    UNANSWERABLE = "unanswerable"
    PATTERN = "pattern"


class Metric(Protocol):
    """One figure of an evaluation. It may be asked from many tasks of one event loop.

    Attributes:
        name: as in recipes and reports, `token_f1`.
        needs: the fields of a sample without which it does not apply.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[Need]: ...

    async def score(self, sample: Sample) -> Score:
        """What a sample that has all that is needed is worth.

        Raises:
            PlaitError: when a judge or a model cannot be asked at all; what it says and cannot be read is a score that
                cannot be said.
        """
        ...


class AskAgain(Protocol):
    """The model that is judged, to be asked again. It writes passages into the prompt as serving does."""

    async def reply(self, question: str, passages: Sequence[SamplePassage]) -> str:
        """The likeliest reply to a question from these passages, best first; from none, too.

        Raises:
            PlaitError: when the model cannot be asked.
        """
        ...


@dataclass(frozen=True)
class Instruments:
    """What metrics may measure with. `ask`: the model that is judged; None where it cannot be asked again."""

    judge: "Judge"
    embedding: "Embedding | None" = None
    ask: AskAgain | None = None


Builder = Callable[[Instruments], Metric]
_BUILDERS: dict[str, Builder] = {}
_MEANINGS: dict[str, str] = {}


def register(name: str, builder: Builder, says: str = "") -> None:
    """Make a metric known by its name.

    Args:
        says: what its mean is, in a few words for who reads a report, as in "supported claims / claims".
    """
    _BUILDERS[name] = builder
    _MEANINGS[name] = says


def metric_names() -> list[str]:
    """All metrics, in the order in which they were registered."""
    return list(_BUILDERS)


def meaning(name: str) -> str:
    """What the mean of a metric is, in a few words; empty where its registration does not say."""
    return _MEANINGS.get(name, "")


def metric(name: str, instruments: Instruments) -> Metric:
    """The metric of a name.

    Raises:
        InvalidInput: when there is none, or it lacks an instrument.
    """
    from plait.errors import InvalidInput, did_you_mean

    if name not in _BUILDERS:
        raise InvalidInput(f"There is no metric '{name}'.", did_you_mean(name, _BUILDERS))
    return _BUILDERS[name](instruments)


def lacking(needs: frozenset[Need], sample: Sample) -> Sequence[Need]:
    """What a metric needs and a sample does not have, sorted by name."""
    has = {need for need in Need if getattr(sample, need) not in ((), None)}
    if sample.is_grounded:
        has.add(Need.PASSAGES)
    return sorted(needs - has)
