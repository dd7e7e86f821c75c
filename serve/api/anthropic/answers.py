"""Answers of Anthropic's API of messages: whole, and as the events of a stream.

They are what /openapi.json describes. `plait` is what Plait adds to Anthropic's.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, RootModel

from plait.serve.api.citations import Citation
from plait.serve.messages.protocol import PlaitDetails, Usage

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class CharLocation(BaseModel):
    """Words of a passage that was in the prompt, and where they stand in the cleaned text of its document.

    `document_index`: among the passages of the prompt, best first.
    """

    type: Literal["char_location"] = "char_location"
    cited_text: str
    document_index: int
    document_title: str | None
    start_char_index: int
    end_char_index: int
    file_id: str | None

    @classmethod
    def of(cls, citation: Citation, index: int) -> Self:
        """The words that the answer repeats; the whole passage, where it repeats none."""
        quote = citation.quote
        return cls(
            type="char_location",
            cited_text=quote.text if quote else citation.text,
            document_index=index,
            document_title=citation.url_citation.title,
            start_char_index=quote.start if quote else citation.start,
            end_char_index=quote.end if quote else citation.end,
            file_id=citation.file_citation.file_id if citation.file_citation else None,
        )


class AnsweredText(BaseModel):
    type: Literal["text"] = "text"
    text: str
    citations: list[CharLocation] | None = None


class AnsweredToolUse(BaseModel):
    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


AnsweredBlock = Annotated[AnsweredText | AnsweredToolUse, Field(discriminator="type")]


class MessageUsage(BaseModel):
    """Tokens of the prompt are the sum of the first three."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, usage: Usage) -> Self:
        cached = usage.prompt_tokens_details.cached_tokens
        return cls(
            input_tokens=usage.prompt_tokens - cached,
            cache_creation_input_tokens=0,
            cache_read_input_tokens=cached,
            output_tokens=usage.completion_tokens,
        )


class AnsweredMessage(BaseModel):
    """The answer. In the event `message_start` of a stream it has neither content nor a reason yet."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[AnsweredBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None = None
    usage: MessageUsage
    plait: PlaitDetails | None = None


class TokenCount(BaseModel):
    input_tokens: int


class MessageStart(BaseModel):
    type: Literal["message_start"] = "message_start"
    message: AnsweredMessage


class Ping(BaseModel):
    type: Literal["ping"] = "ping"


class ContentBlockStart(BaseModel):
    type: Literal["content_block_start"] = "content_block_start"
    index: int
    content_block: AnsweredBlock


class TextBlockDelta(BaseModel):
    type: Literal["text_delta"] = "text_delta"
    text: str


class InputJsonDelta(BaseModel):
    type: Literal["input_json_delta"] = "input_json_delta"
    partial_json: str


class CitationsDelta(BaseModel):
    type: Literal["citations_delta"] = "citations_delta"
    citation: CharLocation


class ContentBlockDelta(BaseModel):
    type: Literal["content_block_delta"] = "content_block_delta"
    index: int
    delta: Annotated[TextBlockDelta | InputJsonDelta | CitationsDelta, Field(discriminator="type")]


class ContentBlockStop(BaseModel):
    type: Literal["content_block_stop"] = "content_block_stop"
    index: int


class StopDelta(BaseModel):
    stop_reason: StopReason
    stop_sequence: str | None = None


class MessageDelta(BaseModel):
    type: Literal["message_delta"] = "message_delta"
    delta: StopDelta
    usage: MessageUsage
    plait: PlaitDetails


class MessageStop(BaseModel):
    type: Literal["message_stop"] = "message_stop"


Event = MessageStart | Ping | ContentBlockStart | ContentBlockDelta | ContentBlockStop | MessageDelta | MessageStop


class MessageStreamEvent(RootModel[Annotated[Event, Field(discriminator="type")]]):
    """One event of a stream; the line `event` repeats its type."""
