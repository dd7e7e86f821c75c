"""Late interaction: how well texts answer a query, word by word, from the token vectors of an embedding model.

ColBERT's MaxSim (Khattab and Zaharia 2020, arXiv:2004.12832) over a model that was not trained for it: for when there
is no cross-encoder. In: a query and texts. Out: a score for each, -1 to 1, higher is better.
"""

from collections.abc import Sequence

from plait.errors import InvalidInput
from plait.models.embedding import Embedding, TokenEmbedding


def late_interaction_scores(model: Embedding, query: str, texts: Sequence[str]) -> list[float]:
    """Of each token of the query the cosine to the nearest token of the text, on average.

    Raises:
        InvalidInput: when the model gives no vectors of tokens, as one behind an endpoint.
    """
    if not isinstance(model, TokenEmbedding):
        raise InvalidInput(
            f"'{model.name}' gives no vectors of tokens, which rerank: late-interaction needs.",
            "Use rerank: cross-encoder or none.",
        )
    if not texts:
        return []
    (of_query,) = model.encode_query_tokens([query])
    return [float((of_query @ of_text.T).max(axis=1).mean()) for of_text in model.encode_passage_tokens(texts)]
