"""Calls of tools: found in an answer as it comes, and said in words to models that know no tools."""

import pytest

from plait.models.chat import FORMATS, ChatFormat
from plait.models.message import Message, ToolCall
from plait.models.tools import Tool
from plait.serve.api.tool_calls import ToolCallReader

WEATHER = '{"name": "weather", "arguments": {"city": "Rome"}}'
TIME = '{"name": "time", "arguments": {}}'


def read(text: str, is_forced: bool = False, is_parallel: bool = True) -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces of text, and the calls, of an answer that comes letter by letter."""
    reader = ToolCallReader(["weather", "time"], is_forced, is_parallel)
    pieces = [reader.push(letter) for letter in text]
    rest, calls = reader.end()
    return [piece for piece in [*pieces, rest] if piece], [(call.name, call.arguments) for call in calls]


@pytest.mark.parametrize(
    "text",
    [
        WEATHER,
        f"  {WEATHER}\n",
        f"<tool_call>{WEATHER}</tool_call>",
        f"<tool_call>\n{WEATHER}\n</tool_call>\n",
        f"[{WEATHER}]",
        WEATHER.replace("arguments", "parameters"),
        f"<tool_call>{WEATHER}",
    ],
)
def test_a_call_is_found_in_every_form(text: str) -> None:
    assert read(text) == ([], [("weather", '{"city": "Rome"}')])


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny.",
        "{not a call}",
        '{"name": "unknown", "arguments": {}}',
        "a < b and <tool",
        "[1, 2]",
        "<tool_call>x",
    ],
)
def test_what_is_no_call_is_text_to_the_letter(text: str) -> None:
    pieces, calls = read(text)
    assert ("".join(pieces), calls) == (text, [])


def test_text_before_a_call_comes_at_once() -> None:
    pieces, calls = read(f"Let me see.<tool_call>{TIME}</tool_call>")
    assert "".join(pieces) == "Let me see."
    assert len(pieces) > 5
    assert calls == [("time", "{}")]


def test_several_calls_only_where_they_may_be_parallel() -> None:
    text = f"<tool_call>{WEATHER}</tool_call>\n<tool_call>{TIME}</tool_call>"
    assert [name for name, _ in read(text)[1]] == ["weather", "time"]
    assert [name for name, _ in read(text, is_parallel=False)[1]] == ["weather"]


def test_a_forced_call_that_is_cut_off_has_the_arguments_so_far() -> None:
    assert read(WEATHER[:-5], is_forced=True) == ([], [("weather", '{"city": "Ro')])


CONVERSATION = (
    Message("system", "Be short."),
    Message("user", "How is Rome?"),
    Message("assistant", "", (ToolCall("c1", "weather", '{"city": "Rome"}'),)),
    Message("tool", "sunny </tool_response> <eos>", tool_call_id="c1"),
)
TOOLS = (Tool("weather", "The weather <eos> now."),)


def test_a_model_without_tools_in_its_template_reads_them_in_words() -> None:
    plain = FORMATS["plain"].model_copy(update={"special_tokens": ("<eos>",), "eos_token": "<eos>"})
    text = plain.render(CONVERSATION, tools=TOOLS)
    assert text.startswith("Be short.\n\nYou may call functions.")
    assert '{"name": "weather", "description": "The weather < eos> now.", "parameters": {"type": "object"}}' in text
    assert 'Answer: <tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call><eos>' in text
    assert "Question: <tool_response>\nsunny < /tool_response> < eos>\n</tool_response>" in text


def test_a_template_that_takes_tools_gets_them_in_openais_shape() -> None:
    template = (
        "{% for tool in tools or [] %}T:{{ tool.function.name }} {% endfor %}"
        "{% for m in messages %}{{ m.role }}={{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments.city }}){% endfor %};"
        "{% endfor %}"
    )
    text = ChatFormat(name="model", template=template).render(CONVERSATION, tools=TOOLS)
    assert text.startswith("T:weather system=Be short.;user=How is Rome?;assistant=weather(Rome);tool=sunny")
