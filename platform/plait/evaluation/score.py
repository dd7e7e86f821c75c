"""A score: a number in [0, 1], or "cannot be said" with the reason. Never NaN, never a mean over what could be read."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing that a metric looked at: a claim, a sentence, a passage, a fact.

    Attributes:
        holds: what was found of it; None where that cannot be said.
        reason: in the judge's words, or why nothing can be said.
        passage: the passage of the sample that it was held against or that supports it.
    """

    text: str
    holds: bool | None
    reason: str = ""
    passage: int | None = None


@dataclass(frozen=True)
class JudgeUse:
    """What judging cost; answers from the cache cost nothing and are not counted."""

    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    def __add__(self, other: "JudgeUse") -> "JudgeUse":
        return JudgeUse(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.generated_tokens + other.generated_tokens,
        )


@dataclass(frozen=True)
class Score:
    """What a metric says of a sample.

    Attributes:
        value: in [0, 1], higher is better; None: it cannot be said.
        reason: why it cannot be said; else what explains the value, or empty.

    Raises:
        ValueError: for a value outside [0, 1], or none without a reason.
    """

    value: float | None
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    use: JudgeUse = field(default_factory=JudgeUse)

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise ValueError("a score that cannot be said needs a reason")
        if self.value is not None and not 0 <= self.value <= 1:  # also NaN
            raise ValueError(f"a score is between 0 and 1, not {self.value}")


def unsaid(reason: str, findings: tuple[Finding, ...] = (), use: JudgeUse | None = None) -> Score:
    """A score that cannot be said, with the reason as a sentence."""
    return Score(None, reason, findings, use or JudgeUse())
