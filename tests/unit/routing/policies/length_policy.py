"""A policy that Plait does not have, in one file: short questions to one arm, long ones to another, for
docs/extending.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from plait.routing.policy import POLICIES, Arrays, PolicyConfig, RankedArm, RoutedArm, RouteRequest


class LengthConfig(PolicyConfig):
    kind: Literal["length"] = "length"
    short: RoutedArm
    long: RoutedArm
    words: int = Field(20, ge=1, description="A question of more words is long.")

    def open(self, arrays: Arrays) -> "LengthPolicy":
        return LengthPolicy(self)


@dataclass(frozen=True)
class LengthPolicy:
    config: LengthConfig
    vectors: None = None

    @property
    def arms(self) -> Sequence[RoutedArm]:
        return (self.config.short, self.config.long)

    def rank(self, request: RouteRequest) -> list[RankedArm]:
        words = len(request.question.split())
        first, second = self.arms if words <= self.config.words else (self.config.long, self.config.short)
        ranked = (RankedArm(arm, arm.accuracy, f"The question has {words} words.") for arm in (first, second))
        return [each for each in ranked if request.may_use(each.arm)]


POLICIES.register(LengthConfig)
