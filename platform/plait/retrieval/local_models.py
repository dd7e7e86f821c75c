"""Retrieval's models in this process: what jobs, commands and benchmarks retrieve with.

In: an embedding model and, where there is one, a cross-encoder; or the names of both.
"""

from collections.abc import Sequence

from plait.errors import Conflict
from plait.models.embedding import Embedding, kind_of
from plait.models.encoders.load import embedding_of
from plait.models.late_interaction import late_interaction_scores
from plait.models.reranking import RerankingModel
from plait.models.vectors import VectorKind
from plait.recipes import Rerank
from plait.retrieval.question import EmbeddedQuestions, embed_questions


class LocalModels:
    """`RetrievalModels` that are loaded. A call blocks the event loop until the model has answered."""

    def __init__(self, embedding: Embedding, cross_encoder: RerankingModel | None = None) -> None:
        self._embedding, self._cross_encoder = embedding, cross_encoder

    @classmethod
    def load(cls, kind: VectorKind, rerank: Rerank, rerank_model: str | None) -> "LocalModels":
        """Those that retrieve from an index with vectors of a kind.

        Raises:
            ModelNotFound: when there is no such model, or it is no cross-encoder.
        """
        if rerank != "cross-encoder" or rerank_model is None:
            return cls(embedding_of(kind))
        return cls(embedding_of(kind), RerankingModel(rerank_model))

    @property
    def has_cross_encoder(self) -> bool:
        """A cross-encoder was given."""
        return self._cross_encoder is not None

    async def embed(self, kind: VectorKind, questions: Sequence[str]) -> EmbeddedQuestions:
        """Vectors of questions. Raises Conflict when the model makes vectors of another kind."""
        ours = kind_of(self._embedding)
        if kind != ours:
            raise Conflict(f"The collection was made with {kind}, not with {ours}.", "Load the collection's model.")
        return embed_questions(self._embedding, questions)

    async def rerank(self, method: Rerank, question: str, texts: Sequence[str]) -> list[float]:
        """Scores by the cross-encoder, or by the embedding model's token vectors."""
        if method == "cross-encoder" and self._cross_encoder is not None:
            return self._cross_encoder.score([(question, text) for text in texts])
        return late_interaction_scores(self._embedding, question, texts)
