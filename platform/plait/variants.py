"""Sections of a recipe of which there are several kinds, to which further kinds may be added.

In: what a recipe says of such a section. Out: the section of the kind that it names. Whoever brings a kind registers
it; this module does not know which kinds there are, nor what they do.
"""

from collections.abc import Sequence
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from plait.section import Section

S = TypeVar("S", bound=Section)


class Variants(Generic[S]):
    """A discriminated union that stays open: `adapter: Annotated[MethodConfig, METHODS]`.

    Args:
        key: the field that names the kind, a Literal in each section.
        default: the kind of a section that names none.
        registered_in: the module that registers Plait's own kinds. It is imported when a recipe first has such a
            section: recipes themselves import nothing that stands above them.
    """

    def __init__(self, key: str, default: str, registered_in: str) -> None:
        self.key = key
        self._default, self._registered_in = default, registered_in
        self._sections: dict[str, type[S]] = {}
        self._union: TypeAdapter[S] | None = None

    def register(self, section: type[S]) -> None:
        """Add a kind.

        Raises:
            ValueError: when another section has its name.
        """
        (name,) = get_args(section.model_fields[self.key].annotation)
        if self._sections.setdefault(name, section) is not section:
            raise ValueError(f"there are two sections with {self.key}={name}")
        self._union = None

    @property
    def sections(self) -> tuple[type[S], ...]:
        """Every kind that is registered."""
        import_module(self._registered_in)
        return tuple(self._sections.values())

    def read(self, value: Any) -> S:
        """The section that a recipe means.

        Raises:
            pydantic.ValidationError: when it is of no known kind, or not valid.
        """
        if isinstance(value, dict):
            value = {self.key: self._default} | value
        return self._adapter.validate_python(value)

    def new_default(self) -> S:
        """The section of a recipe that says nothing of it."""
        return self.read({})

    @property
    def _adapter(self) -> TypeAdapter[S]:
        sections = self.sections
        if self._union is None:
            union: Any = Annotated[reduce(or_, sections), Field(discriminator=self.key)]
            self._union = TypeAdapter(union)
        return self._union

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(self._adapter.core_schema)


def _variants_of(field: FieldInfo) -> Variants[Any] | None:
    """The variants that a field of a recipe holds; None where it holds none."""
    return next((each for each in field.metadata if isinstance(each, Variants)), None)


def discriminator_of(field: FieldInfo) -> str | None:
    """The field that names the kind of a section; None where there is one kind."""
    variants = _variants_of(field)
    return variants.key if variants else field.discriminator if isinstance(field.discriminator, str) else None


def types_of(field: FieldInfo) -> Sequence[Any]:
    """The types that a field may have: its annotation, or every section that is registered for it."""
    variants = _variants_of(field)
    return variants.sections if variants else (field.annotation,)
