"""What an answer must follow, and the grammar that llguidance (github.com/guidance-ai/llguidance) makes of it.

In: a JSON schema, a regular expression, a list of texts or a context-free grammar. Out: llguidance's own notation.
Nothing is bounded here: making it may take any time and memory, so it is done in a process with limits first.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["json_schema", "regex", "choice", "grammar"]
_NAMES: dict[Kind, str] = {
    "json_schema": "JSON schema",
    "regex": "regular expression",
    "choice": "list of choices",
    "grammar": "grammar",
}


@dataclass(frozen=True)
class Constraint:
    """One of the kinds, as text: `choice` is a JSON list of texts, `grammar` is in Lark's or GBNF's notation."""

    kind: Kind
    text: str

    @property
    def name(self) -> str:
        """What a sentence calls it."""
        return _NAMES[self.kind]


def guidance_grammar(constraint: Constraint) -> str:
    """The constraint in llguidance's notation.

    Raises:
        ValueError: when it is not of its kind.
    """
    from llguidance import LLMatcher, grammar_from

    if constraint.kind == "json_schema":
        # Where spaces are allowed anywhere, small models write them without end.
        return str(LLMatcher.grammar_from_json_schema(constraint.text, overrides={"whitespace_flexible": False}))
    return str(grammar_from(constraint.kind, constraint.text))
