"""Raw rows become packed ones or bad ones, whatever a row holds."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.packed_rows import Encoding, encode_and_pack
from plait.models.chat import PLAIN_TEMPLATE, chat_format_for
from plait.models.tokenizer import load_tokenizer
from plait.recipes import DataConfig

TAKES_TOOLS = "{{ tools | tojson if tools }}" + PLAIN_TEMPLATE


def nested(levels: int) -> str:
    return '{"a": ' * levels + "1" + "}" * levels


@pytest.mark.parametrize("levels", [700, 900, 5000])
@pytest.mark.parametrize("place", ["arguments", "parameters"])
def test_json_of_many_levels_costs_its_own_row(tiny_model: Path, levels: int, place: str) -> None:
    call: dict[str, Any] = {"name": "f", "arguments": nested(levels) if place == "arguments" else "{}"}
    tool = {"name": "f", "parameters": nested(levels) if place == "parameters" else "{}"}
    asked = {"role": "user", "content": "Q"}
    deep = {"messages": [asked, {"role": "assistant", "tool_calls": [call]}], "tools": [tool]}
    texts = [json.dumps(deep), json.dumps({"question": "Q", "answer": "A"})]
    rows = pa.table({"file": ["a.jsonl"] * 2, "line": [1, 2], "text": texts, "error": ["", ""]})
    chat_format = chat_format_for(load_tokenizer(tiny_model), "plain").model_copy(update={"template": TAKES_TOOLS})
    packed = encode_and_pack(rows, Encoding(tiny_model, chat_format, SftConfig(), DataConfig(train="a.jsonl"), 0))
    bad = packed.filter(packed["bad_reason"].is_valid())
    assert bad["bad_line"].to_pylist() == [1]
    (reason,) = bad["bad_reason"].to_pylist()
    assert "too many levels" in reason or "recursion" in reason
    assert len(packed) == 2
