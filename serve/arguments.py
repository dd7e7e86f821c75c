"""The arguments of the serving application, as they stand under `args` in a Serve configuration."""

from typing import Literal

from pydantic import Field

from plait.recipes import DEFAULT_MODEL, Section


class LLMArguments(Section):
    """The base model and the engine that runs it."""

    model: str = Field(DEFAULT_MODEL, description="Model source of the base model.")
    engine: Literal["torch"] = Field("torch", description="Engine that runs it.")
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    quantization: Literal["none", "nf4", "int8"] = Field(
        "none", description="nf4: linear layers in 4 bits; int8: these and the vocabulary head in 8, on CPUs."
    )
    chat_format: str = Field("auto", description="auto: the model's own template, else the format named 'plain'.")
    max_batch_size: int = Field(8, ge=1, description="Requests that share a decoding step.")
    max_waiting: int = Field(64, ge=1, description="Requests that may wait; one more gets 429.")
    max_context_tokens: int = Field(4096, ge=16, description="Prompt and answer together.")
    max_step_tokens: int = Field(256, ge=1, description="Tokens of a step; more serve prompts, fewer serve answers.")
    kv_cache_tokens: int | None = Field(
        None, ge=16, description="Tokens whose keys and values are kept; null: a full batch of the longest requests."
    )
    num_cpus: float = Field(0.5, ge=0, description="Logical CPUs that Ray reserves; torch uses every core.")
    num_gpus: float = Field(0, ge=0, description="GPUs of a replica; 0 runs on CPU.")
    replicas: int = Field(1, ge=1)


class RetrievalArguments(Section):
    """The index that `rag/…` answers from."""

    collection: str = Field("default", description="Milvus collection.")
    milvus_uri: str | None = Field(None, description="Unset: PLAIT_MILVUS_URI, or the embedded server.")
    top_k: int = Field(3, ge=1, le=50, description="Passages a question, unless the request says otherwise.")
    budget_tokens: int = Field(400, ge=16, description="Tokens that the passages of a prompt may take.")
    num_cpus: float = Field(0.2, ge=0)


class AppArguments(Section):
    """Everything that the application is built from."""

    llm: LLMArguments = LLMArguments()
    retrieval: RetrievalArguments | None = Field(
        default_factory=RetrievalArguments, description="null: serve without retrieval."
    )
    default_max_tokens: int = Field(256, ge=1, description="Longest answer, unless the request says otherwise.")
