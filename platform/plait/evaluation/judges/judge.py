"""The port `Judge`: who says whether a text follows from others.

A judge is asked the few questions that metrics are made of. It may be a model (`ModelJudge`, any `Generate`), or no
model that speaks: a cross-encoder of entailment, an embedding, or words in common. Metrics do not know which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from plait.evaluation.score import JudgeUse


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one statement or passage.

    Attributes:
        holds: None: the judge gave no verdict that can be read.
        reason: the judge's own, or why there is no verdict.
        passage: the passage (an index of those given) that it names as support, or as contradiction.
        is_contradicted: it does not hold, and the passages say otherwise; only some judges can tell that.
    """

    holds: bool | None
    reason: str = ""
    passage: int | None = None
    is_contradicted: bool = False


@dataclass(frozen=True)
class Claims:
    """Statements of a text, each to be understood by itself, in its order.

    `problem`: why the judge's statements cannot be read or believed; `texts` are none then.
    """

    texts: tuple[str, ...]
    use: JudgeUse
    problem: str = ""


@dataclass(frozen=True)
class Verdicts:
    """One verdict for each thing that was asked about, in its order."""

    verdicts: tuple[Verdict, ...]
    use: JudgeUse


class Judge(Protocol):
    """It may be asked from many tasks of one event loop.

    Attributes:
        name: as in reports; it says what judges (`lexical`, `embedding`, `nli:…`, or a model's id).
    """

    @property
    def name(self) -> str: ...

    async def claims(self, question: str, reply: str) -> Claims:
        """What a reply states: none for one that declines to answer or states nothing."""
        ...

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """Whether each claim follows from the passages together; with no passages, none does."""
        ...

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """Whether each passage helps to give one of the answers to the question."""
        ...

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        """One verdict: whether a reply answers what was asked, true or not."""
        ...

    async def declines(self, question: str, reply: str) -> Verdicts:
        """One verdict: whether a reply says that it cannot answer; an empty one says nothing."""
        ...


@dataclass(frozen=True)
class Preference:
    """Which of two replies a judge prefers, asked in both orders, as judges favour a place (Zheng et al. 2023,
    arXiv:2306.05685).

    Attributes:
        verdict: `holds`: the first is better; None: the orders disagree, or one gave no verdict that can be read.
        orders: what it said with the first reply shown first, and with the second shown first; `holds` as above.
    """

    verdict: Verdict
    orders: tuple[Verdict, Verdict]
    use: JudgeUse


@runtime_checkable
class PairwiseJudge(Protocol):
    """What a judge can do besides when it compares replies."""

    async def prefer(self, question: str, first: str, second: str) -> Preference:
        """Which of two replies answers the question better."""
        ...
