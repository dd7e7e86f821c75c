"""How `auto` came to the arm that answered: what an answer says of it, and what is kept of it for later estimates.

It knows neither policies nor who serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Route:
    """The arm that answers a request for `auto`.

    Attributes:
        arm: the model id that is asked, as in `rag/support:3`.
        policy: name and version, or the rule file; empty: none could be loaded.
        reason: why it is this arm, in a sentence or two.
        probabilities: of a right answer, by arm, of those that the caller may use; empty: the policy knows none.
        expected_tokens: read and written for an answer of this arm, on average; None: not known.
        is_explored: whether the arm was drawn at random instead of chosen.
        propensity: how likely this arm was drawn or chosen, in (0, 1]; None: nothing was left to chance, or another arm
            came first and could not answer.
        candidates: all arms that could have been drawn or chosen.
        collection, language, key: what the policy was told besides the question.
    """

    arm: str
    policy: str
    reason: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    expected_tokens: float | None = None
    is_explored: bool = False
    propensity: float | None = None
    candidates: tuple[str, ...] = ()
    collection: str = ""
    language: str = ""
    key: str = ""

    @property
    def expected_quality(self) -> float | None:
        """The probability that the arm's answer is right, as the policy sees it."""
        return self.probabilities.get(self.arm)
