"""Answers that follow a JSON schema, on a model that knows nothing: what holds there is the grammar's doing."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from plait.engines.engine import GenerationDelta, GenerationRequest, Sampling
from plait.engines.torch.engine import TorchEngine
from plait.errors import InvalidInput

SCHEMAS: dict[str, dict[str, Any]] = {
    "enum": {"type": "object", "properties": {"a": {"enum": ["yes", "no"]}}, "required": ["a"]},
    "nested": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "inner": {
                "type": "object",
                "properties": {"is_new": {"type": "boolean"}},
                "required": ["is_new"],
                "additionalProperties": False,
            },
        },
        "required": ["name", "inner"],
        "additionalProperties": False,
    },
    "array": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    "integer": {"type": "integer", "minimum": -5, "maximum": 300},
    "boolean": {"type": "boolean"},
}
for schema in SCHEMAS.values():
    if schema["type"] == "object":
        schema.setdefault("additionalProperties", False)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TorchEngine:
    return TorchEngine(tiny_model, dtype="float32", max_batch_size=8)


async def answer(engine: TorchEngine, **asked: Any) -> list[GenerationDelta]:
    sampling = Sampling(**{"max_tokens": 200, **asked})
    return [delta async for delta in engine.generate(GenerationRequest("Question:", sampling))]


def text(deltas: list[GenerationDelta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("name", SCHEMAS)
async def test_any_answer_validates_and_ends_by_itself(engine: TorchEngine, name: str, temperature: float) -> None:
    schema = SCHEMAS[name]
    asked = {"json_schema": json.dumps(schema), "temperature": temperature}
    for deltas in await asyncio.gather(*(answer(engine, seed=seed, **asked) for seed in range(6))):
        jsonschema.validate(json.loads(text(deltas)), schema)
        assert deltas[-1].finish_reason == "stop"


async def test_a_complete_object_ends_the_answer_with_its_last_brace(engine: TorchEngine) -> None:
    deltas = await answer(engine, json_schema=json.dumps(SCHEMAS["enum"]))
    assert deltas[-1].text.endswith("}")


async def test_any_json_object_begins_as_one(engine: TorchEngine) -> None:
    deltas = await answer(engine, json_schema='{"type":"object"}', logit_bias=((json_end(engine), 100.0),))
    assert isinstance(json.loads(text(deltas)), dict)


def json_end(engine: TorchEngine) -> int:
    return int(engine.tokenizer.convert_tokens_to_ids("}"))


async def test_constrained_rows_leave_the_text_beside_them_unchanged(engine: TorchEngine) -> None:
    free: list[dict[str, Any]] = [{}, {"temperature": 1.0, "seed": 3, "top_k": 20, "repetition_penalty": 1.3}]
    alone = [text(await answer(engine, max_tokens=30, **asked)) for asked in free]
    schemas = [json.dumps(SCHEMAS[name]) for name in ("nested", "integer", "array")]
    together = await asyncio.gather(
        *(answer(engine, max_tokens=30, **asked) for asked in free),
        *(answer(engine, json_schema=schema) for schema in schemas),
    )
    assert [text(deltas) for deltas in together[:2]] == alone
    for name, deltas in zip(("nested", "integer", "array"), together[2:], strict=True):
        jsonschema.validate(json.loads(text(deltas)), SCHEMAS[name])


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("no json", "it is no JSON"),
        ("[1]", "Expecting object schema"),
        ('{"type": "wrong"}', "Invalid type: wrong"),
        ('{"not": {"type": "string"}}', "Unimplemented keys"),
        ('{"type": "string", "pattern": "(?=a)"}', "look-around"),
        ('{"enum": []}', "Unsatisfiable schema"),
        ('{"$ref": "https://example.com/schema"}', "does not fetch"),
    ],
)
async def test_a_schema_that_cannot_be_followed_is_refused_before_it_waits(
    engine: TorchEngine, schema: str, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=f"The JSON schema cannot be followed.*{reason}") as raised:
        await answer(engine, json_schema=schema)
    assert "\n" not in str(raised.value)
    assert engine.load().waiting == engine.load().running == 0


async def test_logprobs_come_with_the_text_that_they_belong_to(engine: TorchEngine) -> None:
    deltas = await answer(engine, max_tokens=20, logprobs=2, logit_bias=((json_end(engine), 100.0),))
    for delta in deltas:
        assert "".join(told.token for told in delta.logprobs) == delta.text == "}"
    held = await answer(engine, max_tokens=7, logprobs=0, stop=("}}}!",), logit_bias=((json_end(engine), 100.0),))
    # The first three could begin the stop string; the fourth makes one of them certain.
    assert [delta.text for delta in held] == ["", "", "", "}", "}", "}", "}}}}"]
    assert [len(delta.logprobs) for delta in held] == [0, 0, 0, 4, 1, 1, 1]


async def test_the_token_that_ends_an_answer_is_no_text_and_has_a_logprob(engine: TorchEngine) -> None:
    end = engine.tokenizer.eos_token_id
    (delta,) = await answer(engine, logprobs=0, logit_bias=((end, 100.0),))
    assert (delta.text, delta.finish_reason, delta.generated_tokens) == ("", "stop", 1)
    assert [(told.token_id, told.is_text) for told in delta.logprobs] == [(end, False)]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_an_answer_follows_a_regular_expression_choices_or_a_grammar(
    engine: TorchEngine, temperature: float
) -> None:
    lark = 'start: "x" ("," NUMBER)*\nNUMBER: /[0-9]{1,3}/'
    gbnf = 'root ::= "x" ("," [0-9] [0-9]?)+ ";"'
    asked: list[dict[str, Any]] = [
        {"regex": "[ab]{3}-[0-9]+x"},
        {"choice": ("yes", "yes, but", 'say "no"')},
        {"grammar": lark},
        {"grammar": gbnf},
    ]
    bias = ((json_end(engine), 50.0),)  # what would come if it might
    texts = [
        text(deltas)
        for deltas in await asyncio.gather(
            *(answer(engine, temperature=temperature, seed=3, logit_bias=bias, **constraint) for constraint in asked)
        )
    ]
    patterns = ["[ab]{3}-[0-9]+x?", 'yes|yes, but|say "no"', "x(,[0-9]{1,3})*,?", "x(,[0-9]{1,2})*[,;]?"]
    for said, pattern in zip(texts, patterns, strict=True):
        assert re.fullmatch(pattern, said), said
