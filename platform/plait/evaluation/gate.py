"""A gate: a figure that an evaluation must reach, as a build wants it.

In: `faithfulness >= 0.8 at 95%`, and the figures of an evaluation. Out: the sentences of what is not reached. It does
not know how figures are made.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from plait.errors import InvalidInput, PlaitError
from plait.evaluation.statistics.figure import Figure

_GATE = re.compile(
    r"(?:(?P<arm>\S+):\s+)?(?P<metric>\w+)\s*>=\s*(?P<least>\d*\.?\d+)\s*(?P<percent>%)?"
    r"(?:\s+at\s+(?P<level>\d+(?:\.\d+)?)\s*%)?"
)
_EXAMPLE = "Write it as in 'faithfulness >= 0.8 at 95%' or 'rag/base: contains >= 0.9'."
Figures = Callable[[str, str, float], Figure | None]
"""The figure of a metric (first) of an arm (second) with an interval of a level (third); None: it does not apply."""


class GateNotMet(PlaitError):
    """An evaluation does not reach what it must."""

    code = "gate_not_met"


@dataclass(frozen=True)
class Gate:
    """The lower bound of a metric's interval must reach a value.

    Attributes:
        arm: whose; None: everyone's that the metric applies to, and it must apply to someone.
        least: in [0, 1].
        confidence: of the two-sided interval, in (0, 1).
    """

    text: str
    metric: str
    arm: str | None
    least: float
    confidence: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """The gate that somebody wrote.

        Raises:
            InvalidInput: when it is none.
        """
        found = _GATE.fullmatch(text.strip())
        if found is None:
            raise InvalidInput(f"'{text}' is no gate.", _EXAMPLE)
        least = float(found["least"]) / (100 if found["percent"] else 1)
        confidence = float(found["level"] or 95) / 100
        if least > 1 or not 0 < confidence < 1:
            raise InvalidInput(f"The gate '{text}' can never be met or tells nothing.", _EXAMPLE)
        return cls(text.strip(), found["metric"], found["arm"], least, confidence)

    def failures(self, arms: Sequence[str], figures: Figures) -> list[str]:
        """What keeps it from being met, a sentence each."""
        asked = list(arms) if self.arm is None else [self.arm]
        found = {arm: figure for arm in asked if (figure := figures(self.metric, arm, self.confidence)) is not None}
        if not found:
            whom = "any arm" if self.arm is None else f"'{self.arm}'"
            return [f"The gate '{self.text}' cannot be met: there is no {self.metric} of {whom}."]
        return [
            f"The gate '{self.text}' is not met: {arm} has {_said(figure)}, between {figure.low:.3f} and "
            f"{figure.high:.3f} over {figure.submitted} samples."
            for arm, figure in found.items()
            if figure.low < self.least
        ]


def check_gates(gates: Sequence[Gate], arms: Sequence[str], figures: Figures) -> None:
    """Compare an evaluation with its gates.

    Raises:
        GateNotMet: when one is not met, with a sentence for each that is not.
    """
    failures = [failure for gate in gates for failure in gate.failures(arms, figures)]
    if failures:
        raise GateNotMet(" ".join(failures))


def _said(figure: Figure) -> str:
    unsaid = f" ({figure.unsaid} cannot be said)" if figure.unsaid else ""
    return f"{'no value' if figure.value is None else format(figure.value, '.3f')}{unsaid}"
