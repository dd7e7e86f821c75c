"""Requests that a chat client makes for itself: titles, tags, follow-up questions, completions of what is typed.

In: a header and a conversation. Out: whether it is one. Such a request holds the whole conversation and asks about it,
not about documents: passages for it would be chance, and take the room of the answer.
"""

from dataclasses import replace

from plait.model_ids import ModelId
from plait.serve.messages.calls import Call

_BEGIN = "### Task:"
_HISTORY = ("### Chat History:", "### Messages Being Compacted:")
"""Open WebUI's prompts for tasks begin and quote the conversation so. Its prompt for its own documents, which begins
likewise, quotes none: that one holds a question of the user."""


def is_client_task(call: Call, header: str) -> bool:
    """Whether a client asks for itself; `header`: the value of `TASK_HEADER`."""
    if header.strip():
        return True
    said = [message for message in call.messages or () if message.role != "system"]
    if len(said) != 1 or said[0].role != "user":
        return False
    prompt = said[0].content.lstrip()
    return prompt.startswith(_BEGIN) and any(history in prompt for history in _HISTORY)


def without_passages(call: Call) -> Call:
    """The same question to the same weights, which answer from what it says; for auto, to the base model."""
    if call.model.is_auto:
        return replace(call, model=ModelId(), retrieval=None)
    return replace(call, model=replace(call.model, with_retrieval=False), retrieval=None)
