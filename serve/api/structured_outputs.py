"""What an answer must follow, in vLLM's fields: `structured_outputs`, and `guided_…`, their older names.

In: a JSON schema, a regular expression, choices or a grammar. Out: the fields of `Sampling` that say the same. Whether
it can be followed the engine says.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from plait.serve.api.request_body import Refused, RequestBody, does_not_fit

_Schema = str | dict[str, Any]
_Choices = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_COMPACT = Refused("JSON is written without spaces and newlines, in which small models get lost")


class StructuredOutputs(RequestBody):
    """One of `json`, `json_object`, `regex`, `choice`, `grammar`."""

    json_schema: _Schema | None = Field(None, alias="json", description="A JSON schema.")
    json_object: bool | None = Field(None, description="Any JSON object.")
    regex: str | None = Field(None, description="A regular expression that the whole answer matches.")
    choice: _Choices | None = Field(None, description="The answer is one of these texts.")
    grammar: str | None = Field(None, description="A context-free grammar, in Lark's or GBNF's notation.")
    disable_any_whitespace: bool | None = Field(None, description="JSON has no spaces anyway.")
    disable_additional_properties: Annotated[
        Literal[False] | None, Refused("say additionalProperties: false in the schema")
    ] = None
    whitespace_pattern: Annotated[None, _COMPACT] = None
    structural_tag: Annotated[None, Refused("it is not supported; use tools, or a grammar")] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.given) != 1 or (self.json_object and self.json_schema is not None):
            raise does_not_fit("json", "exactly one of json, json_object, regex, choice, grammar is required")
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The fields of `Sampling`."""
        schema = {"type": "object"} if self.json_object else self.json_schema
        return _of_sampling(schema, self.regex, self.choice, self.grammar)


class StructuredFields(RequestBody):
    """Of chat and completions."""

    structured_outputs: StructuredOutputs | None = None
    guided_json: _Schema | None = Field(None, description="As structured_outputs.json.")
    guided_regex: str | None = Field(None, description="As structured_outputs.regex.")
    guided_choice: _Choices | None = Field(None, description="As structured_outputs.choice.")
    guided_grammar: str | None = Field(None, description="As structured_outputs.grammar.")
    guided_whitespace_pattern: Annotated[None, _COMPACT] = None

    @model_validator(mode="after")
    def _asks_for_one_structure(self) -> Self:
        if len(self.structure_names) > 1:
            raise does_not_fit(
                self.structure_names[1],
                f"{' and '.join(self.structure_names)} exclude each other: an answer follows one of them",
            )
        return self

    @property
    def structure_names(self) -> list[str]:
        """The fields that say what the answer follows."""
        names = ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def structure(self) -> dict[str, Any]:
        """The fields of `Sampling` that say the same."""
        if self.structured_outputs is not None:
            return self.structured_outputs.given
        return _of_sampling(self.guided_json, self.guided_regex, self.guided_choice, self.guided_grammar)


def _of_sampling(
    schema: _Schema | None, regex: str | None, choice: list[str] | None, grammar: str | None
) -> dict[str, Any]:
    given = {
        "json_schema": schema if schema is None or isinstance(schema, str) else json.dumps(schema),
        "regex": regex,
        "choice": None if choice is None else tuple(choice),
        "grammar": grammar,
    }
    return {name: value for name, value in given.items() if value is not None}
