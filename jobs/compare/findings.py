"""What a comparison measured, before anybody says what it shows: answers, times, what training made of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plait.jobs.compare.arms import Arm
from plait.jobs.evaluate.report import EvaluationReport
from plait.recipes import CompareRecipe

LEARNED, HELD_OUT, CHANGED = "learned", "held_out", "changed"
UNANSWERABLE, MULTI_HOP, FORM = "unanswerable", "multi_hop", "form"

KINDS: Mapping[str, str] = {
    LEARNED: "facts that were in the training data, asked in other words",
    HELD_OUT: "facts of the documents that nobody was trained on",
    CHANGED: "facts that changed after training",
    UNANSWERABLE: "questions that the documents do not answer",
    MULTI_HOP: "questions that take two documents",
    FORM: "the form of the reply, which training teaches",
}
"""The kinds of question that tell arms apart, and what each asks. An eval set may have others."""


@dataclass(frozen=True)
class Training:
    """One training of a tuned arm.

    Attributes:
        arm: as the recipe names it.
        is_updated: whether this is the further training on what changed.
        key: the version that it made, as in `support-knowledge:1`.
        seconds: from its start to the registered version; None: not known, as of a version from elsewhere.
        perplexity_before, perplexity_after: of general text, of the base model and of the trained one.
    """

    arm: str
    seed: int
    is_updated: bool
    key: str
    seconds: float | None
    perplexity_before: float | None
    perplexity_after: float | None


@dataclass(frozen=True)
class Indexing:
    """One time that documents were brought into the index.

    Attributes:
        documents, chunks: that were written.
        seconds: until they could be found; None: they were there already.
    """

    documents: int
    chunks: int
    seconds: float | None


@dataclass(frozen=True)
class Findings:
    """All that was measured.

    Attributes:
        arms: in the order of the recipe. Questions of the kind `changed` were asked of all of them with the changed
            documents in the index; arms that are updated were asked the kinds `changed` and `learned` alone.
        evaluation: every answer with its scores; its arms are the `runs` of these.
        indexing: of all documents; None: the index was there already.
        update: of the changed documents; None: nothing changed.
        questions_by: who wrote the questions where Plait made them (`templates`, or the name of a model); None: people.
        identity: what the answers follow from, as in versions of packages, hashes of data and weights, seeds.
        command: that makes the same comparison again.
    """

    recipe: CompareRecipe
    arms: Sequence[Arm]
    evaluation: EvaluationReport
    trainings: Sequence[Training] = ()
    indexing: Indexing | None = None
    update: Indexing | None = None
    questions_by: str | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
