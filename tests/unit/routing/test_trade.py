"""What a thousand tokens are worth decides between arms."""

import numpy as np
import pytest

from plait.errors import InvalidInput
from plait.routing.trade import best_first, trade_of

RIGHT, TOKENS = np.array([0.70, 0.80, 0.80]), np.array([100.0, 2100.0, 1100.0])


@pytest.mark.parametrize(
    ("trade", "order"),
    [("quality", [2, 1, 0]), ("balanced", [2, 1, 0]), ("7", [2, 0, 1]), ("cheap", [0, 2, 1])],
)
def test_the_dearer_tokens_are_the_more_the_cheap_arm_is_chosen(trade: str, order: list[int]) -> None:
    assert best_first(RIGHT, TOKENS, trade_of(trade)) == order


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e400", "dear", ""])
def test_what_is_no_trade_is_said(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no trade"):
        trade_of(text)


def test_a_misspelt_trade_is_told_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'balanced'"):
        trade_of("ballanced")
