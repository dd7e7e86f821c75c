"""The names by which a model is asked for, the same in the API, the CLI and the metrics.

`base`, an adapter (`support`, `support:3`, `support@champion`), any of these with retrieval (`rag/support`), or `auto`.
This module parses names; it does not know which of them exist.
"""

import re
from dataclasses import dataclass
from typing import Self

from plait.errors import InvalidInput, ModelNotFound

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}"  # MLflow's limit
_ADAPTER = re.compile(rf"(?P<name>{_NAME})(?::(?P<version>[0-9]{{1,9}})|@(?P<alias>{_NAME}))?")
BASE = "base"
AUTO = "auto"


@dataclass(frozen=True)
class AdapterRef:
    """An adapter in the registry: its newest version, a pinned version, or the version an alias points to."""

    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`support`, `support:3` or `support@champion`.

        Raises:
            InvalidInput: for any other form, and for the reserved names `base`, `auto` and `rag`.
        """
        match = _ADAPTER.fullmatch(text)
        if not match:
            raise InvalidInput(f"'{text[:300]}' is no adapter name.", "Write name, name:version or name@alias.")
        if match["name"] in (BASE, AUTO, "rag"):
            raise InvalidInput(f"'{match['name']}' is a reserved model id.", "Choose another name for the adapter.")
        return cls(match["name"], int(match["version"]) if match["version"] else None, match["alias"])

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return f"{self.name}@{self.alias}" if self.alias else self.name


@dataclass(frozen=True)
class ModelId:
    """What a request asks for: which weights (`adapter` None is the base model), and whether to retrieve first."""

    adapter: AdapterRef | None = None
    with_retrieval: bool = False
    is_auto: bool = False

    @classmethod
    def requested(cls, text: str) -> Self:
        """The model id of a request: what cannot be a name is a model that is not there.

        Raises:
            ModelNotFound: when it has none of the known forms.
        """
        try:
            return cls.parse(text)
        except InvalidInput:
            raise ModelNotFound(
                f"There is no model {text[:80]!r}.", "GET /v1/models lists those that there are."
            ) from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a model id, as in `rag/support:3`.

        Raises:
            InvalidInput: when it has none of the known forms.
        """
        if text == AUTO:
            return cls(is_auto=True)
        name = text.removeprefix("rag/")
        return cls(None if name == BASE else AdapterRef.parse(name), with_retrieval=name != text)

    def __str__(self) -> str:
        if self.is_auto:
            return AUTO
        return ("rag/" if self.with_retrieval else "") + (str(self.adapter) if self.adapter else BASE)
