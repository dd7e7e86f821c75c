"""The embedding stage: chunks in, the same chunks with their vectors out. It counts those that the model hardly knows.

One worker holds the model for the whole run: a GPU each where the cluster has GPUs, else one a machine, on all its
cores.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import ray

from plait.documents.chunk import text_to_embed
from plait.errors import InvalidInput
from plait.jobs.ingest.unknown import Vocabulary
from plait.models.embedding import Embedding
from plait.models.encoders.load import load_embedding
from plait.models.source import is_endpoint, resolve_model
from plait.models.vectors import Prompts, VectorKind
from plait.observability import metrics
from plait.recipes import EmbeddingConfig, IngestRecipe

_CPU_BATCH = 32


class Embed:
    """Adds the column `dense`: fixed-size list<float32>[dimension], unit length; `batch_size` chunks at a time.

    The model is loaded while the first documents are parsed, and the first batch tells what went wrong: Ray Data shows
    what a call raises, but starts a worker whose constructor raises again and again.
    """

    def __init__(self, recipe: IngestRecipe, prompts: Prompts, batch_size: int, ledger: Any) -> None:
        self._recipe = recipe
        self._ledger = ledger
        self._prompts = prompts
        self._batch_size = batch_size
        self._vocabulary: Vocabulary | None = None
        self._loading = ThreadPoolExecutor(1).submit(self._load)

    def __call__(self, chunks: pa.Table) -> pa.Table:
        """Embed a table of CHUNK_SCHEMA.

        Raises:
            ModelNotFound: when the embedding model cannot be loaded.
            InvalidInput: when the recipe's chunks are longer than what the model reads.
        """
        model = self._loading.result()
        names = (chunks[column].to_pylist() for column in ("title", "heading", "text"))
        texts = [text_to_embed(title, heading, text) for title, heading, text in zip(*names, strict=True)]
        with metrics.EMBED_SECONDS.time():
            vectors = model.encode_passages(texts, self._batch_size)
        self._count_unknown(texts)
        dense = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), model.dimension)
        return chunks.append_column("dense", dense)

    def _count_unknown(self, texts: Sequence[str]) -> None:
        """Tell the ledger how many texts the model hardly knows. Nobody knows the vocabulary of an endpoint's."""
        if is_endpoint(self._recipe.embedding.model):
            return
        if self._vocabulary is None:
            self._vocabulary = Vocabulary(resolve_model(self._recipe.embedding.model))
        count = self._vocabulary.count_mostly_unknown(texts)
        if count:
            ray.get(self._ledger.record_unknown.remote(count))
            metrics.UNKNOWN_CHUNKS.labels(collection=self._recipe.collection).inc(count)

    def _load(self) -> Embedding:
        recipe = self._recipe
        wish = recipe.embedding
        model = load_embedding(wish.model, wish.dtype, self._prompts, wish.dimensions, wish.requests_per_minute)
        if recipe.chunk.max_tokens > model.max_tokens:
            raise InvalidInput(
                f"chunk.max_tokens is {recipe.chunk.max_tokens}, but '{model.name}' reads at most {model.max_tokens} "
                "tokens.",
                "Lower chunk.max_tokens or choose an embedding model that reads more.",
            )
        return model


def batch_size_of(recipe: IngestRecipe, on_gpu: bool) -> int:
    """Chunks embedded at a time; on a GPU as many tokens as 256 chunks of 200 (benchmarks/embedding_on_gpu.py)."""
    if recipe.embedding.batch_size is not None:
        return recipe.embedding.batch_size
    return max(_CPU_BATCH, min(256, 256 * 200 // recipe.chunk.max_tokens)) if on_gpu else _CPU_BATCH


def prompts_of(wish: EmbeddingConfig) -> Prompts:
    """The prompts that a run embeds with. An endpoint does not say what its model wants."""
    if is_endpoint(wish.model):
        return Prompts(wish.query_prompt or "", wish.passage_prompt or "")
    return Prompts.of_model(resolve_model(wish.model), wish.query_prompt, wish.passage_prompt)


def wished_vectors(wish: EmbeddingConfig, present: VectorKind) -> VectorKind:
    """The kind of vectors that a recipe asks for; what it leaves open is as it is at present.

    The model's own dimension and prompts are not looked up: that would need the model to find nothing to do.
    """
    prompts = present.prompts
    return VectorKind(
        wish.model,
        present.dimension if wish.dimensions is None else wish.dimensions,
        Prompts(
            prompts.query if wish.query_prompt is None else wish.query_prompt,
            prompts.passage if wish.passage_prompt is None else wish.passage_prompt,
        ),
    )
