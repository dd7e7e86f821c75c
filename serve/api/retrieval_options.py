"""How to retrieve and to cite, as a request says it."""

from pydantic import Field

from plait.retrieval.request import Retrieval
from plait.serve.api.request_body import NullIsNotGiven
from plait.serve.messages.arguments import CitationStyle


class RetrievalOptions(NullIsNotGiven, Retrieval):
    """How to retrieve and to cite; fields that are not set are the server's."""

    citations: CitationStyle | None = Field(
        None, description="inline: `[1]` after sentences and sources at the end of the text, beside the annotations."
    )


def what_is_set(options: Retrieval) -> Retrieval:
    """How to retrieve alone, with the same fields set."""
    names = options.model_fields_set & Retrieval.model_fields.keys()
    return Retrieval(**{name: getattr(options, name) for name in names})
