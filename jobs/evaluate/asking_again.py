"""Asks the model that is judged again, from passages of the evaluation's choice: for counterfactual citations.

In: a question and passages. Out: the reply. The passages are written into the prompt by the function that serving uses,
so the model must be one without retrieval of its own (`support`, not `rag/support`).
"""

from collections.abc import Sequence

from plait.evaluation.sample import SamplePassage
from plait.index.passage import Passage
from plait.models.generate import Generate
from plait.models.message import Message
from plait.retrieval.context import with_passages


class GroundedModel:
    """An `AskAgain` over any `Generate`.

    Args:
        model: the model that is judged, without retrieval.
        max_tokens: of a reply, as many as the judged one might have.
    """

    def __init__(self, model: Generate, max_tokens: int) -> None:
        self._model, self._max_tokens = model, max_tokens

    async def reply(self, question: str, passages: Sequence[SamplePassage]) -> str:
        """See `AskAgain`."""
        found = [
            Passage(each.chunk_id, each.source, "", "", each.text, each.start or 0, each.end or 0, 0.0)
            for each in passages
        ]
        # They stood in one prompt, so they fit: each costs one of as many as there are.
        prompt = with_passages([Message("user", question)], found, len(found), lambda _: 1)
        return (await self._model.generate(prompt.messages, self._max_tokens)).text
