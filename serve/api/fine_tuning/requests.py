"""The body of an order to fine-tune, as OpenAI's clients send it.

In: a body. Out: the method and its hyperparameters, wherever they stand in it. It does not know recipes.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from plait.serve.api.request_body import LenientPart, RequestBody, does_not_fit, only_types
from plait.serve.api.responses.requests import Metadata

_Positive = Annotated[float, Field(gt=0)]
_MAX_SEED = 2**31 - 1
_KNOWN = ("supervised", "dpo")


def _refused(kind: str) -> str:
    if kind == "reinforcement":
        return "reinforcement is not supported yet: nothing here learns from the rewards of a grader"
    return f"{kind!r} is no method; supervised and dpo are"


class TuningHyperparameters(RequestBody):
    """`auto`: as the server's recipe says. `learning_rate_multiplier`: of the recipe's rate."""

    n_epochs: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    learning_rate_multiplier: Literal["auto"] | _Positive = "auto"


class DpoHyperparameters(TuningHyperparameters):
    beta: Literal["auto"] | _Positive = Field("auto", description="The pull towards the model as it is before.")


class SupervisedMethod(RequestBody):
    hyperparameters: TuningHyperparameters | None = None


class DpoMethod(RequestBody):
    hyperparameters: DpoHyperparameters | None = None


class Method(RequestBody):
    """`supervised`: examples of good answers; `dpo`: of two answers, the better one."""

    type: Literal["supervised", "dpo"]
    supervised: SupervisedMethod | None = None
    dpo: DpoMethod | None = None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        other = "dpo" if self.type == "supervised" else "supervised"
        if getattr(self, other) is not None:
            raise does_not_fit(other, f"{other} has no place beside the type {self.type}")
        return self


class WandbIntegration(LenientPart):
    project: str = ""


class Integration(LenientPart):
    """Accepted, and nothing is sent: losses are in the job's events, its result file, and MLflow."""

    type: Literal["wandb"]
    wandb: WandbIntegration | None = None


class NewTuningJob(RequestBody):
    """`model`: `base`, or an adapter to train on. Files: JSON Lines, sent with the purpose `fine-tune`."""

    model: str = Field(max_length=300)
    training_file: str = Field(max_length=128)
    validation_file: str | None = Field(None, max_length=128)
    method: Annotated[Method, only_types(_KNOWN, _refused)] | None = None
    hyperparameters: TuningHyperparameters | None = Field(None, description="Deprecated: those of `supervised`.")
    suffix: str | None = Field(None, min_length=1, max_length=64, description="A part of the model's name.")
    seed: int | None = Field(None, ge=0, le=_MAX_SEED)
    integrations: list[Integration] | None = Field(None, max_length=5)
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _has_hyperparameters_in_one_place(self) -> Self:
        if self.hyperparameters is not None and self.method is not None:
            raise does_not_fit("hyperparameters", "method and hyperparameters exclude each other")
        return self

    @property
    def kind(self) -> Literal["supervised", "dpo"]:
        return self.method.type if self.method else "supervised"

    @property
    def wanted(self) -> TuningHyperparameters:
        """The hyperparameters of the method."""
        method = self.method
        part: SupervisedMethod | DpoMethod | None = (method.dpo or method.supervised) if method else None
        given = part.hyperparameters if part else self.hyperparameters
        return given or (DpoHyperparameters() if self.kind == "dpo" else TuningHyperparameters())

    @property
    def beta(self) -> float | Literal["auto"] | None:
        """Of dpo; None: of no other method."""
        return self.wanted.beta if isinstance(self.wanted, DpoHyperparameters) else None
