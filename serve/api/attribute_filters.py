"""OpenAI's filters on attributes of files, read into conditions.

An attribute is a key of a document's metadata; `filename` is its source, or the name that it was uploaded with. An
attribute that a document does not have is equal to no value, so `ne` and `nin` find that document.
"""

import unicodedata
from typing import Literal, Self

from pydantic import Field, model_validator

from plait.documents.uploads.uploaded_files import uploaded_like
from plait.errors import InvalidInput
from plait.index.conditions import (
    MAX_FILTER_CHARACTERS,
    And,
    Compare,
    Condition,
    Equals,
    Exists,
    Like,
    Not,
    OneOf,
    Operator,
    Or,
    Value,
    check_depth,
)
from plait.index.conditions import Field as FieldOfChunk
from plait.serve.api.request_body import RequestBody, does_not_fit

_OPERATORS: dict[str, Operator] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class ComparisonFilter(RequestBody):
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str = Field(min_length=1, max_length=64)
    value: Value | list[Value]

    @model_validator(mode="after")
    def _has_the_values_that_its_type_takes(self) -> Self:
        if isinstance(self.value, list) != (self.type in ("in", "nin")):
            raise does_not_fit("value", "in and nin take a list of values, every other type takes one")
        return self

    def condition(self) -> Condition:
        values = [_in_normal_form(value) for value in (self.value if isinstance(self.value, list) else [self.value])]
        if self.type in _OPERATORS:
            return Compare(self._field, _OPERATORS[self.type], values[0])
        any_of = self._is_one_of(values)
        if self.type in ("eq", "in"):
            return any_of
        return Not(any_of) if self.key == "filename" else Or((Not(Exists(self._field)), Not(any_of)))

    @property
    def _field(self) -> FieldOfChunk:
        if self.key == "filename":
            return FieldOfChunk("source")
        return FieldOfChunk("metadata", (unicodedata.normalize("NFC", self.key),))

    def _is_one_of(self, values: list[Value]) -> Condition:
        if self.key != "filename":
            return Equals(self._field, values[0]) if len(values) == 1 else OneOf(self._field, tuple(values))
        names = [str(value) for value in values]
        return Or((OneOf(self._field, tuple(names)), *(Like(self._field, uploaded_like(name)) for name in names)))


class CompoundFilter(RequestBody):
    type: Literal["and", "or"]
    filters: list["ComparisonFilter | CompoundFilter"] = Field(min_length=1)

    def condition(self) -> Condition:
        parts = tuple(one.condition() for one in self.filters)
        return And(parts) if self.type == "and" else Or(parts)


AttributeFilter = ComparisonFilter | CompoundFilter


def condition_of(filters: AttributeFilter) -> Condition:
    """The condition that filters mean.

    Raises:
        InvalidInput: when they are too long, or nested too deeply.
    """
    if len(filters.model_dump_json()) > MAX_FILTER_CHARACTERS:
        raise InvalidInput("The filters are too long.", f"Use {MAX_FILTER_CHARACTERS} characters at most.")
    condition = filters.condition()
    check_depth(condition)
    return condition


def _in_normal_form(value: Value) -> Value:
    """As values of metadata are in an index."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value
