"""Calls as models write them, read whatever pieces they come in; what is none stays text."""

import json
import time
from typing import Any

import pytest

from plait.serve.api import tool_calls
from plait.serve.api.tool_calls import ToolCallReader

ROME = '{"name": "weather", "arguments": {"city": "Rome"}}'
WHERE = {"city": "Rome"}


def read(text: str, piece: int, **options: bool) -> tuple[list[str], str, list[tuple[str, Any]]]:
    """The pieces that were certain before the end, the text in all, and the calls."""
    reader = ToolCallReader({"weather", "now"}, **({"is_forced": False, "is_parallel": True} | options))
    sent = [reader.push(text[i : i + piece]) for i in range(0, len(text), piece)]
    rest, calls = reader.end()
    return sent, "".join(sent) + rest, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize(
    ("text", "before"),
    [
        (ROME, ""),
        (f"```json\n{ROME}\n```", ""),
        (f"```\n{ROME}\n```\nIt is sunny in Rome.", ""),
        (f"I look it up.\n\n```json\n{ROME}\n```", "I look it up."),
        (f"I look it up:\n{ROME}\nThen I say.", "I look it up:"),
        (f"I look it up. ```json {ROME}```", "I look it up."),
        (f"<tool_call>\n{ROME}\n</tool_call>", ""),
        (f"Yes: <tool_call>{ROME}", "Yes:"),
        (f"<tools>\n{ROME}\n</tools>", ""),
        (f"[{ROME}]", ""),
        ('{"name": "weather", "parameters": {"city": "Rome"}}', ""),
        ('{"name":"weather","arguments":"{\\"city\\": \\"Rome\\"}"}', ""),
        ('{"arguments": {"city": "Rome"}, "name": "weather"}', ""),
        (f'{{"type": "function", "function": {ROME}}}', ""),
        (f'{ROME}\n{{"temperature": 20}}', ""),
        (f"```json\n{ROME}\n[1, 2]\n```", ""),
        (f'{ROME}\n[{ROME}, {{"temperature": 20}}]', ""),
        (f'{{"name": "weather", "city": "Rome"}}\n{ROME}', '{"name": "weather", "city": "Rome"}'),
        (f'Of {{"city": "Rome"}}:\n{{"a": 1}}\n\n{ROME}', 'Of {"city": "Rome"}:\n{"a": 1}'),
    ],
)
def test_a_call_is_read_in_any_of_the_shapes_of_models(text: str, before: str, piece: int) -> None:
    _, said, calls = read(text, piece)
    assert (said, calls) == (before, [("weather", WHERE)])


@pytest.mark.parametrize("piece", [1, 1000])
@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"name": "time", "arguments": {}}\n```',
        '{"name": "time", "arguments": {}}',
        '<tool_call>{"name": "time", "arguments": {}}</tool_call>',
        '{"name": "weather", "city": "Rome"}',
        '{"name": "weather", "arguments": "Rome"}',
        '{"name": "weather", "arguments": {"c": 1e400}}',
        '{"name": "weather", "arguments": {"c": "\\ud83d"}}',
        '{"name": "weather", "arguments": {"city": "Ro',
        f"Write it as {ROME} in a line.",
        f"[{ROME}, 1]",
        "```python\nprint({'name': 'weather'})\n```\n\n",
        "[[" * 3000,
        "<tool_call>x",
        "a < b and <tool",
        "{not a call}",
        "[1, 2]",
        " \n",
        "",
    ],
)
def test_what_is_no_call_stays_text_to_the_letter(text: str, piece: int) -> None:
    assert read(text, piece)[1:] == (text, [])


def test_calls_in_a_row_are_all_read_or_only_the_first() -> None:
    row = f'<tool_call>{ROME}</tool_call>\n<tool_call>{{"name": "now", "arguments": {{}}}}</tool_call>'
    for text in (row, f'{ROME}\n{{"name": "now"}}', f'[{ROME}, {{"name": "now", "arguments": null}}]'):
        assert read(text, 5)[2] == [("weather", WHERE), ("now", {})]
        assert read(text, 5, is_parallel=False)[2] == [("weather", WHERE)]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ('{"capital": "Rome", "people": 3}', '{"c'),
        ('{"name": "Rome", "people": 3}', '{"name": "R'),
        ('{"name": "weathercock", "people": 3}', '{"name": "weatherc'),
        ('{"type": "object", "people": 3}', '{"type": "o'),
        ("[1, 2, 3]", "[1"),
        ("```json\n[1, 2]\n```\nSo it is.", "```json\n[1"),
        ("A line.\nAnother.", "A"),
    ],
)
def test_text_that_cannot_be_a_call_any_more_is_sent_at_once(text: str, held: str) -> None:
    sent, said, calls = read(text, 1)
    assert (said, calls) == (text, [])
    assert next(piece for piece in sent if piece) == held


