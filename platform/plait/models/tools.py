"""Tools in a conversation: what a model may call, what it called, and how both read for a model without a template.

In: functions and calls. Out: dicts for a chat template that takes tools, or plain words in the messages. What is called
stays with the client: nothing here runs a function.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from plait.models.message import CALL_CLOSE, CALL_OPEN, Message

_HOW = (
    "You may call functions. To call one, answer with nothing but\n"
    f'{CALL_OPEN}{{"name": the function, "arguments": an object}}{CALL_CLOSE}\n'
    "The functions, with the JSON schema of their arguments:"
)


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; `parameters`: the JSON schema of its arguments, as text."""

    name: str
    description: str = ""
    parameters: str = '{"type": "object"}'

    def as_template(self) -> dict[str, Any]:
        """What chat templates take: OpenAI's shape."""
        return {"type": "function", "function": self._fields()}

    def as_text(self) -> str:
        return json.dumps(self._fields(), ensure_ascii=False)

    def _fields(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description, "parameters": json.loads(self.parameters)}


def in_words(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """The same conversation for a template that knows no tools: functions in the system message, calls as text.

    A tool's answer becomes a message of the user, delimited so that it cannot end itself. Answers to parallel calls,
    and what the user says next, are one message: most templates refuse two of the user's in a row.
    """
    spoken: list[Message] = []
    follows_answer = False
    for message in messages:
        is_answer = message.role == "tool"
        if is_answer:
            answer = message.content.replace("</tool_response", "< /tool_response")
            message = Message("user", f"<tool_response>\n{answer}\n</tool_response>")
        elif message.tool_calls:
            parts = [message.content, *(call.as_text() for call in message.tool_calls)]
            message = replace(message, content="\n".join(part for part in parts if part), tool_calls=())
        if follows_answer and message.role == "user":
            message = replace(message, content=f"{spoken.pop().content}\n{message.content}")
        spoken.append(message)
        follows_answer = is_answer
    if not tools:
        return spoken
    given = [m.content for m in spoken if m.role == "system"]
    # Functions first: they are alike in all requests of a client, and what is computed of a beginning is used again.
    system = "\n\n".join(["\n".join([_HOW, *(tool.as_text() for tool in tools)]), *given])
    return [Message("system", system), *(m for m in spoken if m.role != "system")]
