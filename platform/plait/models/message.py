"""What was said in a conversation, and the calls of tools in it."""

import json
from dataclasses import dataclass
from typing import Any, Literal

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class ToolCall:
    """A call that a model made.

    `id` is empty where it has none; `arguments` are JSON as the model wrote it, which may be cut off.
    """

    id: str
    name: str
    arguments: str

    def as_template(self) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": self.name, "arguments": self._value()}}
        return {"id": self.id} | call if self.id else call

    def as_text(self) -> str:
        call = json.dumps({"name": self.name, "arguments": self._value()}, ensure_ascii=False)
        return f"{CALL_OPEN}{call}{CALL_CLOSE}"

    def _value(self) -> Any:
        try:
            return json.loads(self.arguments)
        except ValueError:
            return self.arguments


@dataclass(frozen=True)
class Message:
    """What was said.

    `tool_calls` and `reasoning` (what it thought before it spoke) are an assistant's; `tool_call_id` and `name` say
    which call and which function a message of the role `tool` answers.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    reasoning: str = ""
