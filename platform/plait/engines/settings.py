"""The settings that choose an engine and say how it runs a base model. Knows no engine, and nothing of deployments."""

from typing import Literal

from pydantic import Field

from plait.recipes import DEFAULT_MODEL
from plait.section import Section

Quantization = Literal["none", "nf4", "int8"]


class EngineSettings(Section):
    """A base model and the engine that runs it.

    Not every engine has every setting: see `plait.engines.registry`.
    """

    model: str = Field(DEFAULT_MODEL, description="Model source of the base model.")
    engine: Literal["torch", "vllm"] = Field("torch", description="Engine that runs it; vllm serves LoRA only.")
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    quantization: Quantization = Field(
        "none", description="torch: nf4: linear layers in 4 bits; int8: these and the vocabulary head in 8, on CPUs."
    )
    max_batch_size: int = Field(8, ge=1, description="Requests that share a decoding step.")
    max_waiting: int = Field(64, ge=1, description="Requests that may wait; one more gets 429.")
    max_context_tokens: int | None = Field(
        None,
        ge=16,
        description="Prompt and answer together; null: as many as the model was made for and memory bears.",
    )
    max_step_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens of a step; more serve prompts, fewer serve answers. null: torch 256, vLLM its own choice.",
    )
    kv_cache_tokens: int | None = Field(
        None,
        ge=16,
        description="Tokens whose keys and values are kept; null: a full batch of the longest requests, or, where "
        "max_context_tokens is null, of 4,096 tokens each and one of the longest at least.",
    )
    max_loras: int = Field(8, ge=1, description="vllm: different adapters in a step; torch has no such limit.")
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = Field(
        64, description="vllm: highest rank; every adapter takes the memory and time of it."
    )
    max_loaded_adapters: int = Field(64, ge=1, description="Adapters in the engine's memory.")
    num_gpus: float = Field(0, ge=0, description="GPUs of a replica; 0 runs on CPU.")


DEFAULTS = EngineSettings()