@pytest.mark.parametrize("piece", [1, 3, 1000])
@pytest.mark.parametrize(
    "described",
    [
        '{"name": "weather", "description": "Says \\"{\\" and \\\\"}',
        '[{"name": "weather", "arguments": {}}, {"name": "time"}]',
        '{"parameters": [{"a": 1}, {}]}',
        '{"name": "weather", "arguments": {"city": Rome}}',
    ],
)
def test_whole_json_that_is_no_call_is_sent_before_the_answer_ends(described: str, piece: int) -> None:
    text = f"{described}\n\nOnce upon a time."
    reader = ToolCallReader({"weather"}, is_forced=False, is_parallel=True)
    assert "".join(reader.push(text[i : i + piece]) for i in range(0, len(text), piece)) == text
    assert reader.end() == ("", ())


@pytest.mark.parametrize("piece", [5, 1_000_000])
@pytest.mark.parametrize("is_forced", [False, True])
@pytest.mark.parametrize("line", ['{"parameters": 1}\n', '{"parameters": 1, "a":\n', '[{"name": "weather", "a": 1},\n'])
def test_json_that_is_no_call_is_read_once(
    monkeypatch: pytest.MonkeyPatch, line: str, is_forced: bool, piece: int
) -> None:
    class Decoder(json.JSONDecoder):
        characters = 0

        def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
            try:
                value, end = super().raw_decode(s, idx)
            except json.JSONDecodeError as error:
                self.characters += error.pos - idx
                raise
            self.characters += end - idx
            return value, end

    decoder = Decoder(strict=False)
    monkeypatch.setattr(tool_calls, "_JSON", decoder)
    text = line * 400
    assert read(text, piece, is_forced=is_forced)[1:] == (text, [])
    assert len(text) / 2 < decoder.characters <= len(text)


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_call_is_read_whole_wherever_pieces_end(piece: int) -> None:
    arguments = {"city": 'é" { \\' * 4_000, "is_far": True}
    text = json.dumps({"name": "weather", "arguments": arguments})
    assert read(text, piece)[1:] == ("", [("weather", arguments)])


@pytest.mark.parametrize("is_forced", [False, True])
@pytest.mark.parametrize("begun", ['"a": {"city": Rome}}', '"a": {"b":'])
def test_twenty_thousand_lines_of_broken_json_are_read_in_a_moment(begun: str, is_forced: bool) -> None:
    text = f'{{"name": "weather", {begun}\n' * 20_000
    started = time.process_time()
    assert read(text, 64, is_forced=is_forced)[1:] == (text, [])
    assert time.process_time() - started < 5  # half a second; in quadratic time, a minute


def test_a_forced_call_that_is_cut_off_has_the_arguments_so_far() -> None:
    reader = ToolCallReader({"weather"}, is_forced=True, is_parallel=False)
    assert [reader.push(letter) for letter in ROME[:-5]] == [""] * (len(ROME) - 5)
    rest, (call,) = reader.end()
    assert (rest, call.name, call.arguments) == ("", "weather", '{"city": "Ro')
