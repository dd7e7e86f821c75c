"""How to retrieve, as a request says it."""

from plait.retrieval.request import Retrieval
from plait.serve.api.request_body import NullIsNotGiven


class RetrievalOptions(NullIsNotGiven, Retrieval):
    """How to retrieve; fields that are not set are the server's."""

    def to_retrieval(self) -> Retrieval:
        """What is set here, the rest unset."""
        return Retrieval(**self.model_dump(include=self.model_fields_set & Retrieval.model_fields.keys()))
