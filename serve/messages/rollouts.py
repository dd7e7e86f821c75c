"""What deployments say to each other about rollouts: a request's part in one, how it ended, what a judge said of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RolloutPart:
    """Which part a request has in a rollout. `stage`: as the replica that answers knew it; below 0 it is the shadow."""

    adapter: str
    rollout: str
    stage: int
    is_candidate: bool

    @property
    def is_shadow(self) -> bool:
        """Whether nobody sees the answer."""
        return self.is_candidate and self.stage < 0


@dataclass(frozen=True)
class Shadow:
    """An answer that a candidate, as in `support:4`, shall give unseen to a copy of a request."""

    candidate: str
    part: RolloutPart


@dataclass(frozen=True)
class Outcome:
    """How a request ended. `seconds`: from the request to the last token; None where the version failed."""

    part: RolloutPart
    seconds: float | None

    @property
    def is_error(self) -> bool:
        return self.seconds is None


@dataclass(frozen=True)
class JudgedAnswer:
    """What a judge said of an answer to a request that has a part in a rollout."""

    part: RolloutPart
    metric: str
    score: float


Observation = Outcome | JudgedAnswer
