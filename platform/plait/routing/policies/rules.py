"""`rules`: a file says which arm answers what; the first rule that fits decides.

In: a YAML file that people write. Out: a policy. It knows neither how good an arm is nor what it costs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, model_validator

from plait.errors import RecipeError, first_line
from plait.recipes.yaml_text import parse_yaml
from plait.routing.policy import ArmModel, Arrays, PolicyConfig, RankedArm, RoutedArm, RouteRequest
from plait.section import Section
from plait.validation import validated

_MAX_FILE_BYTES = 1 << 20
_MAX_RULES = 1000
"""All rules are tried in order for each question."""


class Rule(Section):
    """Which questions an arm answers: those that all conditions of the rule fit."""

    arm: ArmModel = Field(description="Model id, as in rag/support.")
    prefix: str | None = Field(None, min_length=1, description="The question begins with it, after white space.")
    language: str | None = Field(
        None, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$", description="The request says it: de fits de-CH too."
    )
    collection: str | None = Field(None, min_length=1, description="The collection that would be searched.")
    key: str | None = Field(None, min_length=1, description="The name of the API key.")

    @model_validator(mode="after")
    def has_conditions(self) -> Self:
        if not self.conditions:
            raise ValueError(
                "a rule needs prefix, language, collection or key; what answers everything else is default"
            )
        return self

    @property
    def conditions(self) -> dict[str, str]:
        """By field, those that are set."""
        given = {"prefix": self.prefix, "language": self.language, "collection": self.collection, "key": self.key}
        return {name: value for name, value in given.items() if value is not None}

    def fits(self, request: RouteRequest) -> bool:
        """Whether a request meets all conditions."""
        language, said = (self.language or "").lower(), request.language.lower()
        return (
            (self.prefix is None or request.question.lstrip().startswith(self.prefix))
            and (self.language is None or said == language or said.startswith(f"{language}-"))
            and (self.collection is None or request.collection == self.collection)
            and (self.key is None or request.key == self.key)
        )


class RulesConfig(PolicyConfig):
    kind: Literal["rules"] = "rules"
    default: ArmModel = Field(description="Model id of the arm that answers what no rule fits.")
    rules: tuple[Rule, ...] = Field(max_length=_MAX_RULES, description="The first that fits decides.")

    @model_validator(mode="after")
    def every_rule_can_decide(self) -> Self:
        first: dict[tuple[tuple[str, str], ...], int] = {}
        for number, rule in enumerate(self.rules):
            earlier = first.setdefault(tuple(rule.conditions.items()), number)
            if earlier != number:
                raise ValueError(f"rules.{number} has the conditions of rules.{earlier} and never decides")
        return self

    def open(self, arrays: Arrays) -> "RulesPolicy":
        return RulesPolicy(self)


@dataclass(frozen=True)
class RulesPolicy:
    """The arm of the first rule that fits; then, should the caller not use it, those of the others that fit."""

    config: RulesConfig
    vectors: None = None

    @property
    def arms(self) -> Sequence[RoutedArm]:
        models = dict.fromkeys([*(rule.arm for rule in self.config.rules), self.config.default])
        return [RoutedArm(model=model, name=model) for model in models]

    def rank(self, request: RouteRequest) -> list[RankedArm]:
        """See `Policy`."""
        ranked: dict[str, RankedArm] = {}
        for model, reason in self._fitting(request):
            arm = RoutedArm(model=model, name=model)
            if request.may_use(arm):
                ranked.setdefault(model, RankedArm(arm, None, reason))
        return list(ranked.values())

    def _fitting(self, request: RouteRequest) -> Iterator[tuple[str, str]]:
        for number, rule in enumerate(self.config.rules):
            if rule.fits(request):
                told = ", ".join(f"{name} {value!r}" for name, value in rule.conditions.items())
                yield rule.arm, f"rules.{number} fits: {told}."
        yield self.config.default, "It is the default."


def read_rules(file: Path) -> RulesConfig:
    """The rules of a YAML file.

    Raises:
        RecipeError: for a missing file, bad YAML, or any unknown, missing or ill-typed field, each named.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"The rule file '{file}' cannot be read ({first_line(error)}).") from None
    if len(text) > _MAX_FILE_BYTES:
        raise RecipeError(f"The rule file '{file}' has more than {_MAX_FILE_BYTES:,} bytes.")
    try:
        values = parse_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"The rule file '{file}' is not valid YAML: {first_line(error)}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"The rule file '{file}' must be a mapping with default and rules.")
    return validated(RulesConfig, values, f"The rule file '{file}'", "Mend it and try again.")
