"""What an index notes about itself, as properties of its collection: what made its vectors and words, and how the last
run went."""

from collections.abc import Mapping
from dataclasses import dataclass

from plait.index.freshness import Freshness
from plait.models.vectors import Prompts
from plait.recipes import Chunking

EMBEDDING = "plait.embedding"
"""The source of the embedding model; a collection without it is not ours."""
_QUERY_PROMPT, _PASSAGE_PROMPT = "plait.query_prompt", "plait.passage_prompt"
_WORDS = "plait.words"
FRESHNESS = "plait.freshness"
DENSE_WEIGHT = "plait.dense_weight"
CHUNKING = "plait.chunking"
IN_STEP = "plait.in_step"


@dataclass(frozen=True)
class IndexProperties:
    """The notes of an index.

    Attributes:
        embedding_model: the source of the model that made the vectors.
        prompts: what the vectors were made with, and queries need.
        words_version: the version of plait.index.words that the words were made by; None: an earlier one.
        chunking: what the documents are cut by.
        dense_weight: what hybrid search was fitted to; None: reciprocal ranks.
        freshness: of the last run that wrote documents which had changed; None before.
        in_step_at: when it last held what its sources did, seconds since 1970; None: no run has ended yet.
    """

    embedding_model: str
    prompts: Prompts
    words_version: str | None
    chunking: Chunking
    dense_weight: float | None = None
    freshness: Freshness | None = None
    in_step_at: float | None = None

    @classmethod
    def read(cls, properties: Mapping[str, str]) -> "IndexProperties | None":
        """The notes among the properties of a collection; None when the collection is not ours."""
        if EMBEDDING not in properties:
            return None
        dense_weight, freshness = properties.get(DENSE_WEIGHT), properties.get(FRESHNESS)
        in_step_at = properties.get(IN_STEP)
        return cls(
            embedding_model=properties[EMBEDDING],
            prompts=Prompts(properties.get(_QUERY_PROMPT, ""), properties.get(_PASSAGE_PROMPT, "")),
            words_version=properties.get(_WORDS),
            chunking=Chunking.model_validate_json(properties.get(CHUNKING, "{}")),
            dense_weight=float(dense_weight) if dense_weight else None,
            freshness=Freshness.from_json(freshness) if freshness else None,
            in_step_at=float(in_step_at) if in_step_at else None,
        )

    def of_new(self) -> dict[str, str]:
        """The notes as properties of a new collection."""
        return {
            EMBEDDING: self.embedding_model,
            _QUERY_PROMPT: self.prompts.query,
            _PASSAGE_PROMPT: self.prompts.passage,
            _WORDS: self.words_version or "",
            CHUNKING: self.chunking.model_dump_json(),
        }
