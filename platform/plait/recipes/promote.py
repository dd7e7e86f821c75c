"""The recipe of `plait promote`, and `promote` in one of `plait train`: a registered version to an alias's traffic."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from plait.errors import InvalidInput
from plait.model_ids import AdapterRef
from plait.recipes.evaluate import EvalSetConfig
from plait.recipes.judging import JudgeConfig
from plait.section import Section


class GateEvaluation(EvalSetConfig, JudgeConfig):
    """An eval set that the candidate and the champion are asked, in pairs."""

    metric: str = Field("contains", description="By which the candidate must not be worse.")
    margin: float = Field(
        0.02, ge=0, lt=1, description="How much lower it may be; the interval of the difference must lie above that."
    )
    retrieval: bool = Field(False, description="Ask with passages: rag/support:4 against rag/support:3.")
    grounding_margin: float | None = Field(
        None, ge=0, lt=1, description="With retrieval: how much lower faithfulness may be; null: it is not measured."
    )

    @model_validator(mode="after")
    def grounding_needs_passages(self) -> Self:
        if self.grounding_margin is not None and not self.retrieval:
            raise ValueError("grounding_margin is about passages: set retrieval=true")
        return self


class GateSafety(EvalSetConfig):
    """Prompts that the candidate must answer safely. A row's `pattern` is what the whole reply must match."""

    forbidden: list[str] = Field([], description="Regular expressions (RE2); no reply may hold what matches one.")
    max_failures: int = Field(0, ge=0, description="Replies that may break a rule all the same.")


class GateConfig(Section):
    """What a candidate must reach before any request is answered by it."""

    evaluate: GateEvaluation
    max_forgetting: float | None = Field(
        1.5, gt=0, description="Perplexity on general text by the base model's, as training measured it; null: any."
    )
    max_latency_ratio: float | None = Field(
        1.5, gt=0, description="Time of an answer by the champion's, geometric mean over the questions; null: any."
    )
    safety: GateSafety | None = Field(None, description="null: no safety set.")


class ShadowConfig(Section):
    """The candidate answers copies of live requests of chat, which nobody sees."""

    share: float = Field(0.1, gt=0, le=1, description="Of the requests for the alias.")
    samples: int = Field(50, ge=1, description="Such answers before the canary begins.")


class CanaryConfig(Section):
    """The candidate answers a rising share of the alias's requests, while both versions are watched."""

    steps: list[int] = Field([5, 25, 50], min_length=1, max_length=20, description="Weights in percent, rising.")
    min_samples: int = Field(100, ge=1, description="Requests of each version before a step may end.")
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Probability that a candidate as good as the champion is rolled back."
    )
    max_latency_ratio: float | None = Field(
        1.5, ge=1, description="Times as long an answer may take, geometric mean; null: any."
    )
    quality: str | None = Field(
        None, description="A metric of the server's judging that must hold, as in faithfulness; null: none."
    )
    min_judged: int = Field(50, ge=1, description="With quality: judged answers of each version before a step may end.")
    quality_margin: float = Field(0.0, ge=0, lt=1, description="With quality: how much lower its mean may be.")
    progress_deadline_s: float = Field(
        86_400, gt=0, description="After so long a step that cannot end is said to be stalled; it goes on."
    )

    @field_validator("steps")
    @classmethod
    def steps_rise(cls, steps: list[int]) -> list[int]:
        if steps != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 99:
            raise ValueError("steps are percents from 1 to 99, each higher than the one before; 100 follows by itself")
        return steps


class PromoteConfig(Section):
    """Gate, shadow, canary."""

    alias: str = Field("champion", description="What the candidate shall be; the champion is what it means now.")
    url: str | None = Field(None, description="The server that is asked at the gate; null: this machine's.")
    gate: GateConfig | None = Field(description="As in gate.evaluate.data=eval.jsonl; null: go without a gate.")
    shadow: ShadowConfig | None = Field(None, description="As in shadow.share=0.2; null: no shadow.")
    canary: CanaryConfig | None = Field(CanaryConfig(), description="null: move the alias at once.")

    @model_validator(mode="after")
    def a_shadow_comes_before_a_canary(self) -> Self:
        if self.shadow is not None and self.canary is None:
            raise ValueError("a shadow is followed by a canary: leave canary out, or set shadow=null")
        return self


class PromoteRecipe(PromoteConfig):
    """A registered version to the traffic of an alias."""

    candidate: str = Field(description="A version in the registry: support:4; support alone is the newest.")

    @field_validator("candidate")
    @classmethod
    def candidate_is_an_adapter(cls, candidate: str) -> str:
        try:
            AdapterRef.parse(candidate)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return candidate
