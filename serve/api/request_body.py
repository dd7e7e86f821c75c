"""What the body of every request keeps to: `null` means not given, and an unknown field is an error that names it.

An ignored setting would be a wrong answer that looks right, so each field is supported, listed as ignored
(ignored_fields.py), or refused.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from plait.validation import DOES_NOT_FIT, NOT_SUPPORTED

_NULL = {"type": "null"}


class NullIsNotGiven(BaseModel):
    """A part of a request. `null` is the same as leaving a field out, as in OpenAI's description.

    A field whose own type has null keeps it: there null has a meaning, or is the default.
    """

    # Strict, as OpenAI is: true is no 1, and "5" is no 5.
    model_config = ConfigDict(allow_inf_nan=False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        # A null that a field's own type has stays set: in `retrieval` it turns off what the server does.
        fields = {info.alias or name: info for name, info in cls.model_fields.items()}
        return {
            name: value
            for name, value in given.items()
            if value is not None or name not in fields or fields[name].is_required() or _has_null(fields[name])
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        whole = handler.resolve_ref_schema(described)
        required = whole.get("required", ())
        for name, field in whole.get("properties", {}).items():
            if name not in required:
                whole["properties"][name] = _nullable(field)
        return described


def _has_null(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


def _nullable(schema: JsonSchemaValue) -> JsonSchemaValue:
    if _NULL in schema.get("anyOf", ()) or schema.get("type") == "null":
        return schema
    outer = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    options = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    return outer | {"anyOf": [*options, _NULL]}


class RequestBody(NullIsNotGiven):
    """The body of a request, or a part of it; what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


class LenientPart(NullIsNotGiven):
    """A part of a request that clients send back as they were answered: what it does not know means nothing."""

    model_config = ConfigDict(extra="ignore")


def does_not_fit(field: str, why: str) -> ValidationError:
    """For a validator of a whole part that finds one of its fields at fault: an error of that field."""
    kind = PydanticCustomError(DOES_NOT_FIT, "{why}", {"why": why})
    return ValidationError.from_exception_data("request", [InitErrorDetails(type=kind, loc=(field,), input=None)])


@dataclass(frozen=True)
class Refused:
    """Marks a field whose type takes only the values that change nothing; any other is refused with this sentence.

    `Annotated[Literal[1] | None, Refused("only 1 is supported; ask for n choices")]`
    """

    because: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._checked, handler(source))

    def _checked(self, value: Any, check: core_schema.ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(value)
        except ValidationError:
            raise PydanticCustomError(NOT_SUPPORTED, "{because}", {"because": self.because}) from None


def only_types(known: Collection[str], because: Callable[[str], str]) -> BeforeValidator:
    """Marks parts whose `type` is one of some; any other is refused by its name, before the part is looked at.

    `known`: with an empty text among them, a part may have no type. `because`: why a type is refused.
    """

    def check(part: Any) -> Any:
        kind = part.get("type") or "" if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in known:
            raise does_not_fit("type", because(kind[:80]) if kind else "is required")
        return part

    return BeforeValidator(check)
