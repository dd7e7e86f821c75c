"""Recipes: typed descriptions of what a job does. A default is written here once, with its meaning; help, docs and the
JSON schema come from it."""

from plait.recipes.calibrate import CalibrateRecipe
from plait.recipes.compare import CompareRecipe, EndpointArm, NearestExamples
from plait.recipes.endpoint import ModelEndpoint
from plait.recipes.evaluate import EvalSetConfig, EvaluateRecipe, SamplesRecipe
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
from plait.recipes.judging import JudgeEndpoint, JudgingConfig
from plait.recipes.loading import load_recipe, ready_recipes
from plait.recipes.objectives import OBJECTIVES, ObjectiveConfig
from plait.recipes.overrides import apply_override
from plait.recipes.passages import BUDGET_TOKENS, MAX_TOP_K, TOP_K, Rerank
from plait.recipes.prices import TokenPrice, prices_override
from plait.recipes.promote import CanaryConfig, GateConfig, PromoteConfig, PromoteRecipe, ShadowConfig
from plait.recipes.questions import GroupShares, QuestionsRecipe, QuestionTemplates
from plait.recipes.train import (
    DEFAULT_MODEL,
    ContextConfig,
    DataConfig,
    DeepSpeedConfig,
    ModelConfig,
    ScaleConfig,
    TrainConfig,
    TrainRecipe,
)

__all__ = [
    "BUDGET_TOKENS",
    "DEFAULT_EMBEDDING",
    "DEFAULT_MODEL",
    "MAX_TOP_K",
    "OBJECTIVES",
    "TOP_K",
    "CalibrateRecipe",
    "CanaryConfig",
    "ChunkConfig",
    "Chunking",
    "CompareRecipe",
    "ContextConfig",
    "DataConfig",
    "DedupConfig",
    "DeepSpeedConfig",
    "DocumentLimits",
    "EmbeddingConfig",
    "EndpointArm",
    "EvalSetConfig",
    "EvaluateRecipe",
    "GateConfig",
    "GroupShares",
    "IngestRecipe",
    "JudgeEndpoint",
    "JudgingConfig",
    "ModelConfig",
    "ModelEndpoint",
    "NearestExamples",
    "ObjectiveConfig",
    "PromoteConfig",
    "PromoteRecipe",
    "QuestionTemplates",
    "QuestionsRecipe",
    "Rerank",
    "SamplesRecipe",
    "ScaleConfig",
    "ShadowConfig",
    "TableConfig",
    "TokenPrice",
    "TrainConfig",
    "TrainRecipe",
    "apply_override",
    "load_recipe",
    "prices_override",
    "ready_recipes",
]
