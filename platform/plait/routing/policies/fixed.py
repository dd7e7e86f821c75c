"""`fixed`: one arm answers every question."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from plait.routing.policy import Arrays, PolicyConfig, RankedArm, RoutedArm, RouteRequest


class FixedConfig(PolicyConfig):
    kind: Literal["fixed"] = "fixed"
    arm: RoutedArm
    reason: str = Field("This arm answers every question.", description="Why it is this one.")

    def open(self, arrays: Arrays) -> "FixedPolicy":
        return FixedPolicy(self.arm, self.reason)


@dataclass(frozen=True)
class FixedPolicy:
    """Always the same arm."""

    arm: RoutedArm
    reason: str
    vectors: None = None

    @property
    def arms(self) -> Sequence[RoutedArm]:
        return (self.arm,)

    def rank(self, request: RouteRequest) -> list[RankedArm]:
        """See `Policy`."""
        return [RankedArm(self.arm, self.arm.accuracy, self.reason)] if request.may_use(self.arm) else []
