"""The arguments of routing: by what `auto` chooses who answers."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from plait.errors import InvalidInput
from plait.model_ids import AdapterRef
from plait.routing.policy import ArmModel
from plait.section import Section


class RoutingArguments(Section):
    """What `auto` is: which arm answers which question."""

    policy: str | None = Field(
        None,
        description="A policy of the registry, followed: name (the newest version), name:version or name@alias.",
    )
    rules: str | None = Field(
        None, min_length=1, description="In place of it: a YAML file of rules, read anew when it changes."
    )
    fallback: ArmModel = Field("base", description="Model id that answers `auto` while no policy could be loaded yet.")
    explore: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of `auto` that an arm drawn at random answers, so that other policies can be estimated.",
    )

    @field_validator("policy")
    @classmethod
    def _is_a_policy(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                AdapterRef.parse(name)
            except InvalidInput:
                raise ValueError(f"'{name[:80]}' is no name of a policy: name, name:version or name@alias") from None
        return name

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.policy is None) == (self.rules is None):
            raise ValueError("routing needs either policy, which was learned, or rules, a file")
        return self
