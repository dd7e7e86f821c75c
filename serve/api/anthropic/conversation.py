"""Conversations as Anthropic's API writes them: texts, calls of tools and their results, in blocks.

In: the messages and the system prompt of a request. Out: the same conversation as chat has it. What a model of texts
cannot read is refused by name.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from plait.serve.api.generation_requests import MAX_MESSAGES, ChatMessage, FunctionCall, ToolCallMessage
from plait.serve.api.message_parts import only_parts
from plait.serve.api.request_body import LenientPart, does_not_fit

_MAX_BLOCKS = MAX_MESSAGES - 1
"""Each may become a message of its own, beside the system prompt."""


class TextBlock(LenientPart):
    type: Literal["text"]
    text: str


class ToolUseBlock(LenientPart):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]

    def to_call(self) -> ToolCallMessage:
        arguments = json.dumps(self.input, ensure_ascii=False)
        return ToolCallMessage(id=self.id, type="function", function=FunctionCall(name=self.name, arguments=arguments))


class ToolResultBlock(LenientPart):
    """What a call gave."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[Annotated[TextBlock, only_parts("text")]] = ""
    is_error: bool = False

    def to_message(self) -> ChatMessage:
        said = _text(self.content)
        return ChatMessage(
            role="tool", content=f"Error: {said}" if self.is_error else said, tool_call_id=self.tool_use_id
        )


class ThinkingBlock(LenientPart):
    """What a model thought, which is left out: it was another model's, or another turn's."""

    type: Literal["thinking", "redacted_thinking"]


_Block = Annotated[
    Annotated[TextBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock, Field(discriminator="type")],
    only_parts("text", "tool_use", "tool_result", "thinking", "redacted_thinking"),
]
SystemPrompt = str | list[Annotated[TextBlock, only_parts("text")]]


class ConversationMessage(LenientPart):
    """A turn of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]

    @model_validator(mode="after")
    def _has_the_blocks_of_its_role(self) -> Self:
        roles = {"tool_use": "assistant", "tool_result": "user"}
        blocks = self.content if isinstance(self.content, list) else []
        if any(roles.get(block.type, self.role) != self.role for block in blocks):
            raise does_not_fit("content", "tool_use blocks are an assistant's, tool_result blocks a user's")
        return self

    @property
    def is_text(self) -> bool:
        """Whether there is text in it, and no call."""
        blocks = [] if isinstance(self.content, str) else self.content
        return bool(_text(self.content)) and not any(isinstance(block, ToolUseBlock) for block in blocks)

    def to_messages(self) -> list[ChatMessage]:
        """A message for each result of a tool, and one for the texts and the calls between them."""
        blocks = [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content
        if self.role == "assistant":
            calls = [block.to_call() for block in blocks if isinstance(block, ToolUseBlock)]
            return [ChatMessage(role="assistant", content=_text(blocks), tool_calls=calls or None)]
        if self.role == "system":
            return [ChatMessage(role="system", content=_text(blocks, between="\n\n"))]
        messages: list[ChatMessage] = []
        said: list[TextBlock] = []
        for block in blocks:
            if isinstance(block, ToolResultBlock):
                messages += [*_spoken(said), block.to_message()]
                said = []
            elif isinstance(block, TextBlock):
                said.append(block)
        return messages + _spoken(said) or [ChatMessage(role="user", content="")]


def _has_not_too_many_blocks(messages: Any) -> Any:
    """Counted before they are looked at: that takes microseconds for each, in which the API answers nobody else."""
    if isinstance(messages, list):
        contents = [message.get("content") if isinstance(message, dict) else None for message in messages]
        count = sum(len(content) or 1 if isinstance(content, list) else 1 for content in contents)
        if count > _MAX_BLOCKS:
            raise ValueError(f"the messages have {count} blocks, at most {_MAX_BLOCKS} are taken")
    return messages


Conversation = Annotated[list[ConversationMessage], Field(min_length=1), BeforeValidator(_has_not_too_many_blocks)]


def to_messages(system: SystemPrompt | None, conversation: Sequence[ConversationMessage]) -> list[ChatMessage]:
    """The conversation as chat has it, the system prompt first."""
    first = [ChatMessage(role="system", content=_text(system, between="\n\n"))] if system else []
    return [*first, *(message for turn in conversation for message in turn.to_messages())]


def _spoken(said: Sequence[TextBlock]) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=_text(said))] if said else []


def _text(content: str | Sequence[Any], between: str = "") -> str:
    if isinstance(content, str):
        return content
    return between.join(block.text for block in content if isinstance(block, TextBlock))
