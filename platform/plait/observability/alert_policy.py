"""What is promised, and when somebody is told that it is not kept: the numbers behind the alerts.

Set as any recipe is: `plait metrics rules ttft_s=1 error_objective=0.999`. It knows no PromQL.
"""

from typing import Self

from pydantic import Field, model_validator

from plait.observability.metrics import TTFT_BUCKETS_S
from plait.section import Section

FASTEST_BURN = 14.4
"""The fastest burn that is looked for: two percent of a month's error budget in an hour."""


class AlertPolicy(Section):
    """Objectives and thresholds."""

    error_objective: float = Field(0.995, gt=0, lt=1, description="Share of requests that must not fail by our fault.")
    ttft_s: float = Field(2.5, description="First token at the latest, seconds; a bound of the histogram's buckets.")
    ttft_objective: float = Field(0.95, gt=0, lt=1, description="Share of answers that must begin by then.")
    min_requests: int = Field(50, ge=1, description="With fewer in its long window, a burn rate says nothing.")
    queue_requests: int = Field(8, ge=1, description="As many requests waiting all the time is a queue that stands.")
    adapter_load_failures: int = Field(
        2, ge=1, description="So many failed loads of an adapter in 15 minutes, after its first, are no accident."
    )
    kv_cache_share: float = Field(0.95, gt=0, le=1, description="A cache that is never less in use is full.")
    index_max_age_s: int = Field(26 * 3600, ge=1, description="Since an index last held what its sources did.")
    train_max_pause_s: int = Field(900, ge=1, description="Between two steps, evaluation and checkpoints included.")
    cost_jump: float = Field(2.0, gt=1, description="How many times yesterday's cost per answer is a jump.")
    quality_drop: float = Field(
        0.15, gt=0, lt=1, description="How far the mean of an hour's judged scores may lie below the day before."
    )
    min_judged: int = Field(50, ge=1, description="With fewer judged answers in the hour, their mean says nothing.")
    runbooks: str = Field("docs/runbooks", description="Where the runbooks are: the URL before /<alert>.md.")
    time_scale: float = Field(
        1.0, gt=0, le=1, description="Every window, wait and age is multiplied by it: 0.01 tries alerts in seconds."
    )

    @model_validator(mode="after")
    def _can_be_measured(self) -> Self:
        if self.ttft_s not in TTFT_BUCKETS_S:
            raise ValueError(f"ttft_s is {self.ttft_s:g}, no bucket of the histogram: take one of {_listed()}")
        for name in ("error_objective", "ttft_objective"):
            lowest = 1 - 1 / FASTEST_BURN
            if getattr(self, name) <= lowest:
                raise ValueError(
                    f"{name} is {getattr(self, name):g}: at {lowest:.2f} or below, an outage of everything burns too "
                    "slowly to be told at once"
                )
        return self


def _listed() -> str:
    return ", ".join(f"{bound:g}" for bound in TTFT_BUCKETS_S)
