"""Pydantic's errors as sentences of the product."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plait.validation import first_problem


class Part(BaseModel):
    type: Literal["text"]
    text: str


class Note(BaseModel):
    type: Literal["note"]


class Message(BaseModel):
    role: Literal["user", "tool"]
    content: str | list[Part] | None = None


class Filter(BaseModel):
    key: str
    value: str | bool | int | float | list[str | bool | int | float]

    @field_validator("key")
    @classmethod
    def _is_short(cls, key: str) -> str:
        if len(key) > 3:
            raise ValueError("3 characters at most")
        return key


class All(BaseModel):
    filters: list["Filter | All"] = Field(min_length=1)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    messages: list[Message] = Field([], max_length=2)
    n: int = Field(1, ge=1)
    top_p: float | None = None
    stop: str | list[str] | None = None
    bias: dict[int, float] | None = None
    attributes: dict[str, str | bool | float] | None = None
    where: Filter | All | None = None
    one: Annotated[Part | Note, Field(discriminator="type")] | None = None
    name: str = Field("a", pattern="^[a-z]+$")


def said(given: Any, kind: type[BaseModel] = Body) -> str:
    with pytest.raises(ValidationError) as raised:
        kind.model_validate(given)
    return str(first_problem(raised.value, given))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"messages": [{"role": "user", "content": 5}]}, "The field 'messages.0.content' must be a text or a list."),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "The field 'messages.0.content.0.type' must be 'text'.",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "The field 'messages.0.content.0.text' is required.",
        ),
        ({"messages": [{"role": "wizard"}]}, "The field 'messages.0.role' must be 'user' or 'tool'."),
        ({"messages": "hi"}, "The field 'messages' must be a list."),
        ({"messages": [{}] * 3}, "The field 'messages' must have at most 2 items, not 3."),
        ({"messages": ["hi"]}, "The field 'messages.0' must be an object."),
        ({"n": 0}, "The field 'n' must be greater than or equal to 1."),
        ({"n": 1.5}, "The field 'n' must be a whole number."),
        ({"n": "many"}, "The field 'n' must be a whole number."),
        ({"top_p": float("nan")}, "The field 'top_p' must be a finite number."),
        ({"stop": 1}, "The field 'stop' must be a text or a list."),
        ({"stop": ["a", 1]}, "The field 'stop.1' must be a text."),
        ({"bias": {"x": 1}}, "The field 'bias.x' must be a whole number."),
        ({"attributes": {"a": []}}, "The field 'attributes.a' must be a text or true or false or a number."),
        ({"where": {"key": "long", "value": 1}}, "The field 'where.key' is not valid: 3 characters at most."),
        (
            {"where": {"key": "a", "value": {}}},
            "The field 'where.value' must be a text or true or false or a whole number or a number or a list.",
        ),
        ({"where": 1}, "The field 'where' must be an object."),
        ({"one": {"type": "nope"}}, "The field 'one.type' must be 'text' or 'note'."),
        ({"name": "A1"}, "The field 'name' must match pattern '^[a-z]+$'."),
        ({"naem": "a"}, "The field 'naem' is not known or not supported."),
        (5, "must be an object."),
    ],
)
def test_a_problem_names_the_value_and_what_it_must_be(given: Any, sentence: str) -> None:
    assert said(given) == sentence
