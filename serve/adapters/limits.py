"""What an adapter folder must be before an engine reads its weights: safetensors, a sound configuration, not too large.

In: a local folder. Out: nothing, or one sentence. It reads no weights: that their shapes fit, and that the base model's
hash is the right one, is the engine's to say.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plait.adapters.metadata import FILE_NAME, check_adapter_files
from plait.errors import InvalidInput

_log = logging.getLogger("ray.serve")


class _AdapterConfig(BaseModel):
    """The part of PEFT's adapter_config.json that is checked ahead; what it leaves out is the engine's to judge."""

    model_config = ConfigDict(extra="allow")

    peft_type: str
    r: int = Field(0, ge=0)
    rank_pattern: dict[str, int] = {}
    base_model_name_or_path: str | None = None

    @property
    def rank(self) -> int:
        return max([self.r, *self.rank_pattern.values()])


@dataclass(frozen=True)
class AdapterLimits:
    """Adapters beyond these are refused.

    Attributes:
        max_rank: of low-rank products; one adapter of a high rank makes every step that it shares larger.
        max_bytes: of adapter_model.safetensors.
    """

    max_rank: int
    max_bytes: int

    def check(self, folder: Path, base_model: str) -> None:
        """Refuse a folder that must not be loaded on `base_model` (a model source).

        Raises:
            InvalidInput: names what is missing, pickled, malformed or too large.
        """
        check_adapter_files(folder)
        if not (folder / "adapter_config.json").is_file():
            return  # a whole model: the engine says so, with what to do
        config = _read_config(folder)
        if config.rank > self.max_rank:
            raise InvalidInput(
                f"The adapter in '{folder}' has rank {config.rank}; this server takes at most {self.max_rank}.",
                "Train it with a lower rank, or raise llm.max_rank.",
            )
        self.check_size(str(folder), (folder / "adapter_model.safetensors").stat().st_size)
        named = config.base_model_name_or_path
        if named and not (folder / FILE_NAME).is_file() and _last_part(named) != _last_part(base_model):
            _log.warning("the adapter in '%s' names the base model '%s', served is '%s'", folder, named, base_model)

    def check_size(self, location: str, size_bytes: int) -> None:
        """Refuse weights that are too large.

        Raises:
            InvalidInput: with both numbers.
        """
        if size_bytes > self.max_bytes:
            raise InvalidInput(
                f"The adapter in '{location}' has {size_bytes:,} bytes; this server takes at most {self.max_bytes:,}.",
                "Train a smaller one, or raise llm.max_adapter_bytes.",
            )


def _read_config(folder: Path) -> _AdapterConfig:
    file = folder / "adapter_config.json"
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
        return _AdapterConfig.model_validate(values)
    except (ValueError, ValidationError) as error:  # a ValidationError is a ValueError; the JSON's own is one too
        reason = error.errors()[0] if isinstance(error, ValidationError) else None
        where = f"{'.'.join(map(str, reason['loc']))}: {reason['msg']}" if reason else str(error)
        raise InvalidInput(f"'{file}' is no adapter configuration ({where}).", "Save the adapter with PEFT.") from None


def _last_part(source: str) -> str:
    """`org/name`, `/models/name` and `package:name` are compared by their name only."""
    return source.rstrip("/").replace(":", "/").rpartition("/")[2].lower()
