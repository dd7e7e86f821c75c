import pytest

from plait.index.conditions import (
    EVERY_ROW,
    NO_ROW,
    And,
    Compare,
    Condition,
    Contains,
    Equals,
    Exists,
    Field,
    Like,
    Not,
    OneOf,
    Or,
)
from plait.index.stores.milvus.expression import expression

LANG, SOURCE, POSITION = Field("metadata", ("lang",)), Field("source"), Field("position")
OURS = Equals(Field("tenant"), "a")


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Equals(Field("metadata", ("a b", 0)), True), 'metadata["a b"][0] == true'),
        (Compare(POSITION, ">=", -3), "position >= -3"),
        (Like(SOURCE, r"100\%_%"), r'source like "100\\%_%"'),
        (Not(Exists(LANG)), 'not (exists metadata["lang"])'),
        (Contains(LANG, "en"), 'json_contains(metadata["lang"], "en")'),
        (OneOf(SOURCE, ("a", "b")), 'source in ["a", "b"]'),
        (OneOf(LANG, ("en", 1)), '(metadata["lang"] == "en") or (metadata["lang"] == 1)'),
        (And((OURS, Or((OURS, OURS)))), '(tenant == "a") and ((tenant == "a") or (tenant == "a"))'),
    ],
)
def test_a_condition_is_written_in_milvuss_language(condition: Condition, text: str) -> None:
    assert expression(condition) == text


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (EVERY_ROW, ""),
        (NO_ROW, "false"),
        (OneOf(LANG, ()), "false"),
        (Not(OneOf(SOURCE, ())), ""),
        (And((OURS, Not(NO_ROW))), 'tenant == "a"'),
        (And((OURS, NO_ROW)), "false"),
        (Or((OURS, NO_ROW)), 'tenant == "a"'),
        (Or((OURS, EVERY_ROW)), ""),
    ],
)
def test_what_every_row_or_none_meets_is_left_out(condition: Condition, text: str) -> None:
    assert expression(condition) == text


@pytest.mark.parametrize(
    "value", ['" or tenant != "', '\\" or true or "', "\\", "\\\\", "it's", "a\nb\r", '"]) or (true', "%s {x} $meta"]
)
def test_a_value_can_be_nothing_but_a_value(value: str) -> None:
    text = expression(And((OURS, Equals(Field("metadata", (value,)), value))))
    inner = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n").replace("\r", r"\r")
    assert text == f'(tenant == "a") and (metadata["{inner}"] == "{inner}")'
