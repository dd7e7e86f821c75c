"""Retrieval's models in this process: what jobs, commands and benchmarks retrieve with.

It loads nothing: it is given an embedding model and, where there is one, a cross-encoder.
"""

from collections.abc import Sequence

from plait.errors import Conflict
from plait.models.embedding import Embedding, kind_of
from plait.models.late_interaction import late_interaction_scores
from plait.models.reranking import RerankingModel
from plait.models.vectors import VectorKind
from plait.retrieval.question import EmbeddedQuestions, embed_questions
from plait.retrieval.request import Rerank


class LocalModels:
    """`RetrievalModels` that are loaded. A call blocks the event loop until the model has answered."""

    def __init__(self, embedding: Embedding, cross_encoder: RerankingModel | None = None) -> None:
        self._embedding, self._cross_encoder = embedding, cross_encoder

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
