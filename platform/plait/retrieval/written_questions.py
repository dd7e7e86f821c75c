"""Questions that a model writes about documents, to measure retrieval where nobody has asked any yet.

They are asked in words of the text more often than people's questions are, which favours search by words.
"""

from plait.models.generate import Generate
from plait.models.message import Message
from plait.retrieval.fitting import KnownQuestion

_MAX_TOKENS = 48
_TASK = (
    "Write one short question that somebody asks who needs the following text, in other words than the text's own. "
    "Reply with the question alone."
)


async def write_question(source: str, text: str, model: Generate) -> KnownQuestion | None:
    """A question about a text, if the model writes one; `source`: the name of the text's document."""
    reply = await model.generate([Message("user", f"{_TASK}\n\n{text}")], _MAX_TOKENS)
    lines = [line.strip() for line in reply.text.splitlines()]
    question = next((line for line in lines if line.endswith("?")), None)
    return None if question is None else KnownQuestion(question, source)
