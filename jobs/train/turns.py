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

from plait.documents.row_files import BadRow
from plait.jobs.train.fields import NOTHING, Fields, as_json, checked_text, kind_of, parsed
from plait.models.message import Message, Role, ToolCall
from plait.models.tools import Tool

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
_ARGUMENTS = ("arguments", "parameters", "input")  # OpenAI's, Llama's, Anthropic's
_SCHEMA = ("parameters", "input_schema", "inputSchema")  # OpenAI's, Anthropic's, MCP's
_TEXT_PARTS = ("text", "input_text", "output_text")
# What a turn means changes with these, so they are not passed over as others are.
_NOT_SUPPORTED = frozenset(
    (
        *("audio", "image", "images", "video", "videos", "documents", "tools", "functions", "refusal"),
        *("image_url", "input_audio", "file"),
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
    unused_here: set[str] = set()
    calls = _calls(fields, given_role, unused_here)
    if calls and role != "assistant":
        raise BadRow(f"is no example: {place} has tool calls, which only an assistant makes")
    message = Message(
        role,
        "" if given_role in _CALLERS else _content(fields, role, bool(calls), unused_here),
        calls,
        fields.text_or_nothing("tool_call_id"),
        fields.text_or_nothing("name"),
        _reasoning(fields, role),
    )
    weight = _weight(fields)
    unused.update(f"{of_list}.{name}" for name in unused_here | _passed_over(fields))
    return Turn(message, weight)


def _passed_over(fields: Fields) -> set[str]:
    """The names of what nobody took.

    Raises:
        BadRow: when the meaning would change without one.
    """
    names = {name for name, _ in fields.unused()}
    for name in sorted(names & _NOT_SUPPORTED):
        raise BadRow(f"cannot be learned as it is meant: {fields.place(name)} is not supported")
    return names


def _content(fields: Fields, role: Role, is_optional: bool, unused: set[str]) -> str:
    name = "value" if "value" in fields and "content" not in fields else "content"
    value, place = fields.take(name), fields.place(name)
    # Hugging Face's tools may answer with any value, a list too.
    is_answer = role == "tool" and not (value and isinstance(value, list) and all(map(_is_part, value)))
    if isinstance(value, list) and not is_answer:
        value = "".join(_part(part, f"{place}.{number}", name, unused) for number, part in enumerate(value))
    if value in (None, "") and (role in ("system", "tool") or is_optional):
        return ""
    return as_json(value, place) if is_answer and not isinstance(value, str) else checked_text(value, place)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "type" in value


def _part(part: Any, place: str, of_list: str, unused: set[str]) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else kind_of(part)
    if kind not in _TEXT_PARTS:
        raise BadRow(f"cannot be learned as it is meant: {place} is of type {kind!r:.60}, and only text is supported")
    fields = Fields(part, place)
    fields.take("type")
    text = fields.text("text")
    unused.update(f"{of_list}.{name}" for name in _passed_over(fields))
    return text


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


def _calls(fields: Fields, given_role: str, unused: set[str]) -> tuple[ToolCall, ...]:
    found = {"tool_calls": fields.listed("tool_calls")}
    if (value := fields.take("function_call")) not in NOTHING:  # OpenAI's before tool_calls
        found["function_call"] = [value]
    if given_role in _CALLERS:
        name = "value" if "value" in fields else "content"
        place = fields.place(name)
        said = parsed(checked_text(fields.take(name), place), place)
        found[name] = said if isinstance(said, list) else [said]
    found = {name: values for name, values in found.items() if values}
    if len(found) > 1:
        raise BadRow(f"is no example: {' and '.join(map(fields.place, found))} are both calls; leave one out")
    return tuple(
        _call(value, f"{fields.place(name)}.{number}", name, unused)
        for name, values in found.items()
        for number, value in enumerate(values)
    )


def _call(value: Any, place: str, of_list: str, unused: set[str]) -> ToolCall:
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise BadRow(f"is no example: {place} is no call: it needs a function with name and arguments")
    outer = Fields(value, place)
    fields = outer if function is value else Fields(function, place)
    for known in ("function", "type", "index"):
        outer.take(known)
    call_id, name = outer.text_or_nothing("id"), fields.text("name")
    key = fields.first_of(_ARGUMENTS) or _ARGUMENTS[0]
    arguments = fields.mapping(key, "an object")
    others = {name for of in (outer, fields) for name, _ in of.unused()}
    if others and arguments is None:
        raise BadRow(f"is no example: {place} has no arguments, but {', '.join(sorted(others))}")
    unused.update(f"{of_list}.{name}" for name in others)
    return ToolCall(call_id, name, as_json(arguments or {}, fields.place(key)))


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
    key = fields.first_of(_SCHEMA) or _SCHEMA[0]
    parameters = fields.mapping(key, "a JSON schema")
    fields.take("type")
    unused.update(f"{of_list}.{name}" for name, _ in fields.unused())
    return Tool(name, description, as_json(parameters or {"type": "object"}, fields.place(key)))
