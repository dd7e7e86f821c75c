"""The typed events of a streamed response, in OpenAI's shapes. Each has a number, from 0."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from plait.serve.api.generation_answers import ChatLogprob
from plait.serve.api.responses.objects import Annotation, OutputItem, OutputText, Response


class _Numbered(BaseModel):
    sequence_number: int


class _OfItem(_Numbered):
    """`output_index`: of the item in the output."""

    item_id: str
    output_index: int


class _OfText(_OfItem):
    content_index: Literal[0] = 0


class ResponseState(_Numbered):
    """How it stands with the whole response: first, and at the end."""

    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ]
    response: Response


class ItemState(_Numbered):
    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int
    item: OutputItem


class FileSearchState(_OfItem):
    type: Literal[
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
    ]


class PartState(_OfText):
    type: Literal["response.content_part.added", "response.content_part.done"]
    part: OutputText


class TextDelta(_OfText):
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str
    logprobs: list[ChatLogprob] = []


class AnnotationAdded(_OfText):
    type: Literal["response.output_text.annotation.added"] = "response.output_text.annotation.added"
    annotation_index: int
    annotation: Annotation


class TextDone(_OfText):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    text: str
    logprobs: list[ChatLogprob] = []


class ArgumentsDelta(_OfItem):
    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    delta: str


class ArgumentsDone(_OfItem):
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    name: str
    arguments: str


class ErrorEvent(_Numbered):
    """What went wrong; the event `response.failed` follows it."""

    type: Literal["error"] = "error"
    code: str
    message: str
    param: str | None


TypedEvent = (
    ResponseState
    | ItemState
    | FileSearchState
    | PartState
    | TextDelta
    | AnnotationAdded
    | TextDone
    | ArgumentsDelta
    | ArgumentsDone
    | ErrorEvent
)


class ResponseStreamEvent(RootModel[Annotated[TypedEvent, Field(discriminator="type")]]):
    """One event of a stream."""
