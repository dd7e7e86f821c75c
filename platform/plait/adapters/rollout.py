"""A rollout: an alias that moves from one version of an adapter to another in steps, while both are watched.

In: what a person started, what the controller has made of it, what a person asked since. Out: which share of the
requests for the alias goes to the candidate now. It knows neither MLflow nor how versions are compared.
"""

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Phase = Literal["progressing", "promoted", "rolled_back", "superseded"]
"""superseded: somebody else moved the alias, so the rollout ended without touching it."""
MAX_EVENTS = 40
"""Of a rollout in the registry; later ones replace the second oldest, the first says how it began."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


class RolloutPlan(_Kept):
    """How a rollout goes on. Its defaults stand in the recipe.

    Attributes:
        shadow_share: of the requests, copies of which the candidate answers unseen before the first step; 0: none.
        shadow_samples: such answers, before the first step.
        steps: weights of the candidate in percent, rising.
        min_samples: requests of each version before a step may end.
        alpha: probability that a candidate as good as the champion is rolled back, over all steps and metrics.
        max_latency_ratio: how many times as long the candidate may take for an answer; None: that is not looked at.
        quality: the metric of the judge that must hold; None: none must.
        min_judged: judged answers of each version before a step may end.
        quality_margin: how much lower its mean may be.
        progress_deadline_s: after so long a step that could not end is said to be stalled.
    """

    shadow_share: float
    shadow_samples: int
    steps: tuple[int, ...]
    min_samples: int
    alpha: float
    max_latency_ratio: float | None
    quality: str | None
    min_judged: int
    quality_margin: float
    progress_deadline_s: float

    @property
    def first_stage(self) -> int:
        """-1, the shadow, or 0, the first step."""
        return -1 if self.shadow_share else 0

    @property
    def stages(self) -> int:
        """Steps, and the shadow where there is one."""
        return len(self.steps) - self.first_stage


class Rollout(_Kept):
    """What a person started; it never changes."""

    id: str
    adapter: str
    alias: str
    candidate: int
    champion: int
    plan: RolloutPlan
    started_at: datetime

    def step_name(self, stage: int) -> str:
        """`shadow`, or as in `step 2 of 3 (25%)`."""
        if stage < 0:
            return "shadow"
        return f"step {stage + 1} of {len(self.plan.steps)} ({self.plan.steps[stage]}%)"


class ArmSamples(_Kept):
    """What the requests of one version add up to since a step began: of latency the logarithms of seconds."""

    requests: int = 0
    errors: int = 0
    latencies: int = 0
    latency_total: float = 0.0
    latency_squares: float = 0.0
    judged: int = 0
    quality_total: float = 0.0
    quality_squares: float = 0.0


class StageSamples(_Kept):
    candidate: ArmSamples = ArmSamples()
    champion: ArmSamples = ArmSamples()


class RolloutEvent(_Kept):
    at: datetime
    what: Literal["started", "advanced", "stalled", "promoted", "rolled_back", "superseded"]
    why: str

    @classmethod
    def now(
        cls, what: Literal["started", "advanced", "stalled", "promoted", "rolled_back", "superseded"], why: str
    ) -> Self:
        return cls(at=datetime.now(UTC), what=what, why=why)


class RolloutState(_Kept):
    """What the controller has made of a rollout; only the controller writes it.

    Attributes:
        revision: how often it was written.
        since: when the stage began.
    """

    rollout: str
    revision: int = 0
    phase: Phase = "progressing"
    stage: int
    since: datetime
    samples: StageSamples = StageSamples()
    events: tuple[RolloutEvent, ...] = ()

    def changed(self, event: RolloutEvent, **changes: object) -> Self:
        """The next state, with what happened."""
        events = (*self.events, event)
        if len(events) > MAX_EVENTS:
            events = (events[0], *events[2:])
        return self.model_copy(update={"events": events, "revision": self.revision + 1, **changes})


class RolloutStop(_Kept):
    """What a person asked: to end a rollout, and why."""

    rollout: str
    at: datetime
    why: str


class RolloutTraffic(_Kept):
    """What requests for an alias are told of its rollout.

    Attributes:
        weight: the share of requests, in [0, 1], that the candidate answers.
        shadow_share: the share of those that the champion answers, copies of which the candidate answers unseen.
    """

    rollout: str
    candidate: int
    stage: int
    weight: float
    shadow_share: float


class RolloutRecord(_Kept):
    """All that the registry holds of the last rollout of an adapter.

    Attributes:
        alias_version: what the alias points to; None: it is gone.
    """

    rollout: Rollout
    state: RolloutState
    stop: RolloutStop | None = None
    alias_version: int | None = Field(None)

    @property
    def phase(self) -> Phase:
        """How it stands, what a person asked and did to the alias included."""
        if self.state.phase != "progressing":
            return self.state.phase
        if self.stop is not None:
            return "rolled_back"
        if self.alias_version == self.rollout.candidate:
            return "promoted"
        return "progressing" if self.alias_version == self.rollout.champion else "superseded"

    def traffic(self, alias: str) -> RolloutTraffic | None:
        """What requests for an alias are told; None: nothing, they mean what it points to."""
        if alias != self.rollout.alias or self.phase != "progressing":
            return None
        plan, stage = self.rollout.plan, self.state.stage
        return RolloutTraffic(
            rollout=self.rollout.id,
            candidate=self.rollout.candidate,
            stage=stage,
            weight=plan.steps[stage] / 100 if stage >= 0 else 0.0,
            shadow_share=plan.shadow_share if stage < 0 else 0.0,
        )
