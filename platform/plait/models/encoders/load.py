"""Which encoder computes a model's vectors on this machine: the first of an ordered list that takes the model.

A new encoder is a file beside this one and a line in `ENCODERS`.
"""

from collections.abc import Callable

from plait.errors import ModelNotFound
from plait.models.embedding import Dtype, Embedding, EmbeddingOptions
from plait.models.encoders.bert.encoder import Int8BertEncoder
from plait.models.encoders.endpoint import EmbeddingEndpoint
from plait.models.encoders.openvino_encoder import OpenVinoEncoder
from plait.models.encoders.torch_encoder import TorchEncoder
from plait.models.vectors import Prompts, VectorKind

ENCODERS: tuple[Callable[[EmbeddingOptions], Embedding | None], ...] = (
    EmbeddingEndpoint.take,
    Int8BertEncoder.take,
    OpenVinoEncoder.take,
    TorchEncoder.take,
)
"""Fastest first. Each loads the model, or returns None when it cannot compute this model on this machine."""


def load_embedding(
    model: str,
    dtype: Dtype = EmbeddingOptions.dtype,
    prompts: Prompts | None = None,
    dimensions: int | None = None,
    requests_per_minute: int | None = None,
) -> Embedding:
    """Load an embedding model: on the GPU of this process where there is one, else on all cores of the machine.

    The arguments are those of `EmbeddingOptions`.

    Raises:
        ModelNotFound: when there is no such model, or it makes no vectors.
        InvalidInput: when it makes fewer dimensions.
        Unavailable: when it is behind an endpoint that does not answer.
    """
    options = EmbeddingOptions(model, dtype, prompts, dimensions, requests_per_minute)
    taken = (embedding for take in ENCODERS if (embedding := take(options)) is not None)
    embedding = next(taken, None)
    if embedding is None:
        raise ModelNotFound(f"No encoder of this machine takes '{model}'.", "Choose another embedding model.")
    return embedding


def embedding_of(kind: VectorKind) -> Embedding:
    """Load the model whose vectors are comparable with those of an index. Raises what `load_embedding` does."""
    return load_embedding(kind.model, prompts=kind.prompts, dimensions=kind.dimension)
