"""The part of a recipe that says how samples are judged: by which metrics, and who says what follows from what."""

from pydantic import Field

from plait.recipes.endpoint import ModelEndpoint
from plait.recipes.ingest import DEFAULT_EMBEDDING
from plait.recipes.prices import TokenPrice
from plait.section import Section


class JudgeEndpoint(ModelEndpoint):
    """A model that judges, behind an OpenAI-compatible endpoint."""

    price: TokenPrice | None = Field(None, description="Of its tokens, for the cost of judging.")


class JudgeConfig(Section):
    """Who judges."""

    judge: str | JudgeEndpoint = Field(
        "lexical", description="lexical, embedding, nli:MODEL (a cross-encoder), or a section: model, base_url, …"
    )
    embedding: str = Field(
        DEFAULT_EMBEDDING, description="Embedding model of metrics and judges that compare meanings."
    )


class JudgingConfig(JudgeConfig):
    """How samples are judged."""

    metrics: list[str] | None = Field(
        None, min_length=1, description="Names of metrics; unset: those that work offline with what the samples have."
    )
    prices: dict[str, TokenPrice] = Field(
        {}, description="Of tokens by arm, as in rag/base: {prompt: 0.15, completion: 0.6}; all: of all other arms."
    )
