"""Asks a model for a JSON object, and says why there is none.

In: a model and an `Inquiry`. Out: what it said, as an object or a problem. It does not know what the object means.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plait.errors import InvalidInput
from plait.evaluation.judges.prompts import Inquiry
from plait.evaluation.score import JudgeUse
from plait.models.generate import Generate
from plait.strict_json import parse_json

_FITS_ANYWHERE_CHARACTERS = 300
"""Data so short fits into any context: a model that refuses it does so for another reason."""
_CODE_BLOCK = re.compile(r"^\s*```(?:json)?\s*\n(.*)\n\s*```\s*$", re.DOTALL)


@dataclass(frozen=True)
class Said:
    """What the model said: an object, or why there is none. `is_refused`: it was not asked, as what was too long."""

    value: Mapping[str, Any] | None
    problem: str
    use: JudgeUse
    is_refused: bool = False

    def item(self, key: str) -> Any:
        """A value of the object; None where there is none."""
        return None if self.value is None else self.value.get(key)


async def ask_json(model: Generate, inquiry: Inquiry, who: str) -> Said:
    """The model's reply, as the object that it should be.

    Args:
        who: the model is, in what is said of its replies: judge, writer.

    Raises:
        PlaitError: what `Generate` raises, but for a conversation that may be too long for the model.
    """
    try:
        made = await model.generate(inquiry.messages, inquiry.max_tokens, inquiry.schema)
    except InvalidInput as error:
        if len(inquiry.messages[-1].content) <= _FITS_ANYWHERE_CHARACTERS:
            raise
        return Said(None, f"The {who} could not be asked: {error.what}", JudgeUse(), is_refused=True)
    use = JudgeUse() if made.is_kept else JudgeUse(1, made.prompt_tokens or 0, made.generated_tokens or 0)
    if made.is_cut:
        return Said(None, f"The {who}'s reply was cut after {inquiry.max_tokens} tokens.", use)
    block = _CODE_BLOCK.match(made.text)
    try:
        value = parse_json(block[1] if block else made.text.strip())
    except ValueError as error:
        return Said(None, f"The {who}'s reply is no JSON ({error}).", use)
    if not isinstance(value, dict):
        return Said(None, f"The {who}'s reply is no JSON object.", use)
    return Said(value, "", use)
