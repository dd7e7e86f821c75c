"""The same verdicts in: which numbers come out of Plait's metrics, and which out of others'?

In: scripts, each a metric and the verdicts that its judge gives. Out: scores. No model is asked.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product

from plait.evaluation.judges.judge import Claims, Verdict, Verdicts
from plait.evaluation.metrics.metric import Instruments, metric
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import JudgeUse, Score

_MOST = 4
"""Verdicts of a script; every pattern of up to so many is tried."""


@dataclass(frozen=True)
class Script:
    """What the judge of one sample says.

    Attributes:
        metric: by Plait's name.
        claims: that it finds in the reply, or in the expected answer.
        passages: that there are.
        verdicts: of each claim, passage or reply; None: it gives none.
    """

    metric: str
    claims: int
    passages: int
    verdicts: tuple[bool | None, ...]

    @property
    def what(self) -> str:
        """As in `yes, no, –`."""
        return ", ".join({True: "yes", False: "no", None: "–"}[each] for each in self.verdicts) or "no claims"

    def for_peer(self) -> dict[str, object]:
        """What peers are told."""
        return asdict(self)


def whole_scripts() -> list[Script]:
    """Every pattern of one to four verdicts for each metric; of a reply's relevance there is one verdict."""
    patterns = [verdicts for count in range(1, _MOST + 1) for verdicts in product((True, False), repeat=count)]
    return [
        *(Script("faithfulness", len(verdicts), 2, verdicts) for verdicts in patterns),
        *(Script("context_precision", 1, len(verdicts), verdicts) for verdicts in patterns),
        *(Script("context_recall", len(verdicts), 2, verdicts) for verdicts in patterns),
        *(Script("answer_relevance", 1, 1, (verdict,)) for verdict in (True, False)),
    ]


def odd_scripts() -> list[Script]:
    """No claims, and verdicts that are missing."""
    return [
        Script("faithfulness", 0, 2, ()),
        Script("faithfulness", 5, 2, (True, None, None, None, None)),
        Script("context_precision", 1, 3, (True, None, False)),
        Script("context_recall", 5, 2, (True, None, None, None, None)),
    ]


async def scores_of(scripts: Sequence[Script]) -> list[Score]:
    """What Plait's metrics say."""
    found = []
    for script in scripts:
        passages = tuple(SamplePassage(f"Passage {number}.") for number in range(script.passages))
        sample = Sample("Q?", "A.", passages, answers=("A.",), is_grounded=True)
        found.append(await metric(script.metric, Instruments(_Scripted(script))).score(sample))
    return found


class _Scripted:
    """A judge that says what stands in a script."""

    name = "scripted"

    def __init__(self, script: Script) -> None:
        self._script = script

    async def claims(self, question: str, reply: str) -> Claims:
        """See `Judge`."""
        return Claims(tuple(f"Claim {number}." for number in range(self._script.claims)), JudgeUse())

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`."""
        return self._said()

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`."""
        return self._said()

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        """See `Judge`."""
        return self._said()

    async def declines(self, question: str, reply: str) -> Verdicts:
        """See `Judge`."""
        return Verdicts((Verdict(False),), JudgeUse())

    def _said(self) -> Verdicts:
        verdicts = self._script.verdicts
        return Verdicts(
            tuple(Verdict(each, "" if each is not None else "It gave none.") for each in verdicts), JudgeUse()
        )
