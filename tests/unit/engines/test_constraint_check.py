"""Constraints that take more than an engine can give, and those that say nothing harmful: each in its own words."""

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from plait.engines.constraint import Constraint
from plait.engines.constraint_check import ConstraintCheck
from plait.engines.grammar import Grammars
from plait.engines.vocabulary import Vocabulary
from plait.errors import InvalidInput
from plait.models.tokenizer import load_tokenizer


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def doubling(depth: int) -> dict[str, Any]:
    """`depth` definitions, each of which is the next one twice."""
    next_of = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(depth)}
    return {"$ref": "#/$defs/a0", "$defs": next_of | {f"a{depth}": {"type": "string", "pattern": "a"}}}


def json_schema(schema: Any) -> Constraint:
    return Constraint("json_schema", json.dumps(schema))


def string(**more: Any) -> dict[str, Any]:
    return {"type": "string"} | more


TOO_COMPLEX: dict[str, dict[str, Any]] = {
    "60 patterns": {"allOf": [string(pattern=f"word{i}") for i in range(60)]},
    "doubled references": doubling(30),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "deep": (nested(110), "nested deeper than 100 levels"),
    "long": ({"enum": ["value" * 100] * 1000}, "characters; at most 262144"),
    "huge minLength": (string(minLength=10**18), "regex parse error"),
    "unique": ({"type": "array", "uniqueItems": True}, "uniqueItems"),
}
FOLLOWED: dict[str, dict[str, Any]] = {
    "nested quantifiers": string(pattern="(a{1,1000}){1,1000}"),
    "huge repetition": string(pattern="a{1000000000}"),
    "exponential": string(pattern="(a|b)*a(a|b){30}"),
    "minItems": {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
    "maxLength": string(maxLength=10**9),
    "recursive": {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}},
    "10,000 values": {"enum": [f"value {i}" for i in range(10_000)]},
}


@pytest.fixture(scope="module")
def grammars(tiny_model: Path) -> Grammars:
    return Grammars(Vocabulary(load_tokenizer(tiny_model), [1]))


@pytest.mark.parametrize("name", TOO_COMPLEX)
async def test_a_schema_without_end_is_refused_and_others_go_on(grammars: Grammars, name: str) -> None:
    before, others = psutil.Process().memory_info().rss, psutil.Process().children()
    endless = asyncio.create_task(grammars.start(json_schema(TOO_COMPLEX[name])))
    assert await grammars.start(json_schema({"type": "boolean"})) is not None
    with pytest.raises(InvalidInput, match="too complex"):
        await endless
    assert await grammars.start(json_schema({"type": "integer"})) is not None
    assert psutil.Process().memory_info().rss - before < 100 * 2**20
    mine = [child for child in psutil.Process().children() if child not in others]
    assert not [child for child in mine if child.memory_info().rss > 200 * 2**20]


@pytest.mark.parametrize("name", REFUSED)
async def test_a_schema_beyond_a_limit_is_refused_with_it(grammars: Grammars, name: str) -> None:
    schema, reason = REFUSED[name]
    with pytest.raises(InvalidInput, match=reason):
        await grammars.start(json_schema(schema))


@pytest.mark.parametrize("name", FOLLOWED)
async def test_every_step_of_a_large_schema_is_bounded(grammars: Grammars, name: str) -> None:
    before = psutil.Process().memory_info().rss
    grammar = await grammars.start(json_schema(FOLLOWED[name]))
    assert grammar is not None
    longest = 0.0
    for step in range(60):
        started = time.perf_counter()
        forbidden = grammar.forbidden(500)
        longest = max(longest, time.perf_counter() - started)
        allowed = (~forbidden).nonzero().flatten().tolist()
        grammar.push(allowed[step % len(allowed)])
        if grammar.is_complete:
            break
    assert longest < 2
    assert psutil.Process().memory_info().rss - before < 100 * 2**20


async def test_answers_by_one_schema_do_not_use_each_others_limits_up(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plait.engines.grammar._LEXER_STATES", 400)
    tokenizer = load_tokenizer(tiny_model)
    few, letters = Grammars(Vocabulary(tokenizer, [1])), tokenizer.convert_tokens_to_ids(["a", "b"])
    quote = tokenizer.convert_tokens_to_ids('"')
    for seed in range(12):  # the fifth finds the states of the others used up
        grammar = await few.start(json_schema(string(pattern="^(a|b)*a(a|b){12}$")))
        assert grammar is not None
        grammar.push(quote)
        drawn = random.Random(seed)
        for _ in range(40):
            allowed = (~grammar.forbidden(500)).nonzero().flatten().tolist()
            assert set(letters) <= set(allowed) < set(range(500))
            grammar.push(drawn.choice(letters))
            assert not grammar.is_complete


@pytest.mark.parametrize(
    ("schema", "as_an_engine_has_it"),
    [
        ({"type": "array", "uniqueItems": False}, {"type": "array"}),
        (string(format="phone-number"), string()),
        (string(format="date-time"), string(format="date-time")),
        ({"x-guidance": {"lenient": True}, "type": "object"}, {"type": "object"}),
        (
            {"properties": {"format": string(format="nobody's"), "x-guidance": {}}, "enum": [{"format": "a"}]},
            {"properties": {"format": string(), "x-guidance": {}}, "enum": [{"format": "a"}]},
        ),
        ({"anyOf": [nested(3) | {"uniqueItems": False}], "items": [string(format="x")]}, None),
    ],
)
async def test_what_changes_no_answer_is_left_out(schema: dict[str, Any], as_an_engine_has_it: Any) -> None:
    checked = json.loads((await ConstraintCheck().check(json_schema(schema))).text)
    assert checked == (as_an_engine_has_it or {"anyOf": [nested(3)], "items": [string()]})


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint("regex", "(?=a)b"), "The regular expression cannot be followed"),
        (Constraint("regex", "("), "The regular expression cannot be followed"),
        (Constraint("grammar", "nonsense"), "The grammar cannot be followed"),
        (Constraint("grammar", "start: nobody"), "The grammar cannot be followed"),
        (Constraint("choice", json.dumps(["word " * 100] * 200)), "characters; at most 65536"),
    ],
)
async def test_what_is_not_of_its_kind_is_refused_by_its_name(
    grammars: Grammars, constraint: Constraint, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        await grammars.start(constraint)
