"""The recipe of `plait compare`: fine-tune, retrieve, or both?"""

from typing import Any, Self

from pydantic import Field, model_validator

from plait.recipes.evaluate import EvalSetConfig
from plait.recipes.ingest import IngestRecipe
from plait.recipes.train import TrainRecipe


class CompareRecipe(EvalSetConfig):
    """Documents, examples and questions to a verdict: which of base, adapter, retrieval and both answers best."""

    ingest: IngestRecipe = Field(description="Documents to the index that is retrieved from.")
    train: TrainRecipe = Field(description="Examples to the adapter; one that the same recipe made is used again.")
    serve: dict[str, Any] = Field(
        {}, description="Args of the served application, as in retrieval: {top_k: 2}; the index is set by itself."
    )
    significance: float = Field(
        0.05, gt=0, lt=1, description="Chance of calling any two equal arms different, over all pairs (Holm)."
    )

    @model_validator(mode="after")
    def adapter_is_served(self) -> Self:
        adapter = self.train.adapter
        if adapter.trains_base:
            raise ValueError(
                f"train.adapter.method={adapter.method} makes a model, not an adapter beside the base: compare needs "
                "one"
            )
        return self

    @property
    def arms(self) -> list[str]:
        """The model ids that are compared."""
        name = self.train.name
        return ["base", name, "rag/base", f"rag/{name}"]
