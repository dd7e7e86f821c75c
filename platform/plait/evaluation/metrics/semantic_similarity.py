"""`semantic_similarity`: the cosine of reply and answer by an embedding model (Risch et al. 2021, arXiv:2108.06130).

Of several answers the nearest counts; a negative cosine is 0. It asks no judge. It says how near two texts are in
meaning, and hardly tells one number from another.
"""

import asyncio
from dataclasses import dataclass

from plait.errors import InvalidInput
from plait.evaluation.metrics.metric import Instruments, Need
from plait.evaluation.sample import Sample
from plait.evaluation.score import Score, unsaid
from plait.models.embedding import Embedding


@dataclass(frozen=True)
class SemanticSimilarity:
    """Cosine of the reply and the nearest answer, 0 to 1. `embedding`: computed in a thread."""

    embedding: Embedding
    name: str = "semantic_similarity"
    needs: frozenset[Need] = frozenset({Need.ANSWERS})

    @classmethod
    def of(cls, instruments: Instruments) -> "SemanticSimilarity":
        """The metric by the embedding model of an evaluation.

        Raises:
            InvalidInput: when it has none.
        """
        if instruments.embedding is None:
            raise InvalidInput("The metric 'semantic_similarity' needs an embedding model.", "Name one.")
        return cls(instruments.embedding)

    async def score(self, sample: Sample) -> Score:
        """See `Metric`."""
        if not sample.reply.strip():
            return unsaid("The reply is empty.")
        vectors = await asyncio.to_thread(self.embedding.encode_passages, [sample.reply, *sample.answers])
        cosine = float((vectors[1:] @ vectors[0]).max())
        return Score(min(1.0, max(0.0, cosine)))  # unit vectors in float32 reach 1.0000001
