"""The recipe of `plait evaluate`: an eval set to accuracy by arm."""

from pydantic import Field

from plait.section import Section


class EvalSetConfig(Section):
    """An eval set, and how its questions are asked."""

    data: str = Field(description="Table (JSONL, JSON, CSV, Parquet; path or URI) of question, answer, kind?, source?.")
    max_tokens: int = Field(48, ge=1, description="Longest answer.")
    concurrency: int = Field(8, ge=1, description="Questions under way at once.")
    limit: int | None = Field(None, ge=1, description="Ask only the first so many questions.")


class EvaluateRecipe(EvalSetConfig):
    """An eval set to accuracy by arm, through a running server."""

    models: list[str] = Field(min_length=1, description="Model ids to compare: base, support, rag/base, …")
