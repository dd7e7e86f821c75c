"""What the input of a response consists of: messages, calls of functions, and what the functions gave.

In: items as clients send them, which are also the items that earlier answers had. Out: messages of a conversation.
Nothing here knows where earlier items are kept.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, GetJsonSchemaHandler, Tag, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from plait.errors import InvalidField
from plait.serve.api.generation_requests import MAX_MESSAGES, ChatMessage, FunctionCall, ToolCallMessage
from plait.serve.api.message_parts import only_parts
from plait.serve.api.request_body import LenientPart, only_types
from plait.serve.api.responses.objects import (
    FunctionCallOutput,
    InputMessage,
    InputText,
    OutputFunctionCall,
    OutputMessage,
    OutputText,
)
from plait.serve.api.responses.storage import item_id
from plait.validation import NOT_SUPPORTED


class ItemText(LenientPart):
    type: Literal["input_text", "output_text"]
    text: str


class ItemRefusal(LenientPart):
    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


Content = str | list[Annotated[ItemText | ItemRefusal, only_parts("input_text", "output_text", "refusal")]]


class MessageItem(LenientPart):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content


class FunctionCallItem(LenientPart):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class FunctionCallOutputItem(LenientPart):
    type: Literal["function_call_output"]
    call_id: str
    output: Content


class IgnoredItem(LenientPart):
    """What an answer has besides what was said: how the model thought, and what was searched for."""

    type: Literal["reasoning", "file_search_call"]


class ItemReference(LenientPart):
    """An item of a response that is kept, by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: str


_KINDS = ("message", "function_call", "function_call_output", "reasoning", "file_search_call", "item_reference")
_ONE_OF_THEM = f"{', '.join(_KINDS[:-1])} and {_KINDS[-1]}"


def _kind(item: Any) -> str | None:
    """The type of an item; a message and a reference may leave it out."""
    if not isinstance(item, dict):
        return None
    kind = item.get("type")
    return ("message" if "role" in item else "item_reference") if kind is None else str(kind)


class _AnyOf:
    """Describes a union without the claim that a value is of one type alone: what has no type may be of two."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        return {"anyOf": described["oneOf"]}


_BY_KIND = Discriminator(
    _kind, custom_error_type=NOT_SUPPORTED, custom_error_message=f"an item is an object of a type: {_ONE_OF_THEM}"
)
SaidItem = MessageItem | FunctionCallItem | FunctionCallOutputItem | IgnoredItem
InputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionCallOutputItem, Tag("function_call_output")]
    | Annotated[IgnoredItem, Tag("reasoning")]
    | Annotated[IgnoredItem, Tag("file_search_call")]
    | Annotated[ItemReference, Tag("item_reference")],
    _BY_KIND,
    _AnyOf(),
    only_types(("", *_KINDS), lambda kind: f"items of the type '{kind}' are not read here; {_ONE_OF_THEM} are"),
]


def _have_not_too_many_parts(items: Any) -> Any:
    """Counted before they are looked at, as those of chat are."""
    if isinstance(items, list):
        parts = (item.get(name) for item in items if isinstance(item, dict) for name in ("content", "output"))
        count = sum(len(part) for part in parts if isinstance(part, list))
        if count > MAX_MESSAGES:
            raise ValueError(f"the items have {count} parts, at most {MAX_MESSAGES} are taken")
    return items


InputItems = Annotated[
    list[InputItem], Field(min_length=1, max_length=MAX_MESSAGES), BeforeValidator(_have_not_too_many_parts)
]
said: TypeAdapter[list[SaidItem]] = TypeAdapter(list[SaidItem])
"""Reads items as they are kept."""


def text_of(content: Content) -> str:
    """All text of a message."""
    return content if isinstance(content, str) else "".join(part.text for part in content)


def listed(item: SaidItem, response_id: str, place: int) -> dict[str, Any] | None:
    """An item as it is kept and listed; None for what is ignored. `place`: among the items of its response."""
    if isinstance(item, MessageItem):
        id, text = item_id("msg", response_id, place), text_of(item.content)
        if item.role == "assistant":
            return OutputMessage(id=id, status="completed", content=[OutputText(text=text)]).model_dump()
        return InputMessage(id=id, role=item.role, content=[InputText(text=text)]).model_dump()
    if isinstance(item, FunctionCallItem):
        fields = item.model_dump(include={"call_id", "name", "arguments"})
        return OutputFunctionCall(id=item_id("fc", response_id, place), status="completed", **fields).model_dump()
    if isinstance(item, FunctionCallOutputItem):
        id = item_id("fco", response_id, place)
        return FunctionCallOutput(id=id, call_id=item.call_id, output=text_of(item.output)).model_dump()
    return None


def carried(item: dict[str, Any]) -> dict[str, Any]:
    """An item of a kept answer as later responses carry it: without what only the answer's own response shows.

    What was found, log-probabilities and the texts of citations would be copied into every later response.
    """
    if item.get("type") == "file_search_call":
        return item | {"results": None}
    if item.get("type") == "message":
        return item | {"content": [_carried_part(part) for part in item["content"]]}
    return item


def _carried_part(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") != "output_text":
        return part
    cited = [
        each | {"text": "", "quote": None} if each.get("type") == "url_citation" else each
        for each in part.get("annotations", ())
    ]
    return part | {"annotations": cited, "logprobs": []}


def conversation(items: Sequence[SaidItem]) -> list[ChatMessage]:
    """The messages of items; calls that follow one another, or an assistant's text, are one message's.

    Raises:
        InvalidField: for the output of a call that is not among the items before it.
    """
    messages: list[ChatMessage] = []
    called: set[str] = set()
    for item in items:
        if isinstance(item, MessageItem):
            messages.append(ChatMessage(role=item.role, content=text_of(item.content)))
        elif isinstance(item, FunctionCallItem):
            called.add(item.call_id)
            call = ToolCallMessage(id=item.call_id, function=FunctionCall(name=item.name, arguments=item.arguments))
            if messages and messages[-1].role == "assistant":
                last = messages.pop()
                messages.append(ChatMessage(**dict(last) | {"tool_calls": [*(last.tool_calls or ()), call]}))
            else:
                messages.append(ChatMessage(role="assistant", tool_calls=[call]))
        elif isinstance(item, FunctionCallOutputItem):
            if item.call_id not in called:
                raise InvalidField(
                    f"There is no function_call '{item.call_id[:80]}' before its output.",
                    "Send the call too, or previous_response_id.",
                    "input",
                )
            messages.append(ChatMessage(role="tool", content=text_of(item.output), tool_call_id=item.call_id))
    return messages
