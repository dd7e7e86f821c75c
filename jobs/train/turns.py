"""The turns of a conversation, as people write them: OpenAI's messages, Hugging Face's, ShareGPT's.

In: a list of objects. Out: `Turn`s, each a message with the weight that its author gave it. It knows nothing of rows,
and does not judge the order of turns: that is for the chat template.

    {"role": "user", "content": …}                           content: a text, or a list of text parts
    {"from": "human", "value": …}
    {"role": "assistant", "content": …, "weight": 0}         or "train": false: context, but not learned
    {"role": "assistant", "reasoning_content": …, "content": …}
    {"role": "assistant", "tool_calls": [{"id": …, "function": {"name": …, "arguments": …}}]}
    {"role": "tool", "tool_call_id": …, "content": …}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plait.jobs.train.fields import BadRow, Fields, as_json, checked_text, kind_of, parsed
from plait.models.chat import Message, Role
from plait.models.tools import Tool, ToolCall

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
_PLAIN = {"role", "content"}
_PLAIN_ROLES = ("user", "assistant")
_CALLERS = ("function_call", "tool_call")  # roles whose content is the call
_REASONING = ("reasoning_content", "reasoning", "thinking")
_TEXT_PARTS = ("text", "input_text", "output_text")
# What a turn means changes with these, so they are not passed over as others are.
_NOT_SUPPORTED = frozenset(
    (
        *("audio", "image", "images", "video", "videos", "documents", "tools", "functions", "refusal"),
        *("loss", "loss_mask", "mask", "train_detail"),
    )
)


@dataclass(frozen=True)
class Turn:
    """A message; `weight`: whether its author wants it learned, None where nothing says so."""

    message: Message
    weight: bool | None = None


def parse_turns(values: Sequence[Any], place: str, unused: set[str]) -> list[Turn]:
    """The turns of a list.

    Args:
        values: what should be one object a turn.
        place: where the list stands in the row.
        unused: gets the names of keys that mean nothing here, as in `messages.id`.

    Raises:
        BadRow: when one is no turn, or has a key whose meaning would be lost.
    """
    return [_turn(value, f"{place}.{number}", place, unused) for number, value in enumerate(values)]


def _turn(value: Any, place: str, of_list: str, unused: set[str]) -> Turn:
    if not isinstance(value, dict):
        raise BadRow(f"is no example: {place} is {kind_of(value)} and must be an object with role and content")
    if value.keys() == _PLAIN and isinstance(value["content"], str) and value["role"] in _PLAIN_ROLES:
        return Turn(
            Message(_ROLES[value["role"]], checked_text(value["content"], f"{place}.content"))
        )  # nearly all are
    fields = Fields(value, place)
    given_role = fields.take("from" if "from" in fields and "role" not in fields else "role")
    role = _ROLES.get(given_role) if isinstance(given_role, str) else None
    if role is None:
        raise BadRow(f"is no example: {place}.role is {given_role!r:.60} and must be system, user, assistant or tool")
    calls = _calls(fields, given_role)
    if calls and role != "assistant":
        raise BadRow(f"is no example: {place} has tool calls, which only an assistant makes")
    message = Message(
        role,
        "" if given_role in _CALLERS else _content(fields, role, is_optional=bool(calls)),
        calls,
        fields.text_or_nothing("tool_call_id"),
        fields.text_or_nothing("name"),
        _reasoning(fields, role),
    )
    weight = _weight(fields)
    for name, _ in fields.unused():
        if name in _NOT_SUPPORTED:
            raise BadRow(f"cannot be learned as it is meant: {fields.place(name)} is not supported")
        unused.add(f"{of_list}.{name}")
    return Turn(message, weight)


def _content(fields: Fields, role: Role, is_optional: bool) -> str:
    name = "value" if "value" in fields and "content" not in fields else "content"
    value, place = fields.take(name), fields.place(name)
    if isinstance(value, list):
        value = "".join(_part(part, f"{place}.{number}") for number, part in enumerate(value))
    if not value and (role in ("system", "tool") or is_optional):
        return ""
    if role == "tool" and not isinstance(value, str):  # Hugging Face's tools may answer with any value
        return as_json(value, place)
    return checked_text(value, place)


def _part(part: Any, place: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else kind_of(part)
    if kind not in _TEXT_PARTS:
        raise BadRow(f"cannot be learned as it is meant: {place} is of type {kind!r:.60}, and only text is supported")
    return checked_text(part.get("text"), f"{place}.text")


def _reasoning(fields: Fields, role: Role) -> str:
    name = fields.first_of(_REASONING)
    if name is None:
        return ""
    text = fields.text_or_nothing(name)
    if text and role != "assistant":
        raise BadRow(f"is no example: {fields.place(name)} is there, and only an assistant reasons")
    return text


def _weight(fields: Fields) -> bool | None:
    weights = set()
    for name in ("weight", "train"):
        value = fields.take(name)
        if value is None:
            continue
        if value not in (0, 1):
            raise BadRow(f"cannot be learned as it is meant: {fields.place(name)} is {value!r:.60}, not 0 or 1")
        weights.add(bool(value))
    return all(weights) if weights else None


def _calls(fields: Fields, given_role: str) -> tuple[ToolCall, ...]:
    place = fields.place("tool_calls")
    values = fields.listed("tool_calls")
    if "function_call" in fields:  # OpenAI's before tool_calls
        place, values = fields.place("function_call"), [fields.take("function_call")]
    if given_role in _CALLERS:
        name = "value" if "value" in fields else "content"
        place = fields.place(name)
        said = parsed(checked_text(fields.take(name), place), place)
        values = said if isinstance(said, list) else [said]
    return tuple(_call(value, f"{place}.{number}") for number, value in enumerate(values))


def _call(value: Any, place: str) -> ToolCall:
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise BadRow(f"is no example: {place} is no call: it needs a function with name and arguments")
    fields = Fields(function, place)
    arguments = fields.take("arguments")
    if isinstance(arguments, str):
        arguments = parsed(arguments, fields.place("arguments"))
    if arguments is not None and not isinstance(arguments, dict):
        raise BadRow(f"is no example: {fields.place('arguments')} is {kind_of(arguments)} and must be an object")
    return ToolCall(
        Fields(value, place).text_or_nothing("id"),
        fields.text("name"),
        as_json(arguments or {}, fields.place("arguments")),
    )


def parse_tools(values: Sequence[Any], place: str, unused: set[str]) -> tuple[Tool, ...]:
    """Functions that may be called: OpenAI's tools, or the functions themselves.

    Raises:
        BadRow: when one is no function.
    """
    return tuple(_tool(value, f"{place}.{number}", place, unused) for number, value in enumerate(values))


def _tool(value: Any, place: str, of_list: str, unused: set[str]) -> Tool:
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise BadRow(f"is no example: {place} is no tool: it needs a function with a name")
    fields = Fields(function, place)
    name, description = fields.text("name"), fields.text_or_nothing("description")
    parameters = fields.take("parameters")
    if isinstance(parameters, str):
        parameters = parsed(parameters, fields.place("parameters"))
    if parameters is not None and not isinstance(parameters, dict):
        raise BadRow(f"is no example: {fields.place('parameters')} is {kind_of(parameters)} and must be a JSON schema")
    fields.take("type")
    unused.update(f"{of_list}.{name}" for name, _ in fields.unused())
    return Tool(name, description, as_json(parameters or {"type": "object"}, fields.place("parameters")))
