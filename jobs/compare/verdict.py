"""What a comparison shows: the shape of a verdict, as reports, MLflow and policies read it.

It holds what `conclude` found, and computes nothing. All intervals are of 95%. Over all questions, each kind has the
same weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plait.evaluation.statistics.figure import Figure

ALIKE = 0.05
"""Accuracy that an arm may lack to be taken for the cheaper one: questions that cannot tell arms apart leave open
which is better, and the more often right is the better guess."""


@dataclass(frozen=True)
class ArmVerdict:
    """What an arm is worth, and what it takes.

    Attributes:
        accuracy: of all questions that it was asked, the share that is right. The intervals of an arm that was
            trained with several seeds have the variance between these in them.
        by_kind: the same of every kind that it was asked.
        grounding: how far its replies follow from the passages that they were given; None where it has none.
        by_seed: accuracy of each training; empty for an arm that is not trained.
        latency_ms: the median, from request to last token. Tokens are means an answer. None: nobody said.
        cost_of_1000: of 1,000 answers at the prices of the recipe; None: it names none.
        fixed_seconds: of the training and the indexing that it needs; None: not measured.
        fixed_cost: of these seconds at the price of an hour; None: there is none, or they were not measured.
        perplexity: of general text, before and after training; None for an arm that is not trained, or not measured.
    """

    arm: str
    accuracy: Figure
    by_kind: Mapping[str, Figure]
    grounding: Figure | None
    by_seed: Sequence[float]
    latency_ms: float | None
    prompt_tokens: float | None
    completion_tokens: float | None
    cost_of_1000: float | None
    fixed_seconds: float | None
    fixed_cost: float | None
    perplexity: tuple[float, float] | None


@dataclass(frozen=True)
class PairVerdict:
    """How much better the first arm is on the questions of a kind, in [-1, 1].

    Attributes:
        kind: its name; empty for all questions together.
        value: over the questions that both have a score of.
        low, high: of this pair alone.
        p_value: that they are equally good, corrected for all pairs of its kind.
        differ: whether that is below the significance.
        not_best: the worse of the two, where it is surely not the best of all at this kind; None where it may be.
        needed: more questions of this kind that would tell `not_best`, if the difference is as seen; None where it is
            told, or where no number up to 10,000 would.
    """

    kind: str
    first: str
    second: str
    value: float
    low: float
    high: float
    p_value: float
    differ: bool
    not_best: str | None
    needed: int | None


@dataclass(frozen=True)
class KindVerdict:
    """Which arms may be best at a kind of question.

    Attributes:
        kind: its name; empty for all questions together.
        questions: that were asked.
        best: the arm with the highest accuracy, and all others that may be the best (a confidence set of it); none
            where no arm was right on any question.
        recommended: of those of them that were right almost as often as the first (`ALIKE`), the one whose answers are
            the cheapest: by money where all have prices, else by tokens; of those within a tenth of it, the first in
            the order of the arms. None where no arm was right.
        needed: more questions of this kind that would settle it; None where it is settled, or where no number would.
    """

    kind: str
    questions: int
    best: Sequence[str]
    recommended: str | None
    needed: int | None

    @property
    def is_settled(self) -> bool:
        """Whether one arm is surely better than every other."""
        return len(self.best) == 1


@dataclass(frozen=True)
class BreakEven:
    """From how many answers on an arm that costs more before its first answer is the cheaper one."""

    dearer_before: str
    cheaper_before: str
    answers: int


@dataclass(frozen=True)
class Freshness:
    """How long it takes until a changed fact is in the answers, and what of it is there then.

    Attributes:
        documents: that changed.
        reindex_seconds: until the index has them; None: not measured.
        retrain_seconds: until an adapter has them, by tuned arm (the mean of its seeds).
    """

    documents: int
    reindex_seconds: float | None
    retrain_seconds: Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """What a comparison shows.

    Attributes:
        sentences: the verdict in two sentences, for somebody who reads nothing else.
        overall: over all questions, without the arms that were not asked all (those that are updated).
        kinds: every kind of question; none where all are of one kind, which `overall` tells.
        front: arms that no other beats in both accuracy and cost, the cheapest first.
        untold: what the eval set cannot tell, a sentence each.
        caveats: what to keep in mind, a sentence each.
        significance: chance of calling any two equal arms different at a kind of question, and its best arm worse.
    """

    sentences: tuple[str, str]
    overall: KindVerdict
    kinds: Sequence[KindVerdict]
    arms: Sequence[ArmVerdict]
    pairs: Sequence[PairVerdict]
    front: Sequence[str]
    break_even: Sequence[BreakEven]
    freshness: Freshness | None
    untold: Sequence[str]
    caveats: Sequence[str]
    significance: float
