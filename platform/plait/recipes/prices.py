"""What tokens cost: prices that a recipe names, and the cost of some tokens at a price. It knows no currency."""

import json
import math
from collections.abc import Iterable

from pydantic import Field

from plait.errors import RecipeError
from plait.section import Section

ALL_ARMS = "all"
"""The name of the price of every arm without a price of its own."""

_MILLION = 1_000_000


class TokenPrice(Section):
    """The price of a million tokens, in any currency."""

    prompt: float = Field(ge=0, description="Per million tokens that are read.")
    completion: float = Field(ge=0, description="Per million tokens that are written.")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What tokens cost. Those that a server had computed before count like all others."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / _MILLION

    def times(self, share: float) -> "TokenPrice":
        """A share of this price."""
        return TokenPrice(prompt=share * self.prompt, completion=share * self.completion)


def prices_override(texts: Iterable[str]) -> str:
    """The override of a recipe that sets its prices, from texts as in `0.15/0.60` or `rag/base=0.15/0.60`.

    Raises:
        RecipeError: for the first text that is no price.
    """
    prices = {}
    for text in texts:
        arm, has_arm, price = text.rpartition("=")
        read, _, written = price.partition("/")
        prices[arm if has_arm else ALL_ARMS] = {"prompt": _number(read, text), "completion": _number(written, text)}
    return f"prices={json.dumps(prices)}"


def _number(written: str, text: str) -> float:
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:  # also NaN
        raise RecipeError(
            f"'{text}' is no price.",
            "Write tokens read/written, per million, as in 0.15/0.60 or rag/base=0.15/0.60.",
        )
    return number
