"""What no index can hold is known before it is written."""

from typing import Any

import pytest

from plait.documents.storable import MAX_DEPTH, why_not_storable


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize("value", [None, True, 1.5, 2**70, "", "\0", "\U0001f426", {"": [None, ()]}, nested(MAX_DEPTH)])
def test_what_an_index_can_hold_passes(value: Any) -> None:
    assert why_not_storable(value) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a\ud83d", "holds half a character (a lone surrogate)"),
        ({"a": [{"\udc00": 1}]}, "holds half a character (a lone surrogate)"),
        (nested(MAX_DEPTH + 1), f"has more than {MAX_DEPTH} levels"),
        (nested(100_000), f"has more than {MAX_DEPTH} levels"),
    ],
    ids=range(4),
)
def test_what_it_cannot_hold_is_said(value: Any, why: str) -> None:
    assert why_not_storable(value) == why
