"""What a tenant may be called, wherever one is named: by a recipe, a key or a request."""

from typing import Annotated

from pydantic import Field

from plait.errors import InvalidInput

DEFAULT_TENANT = "default"
"""Whose documents are meant where nobody says whose."""

MAX_TENANT_CHARACTERS = 128
"""Four bytes each at most, so that every name fits into an index, which counts bytes."""

TenantName = Annotated[str, Field(min_length=1, max_length=MAX_TENANT_CHARACTERS)]


def check_tenant(name: str) -> None:
    """Whether documents can belong to a tenant of this name.

    Raises:
        InvalidInput: when it is empty, or too long.
    """
    if not 1 <= len(name) <= MAX_TENANT_CHARACTERS:
        raise InvalidInput(
            f"The tenant's name has {len(name)} characters.", f"Use 1 to {MAX_TENANT_CHARACTERS} characters."
        )
