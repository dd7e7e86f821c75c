"""How tests ask /v1/responses, and what the events of its streams are."""

from collections.abc import Sequence
from typing import Any

RESPONSES = "/v1/responses"
ASKED: dict[str, Any] = {"model": "base", "input": "hi"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
TIME = {"type": "function", "name": "time"}
SEARCH: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["docs"]}
RAY = "the version of ray that is installed is the newest"
CALLED = '{"name": "weather", "arguments": {"city": "Rome"}}'
OF_A_MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
OF_A_CALL = [
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
]


def kinds(events: Sequence[Any]) -> list[str]:
    """The types of events; of several deltas one."""
    found: list[str] = []
    for event in events:
        if not found or found[-1] != event.type:
            found.append(event.type)
    return found
