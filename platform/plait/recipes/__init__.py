"""Recipes: typed descriptions of what a job does. A default is written here once, with its meaning; help, docs and the
JSON schema come from it."""

from plait.recipes.compare import CompareRecipe
from plait.recipes.evaluate import EvaluateRecipe
from plait.recipes.ingest import ChunkConfig, DedupConfig, DocumentLimits, EmbeddingConfig, IngestRecipe, TableConfig
from plait.recipes.loading import load_recipe, ready_recipes
from plait.recipes.overrides import apply_override
from plait.recipes.section import DEFAULT_EMBEDDING, DEFAULT_MODEL, Section
from plait.recipes.train import (
    AdapterConfig,
    BottleneckConfig,
    ContextConfig,
    DataConfig,
    DeepSpeedConfig,
    DpoConfig,
    FullConfig,
    Ia3Config,
    LoraConfig,
    ModelConfig,
    ObjectiveConfig,
    PrefixConfig,
    PretrainConfig,
    ScaleConfig,
    SftConfig,
    TrainConfig,
    TrainRecipe,
)

__all__ = [
    "DEFAULT_EMBEDDING",
    "DEFAULT_MODEL",
    "AdapterConfig",
    "BottleneckConfig",
    "ChunkConfig",
    "CompareRecipe",
    "ContextConfig",
    "DataConfig",
    "DedupConfig",
    "DeepSpeedConfig",
    "DocumentLimits",
    "DpoConfig",
    "EmbeddingConfig",
    "EvaluateRecipe",
    "FullConfig",
    "Ia3Config",
    "IngestRecipe",
    "LoraConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "PrefixConfig",
    "PretrainConfig",
    "ScaleConfig",
    "Section",
    "SftConfig",
    "TableConfig",
    "TrainConfig",
    "TrainRecipe",
    "apply_override",
    "load_recipe",
    "ready_recipes",
]
