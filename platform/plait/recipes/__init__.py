"""Recipes: typed descriptions of what a job does. A default is written here once, with its meaning; help, docs and the
JSON schema come from it."""

from plait.recipes.compare import CompareRecipe
from plait.recipes.evaluate import EvaluateRecipe
from plait.recipes.ingest import (
    DEFAULT_EMBEDDING,
    ChunkConfig,
    Chunking,
    DedupConfig,
    DocumentLimits,
    EmbeddingConfig,
    IngestRecipe,
    TableConfig,
)
from plait.recipes.loading import load_recipe, ready_recipes
from plait.recipes.objectives import OBJECTIVES, ObjectiveConfig
from plait.recipes.overrides import apply_override
from plait.recipes.train import (
    DEFAULT_MODEL,
    ContextConfig,
    DataConfig,
    DeepSpeedConfig,
    ModelConfig,
    Rerank,
    ScaleConfig,
    TrainConfig,
    TrainRecipe,
)

__all__ = [
    "DEFAULT_EMBEDDING",
    "DEFAULT_MODEL",
    "OBJECTIVES",
    "ChunkConfig",
    "Chunking",
    "CompareRecipe",
    "ContextConfig",
    "DataConfig",
    "DedupConfig",
    "DeepSpeedConfig",
    "DocumentLimits",
    "EmbeddingConfig",
    "EvaluateRecipe",
    "IngestRecipe",
    "ModelConfig",
    "ObjectiveConfig",
    "Rerank",
    "ScaleConfig",
    "TableConfig",
    "TrainConfig",
    "TrainRecipe",
    "apply_override",
    "load_recipe",
    "ready_recipes",
]
