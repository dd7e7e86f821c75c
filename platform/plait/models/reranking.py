"""A query and texts to scores, with any cross-encoder of sentence-transformers.

In: a model source, pairs of a query and a text. Out: a score for each, higher is better. It ranks nothing.
"""

from collections.abc import Sequence

from plait.errors import InvalidField, ModelNotFound
from plait.models.cross_encoder import CrossEncoderModel


def check_uncut(tokens: Sequence[int], limit_tokens: int, reads_tokens: int) -> None:
    """Whether a limit changes nothing. `tokens`: of each document; `reads_tokens`: where the model itself cuts.

    Raises:
        InvalidField: when a document is longer than the limit, and the limit shorter than what the model reads.
    """
    if limit_tokens >= reads_tokens:
        return
    for i, length in enumerate(tokens):
        if length > limit_tokens:
            raise InvalidField(
                f"max_tokens_per_doc={limit_tokens} would cut document {i}, which has {length} tokens.",
                "Nothing is cut here but what the model does not read: shorten it, or leave max_tokens_per_doc out.",
                "max_tokens_per_doc",
            )


class RerankingModel(CrossEncoderModel):
    """A loaded cross-encoder (Nogueira and Cho 2019, arXiv:1901.04085).

    Args:
        source: model source: hub id, folder or package:NAME.

    Raises:
        ModelNotFound: when there is no such model, or it gives a pair of texts no single score.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        if self._model.num_labels != 1:
            raise ModelNotFound(f"'{source}' gives {self._model.num_labels} scores a pair.", "Choose a reranker.")

    def score(self, pairs: Sequence[tuple[str, str]], batch_size: int = 32) -> list[float]:
        """Scores of (query, text) pairs, 0 to 1 unless the model's own configuration says otherwise."""
        if not pairs:
            return []
        scores = self._model.predict(list(pairs), batch_size=batch_size, show_progress_bar=False)
        return [float(score) for score in scores]
