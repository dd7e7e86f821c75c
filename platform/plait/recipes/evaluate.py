"""The recipe of `plait evaluate`: an eval set to figures by arm."""

from pydantic import Field

from plait.recipes.judging import JudgingConfig
from plait.section import Section


class EvalSetConfig(Section):
    """An eval set, and how its questions are asked."""

    data: str = Field(description="Table (JSONL, JSON, CSV, Parquet; path, URI or hub id) of question, answers?, ….")
    max_tokens: int = Field(48, ge=1, description="Longest answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="0: the likeliest answer.")
    seed: int = Field(0, ge=0, description="Of answers that are drawn, where the temperature is above 0.")
    concurrency: int = Field(8, ge=1, description="Questions under way at once.")
    limit: int | None = Field(None, ge=1, description="Ask only the first so many questions.")


class EvaluateRecipe(EvalSetConfig, JudgingConfig):
    """An eval set to figures by arm, through a running server."""

    models: list[str] = Field(min_length=1, description="Model ids to compare: base, support, rag/base, …")
    gates: list[str] = Field([], description="Figures that must be reached, as in 'rag/base: contains >= 0.9 at 95%'.")


class SamplesRecipe(JudgingConfig):
    """Samples that were answered before, here or elsewhere, to figures by arm, without a server."""

    samples: str = Field(description="The folder of a run, or a table of question, reply, passages?, answers?, ….")
    limit: int | None = Field(None, ge=1, description="Judge only the first so many samples.")
    concurrency: int = Field(8, ge=1, description="Samples that are judged at once.")
    gates: list[str] = Field([], description="Figures that must be reached, as in 'faithfulness >= 0.8 at 95%'.")
