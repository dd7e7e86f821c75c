"""The recipe of `plait evaluate calibrate`: questions with known answers to what a judge is worth."""

from pydantic import Field

from plait.recipes.judging import JudgeConfig


class CalibrateRecipe(JudgeConfig):
    """An eval set or a run to what the verdicts of a judge are worth."""

    data: str = Field(description="An eval set (path, URI or hub id), or the folder of a run.")
    collection: str | None = Field(None, description="Where passages of an eval set's sources are looked up.")
    limit: int = Field(50, ge=2, description="Make cases of the first so many questions.")
    seed: int = Field(0, ge=0, description="Of the cases: what is swapped for what, and which passages are shown.")
    concurrency: int = Field(8, ge=1, description="Cases under way at once.")
