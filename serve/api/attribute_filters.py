"""OpenAI's filters on attributes of files, as conditions in Milvus's filter language.

An attribute is a key of a document's metadata; `filename` is its source, or the name that it was uploaded with. An
attribute that a document does not have is equal to no value, so `ne` and `nin` find that document.
"""

import json
from typing import Literal, Self

from pydantic import Field, model_validator

from plait.documents.uploads.uploaded_files import uploaded_like
from plait.index.filters import quote
from plait.serve.api.request_body import RequestBody, does_not_fit

_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

Value = str | bool | int | float


class ComparisonFilter(RequestBody):
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str = Field(min_length=1, max_length=64)
    value: Value | list[Value]

    @model_validator(mode="after")
    def _has_the_values_that_its_type_takes(self) -> Self:
        if isinstance(self.value, list) != (self.type in ("in", "nin")):
            raise does_not_fit("value", "in and nin take a list of values, every other type takes one")
        return self

    def condition(self) -> str:
        values = self.value if isinstance(self.value, list) else [self.value]
        if self.type in _COMPARISONS:
            (value,) = values
            return f"{self._field} {_COMPARISONS[self.type]} {_literal(value)}"
        # One by one: the embedded server knows no `in` for keys of JSON.
        any_of = " or ".join(self._is(value) for value in values) or "false"
        if self.type in ("eq", "in"):
            return f"({any_of})"
        if self.key == "filename":
            return f"not ({any_of})"
        # Servers take what is said of a missing key for unknown, and so is its opposite.
        return f"not (exists {self._field}) or not ({any_of})"

    @property
    def _field(self) -> str:
        return "source" if self.key == "filename" else f"metadata[{quote(self.key)}]"

    def _is(self, value: Value) -> str:
        is_equal = f"{self._field} == {_literal(value)}"
        if self.key != "filename":
            return is_equal
        return f"{is_equal} or source like {quote(uploaded_like(str(value)))}"


class CompoundFilter(RequestBody):
    type: Literal["and", "or"]
    filters: list["ComparisonFilter | CompoundFilter"] = Field(min_length=1)

    def condition(self) -> str:
        return f" {self.type} ".join(f"({one.condition()})" for one in self.filters)


AttributeFilter = ComparisonFilter | CompoundFilter


def _literal(value: Value) -> str:
    return quote(value) if isinstance(value, str) else json.dumps(value)
