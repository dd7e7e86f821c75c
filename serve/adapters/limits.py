"""What an adapter folder must be before an engine reads its weights: safetensors, a sound configuration, not too large.

In: a local folder. Out: nothing, or one sentence. It reads no weights: that their shapes fit, and that the base model's
hash is the right one, is the engine's to say.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from plait.adapters.metadata import FILE_NAME, check_adapter_files
from plait.adapters.methods.saved_config import CONFIG_FILE, read_adapter_config
from plait.errors import InvalidInput

_log = logging.getLogger("ray.serve")


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
        if not (folder / CONFIG_FILE).is_file():
            return  # a whole model: the engine says so, with what to do
        config = read_adapter_config(folder)
        if config.highest_rank > self.max_rank:
            raise InvalidInput(
                f"The adapter in '{folder}' has rank {config.highest_rank}; this server takes at most {self.max_rank}.",
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


def _last_part(source: str) -> str:
    """`org/name`, `/models/name` and `package:name` are compared by their name only."""
    return source.rstrip("/").replace(":", "/").rpartition("/")[2].lower()
