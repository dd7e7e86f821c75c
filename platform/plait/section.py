"""What every part of a recipe, and of other settings that a user writes, is: typed, closed and unchanging."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, numbers are finite, values do not change after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    short_overrides: ClassVar[Mapping[str, str]] = {}
    """Fields that an override may name shorter: `model=org/name` for `model.source=org/name`."""
