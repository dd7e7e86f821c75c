"""plait.json: what an adapter folder says about itself beside PEFT's own files.

An adapter folder is exactly PEFT's (`adapter_config.json`, `adapter_model.safetensors`) plus this file. It knows
nothing of registries or of serving.
"""

from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plait.adapters.methods.saved_config import MAX_CONFIG_BYTES
from plait.errors import InvalidInput, first_line
from plait.models.chat import ChatFormat
from plait.strict_json import read_json
from plait.validation import first_problem

FILE_NAME = "plait.json"


class AdapterMetadata(BaseModel):
    """Lineage of an adapter: enough to say what it was made from, and to make it again."""

    model_config = ConfigDict(frozen=True)

    base_model: str = Field(description="Model source of the base model.")
    base_sha256: str = Field(description="Hash of the base model's weights.")
    dataset_sha256: str = Field(description="Hash of the training file.")
    recipe: dict[str, Any] = Field(description="The recipe of the run, every field.")
    method: str = Field(description="As adapter.method of the recipe; of full: a whole model, not an adapter.")
    chat_format: ChatFormat = Field(description="The form in which the adapter was trained to answer.")
    parent: str | None = Field(None, description="The adapter version that training continued from.")
    run_id: str = Field(description="MLflow run.")
    run_key: str = Field(description="Hash of recipe, base weights and encoded examples.")
    plait_version: str
    created_at: str = Field(description="ISO 8601, UTC.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Final metrics of the run.")

    @field_validator("created_at")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        datetime.fromisoformat(text).timestamp()
        return text

    @field_validator("metrics", mode="before")
    @classmethod
    def _without_what_was_not_measured(cls, metrics: Any) -> Any:
        """A loss that is not finite is none: it is left out, and does not make the whole file unreadable."""
        if not isinstance(metrics, dict):
            return metrics
        return {k: v for k, v in metrics.items() if v is not None and not (isinstance(v, float) and not isfinite(v))}

    def write(self, folder: Path) -> None:
        (folder / FILE_NAME).write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "AdapterMetadata":
        """Read plait.json of an adapter folder.

        Raises:
            InvalidInput: when the folder has none, or it is not valid.
        """
        try:
            values = read_json(folder / FILE_NAME, MAX_CONFIG_BYTES)
        except FileNotFoundError:
            raise InvalidInput(f"'{folder}' is no adapter of Plait: it has no {FILE_NAME}.") from None
        except OSError as error:
            raise InvalidInput(f"'{folder / FILE_NAME}' cannot be read ({first_line(error)}).") from None
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problem = first_problem(error, values)
            raise InvalidInput(f"'{folder / FILE_NAME}' is no description of an adapter. {problem}") from None


def check_adapter_files(folder: Path) -> None:
    """Check that a folder is an adapter (or a whole fine-tuned model) that may be loaded: safetensors only.

    Raises:
        InvalidInput: names what is missing, or a pickle, which could run code when loaded.
    """
    is_whole_model = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    for name in () if is_whole_model else ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            pickled = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt")]
            if pickled:
                raise InvalidInput(
                    f"'{folder}' holds pickled weights ({pickled[0]}), which can run code when loaded.",
                    "Save the adapter as safetensors.",
                )
            raise InvalidInput(f"'{folder}' is no adapter: {name} is missing.")


def check_adapter_folder(folder: Path) -> AdapterMetadata:
    """Check that a folder is an adapter (or a whole fine-tuned model) of Plait's, and read its plait.json.

    Raises:
        InvalidInput: names what is missing, or a pickle, which could run code when loaded.
    """
    check_adapter_files(folder)
    return AdapterMetadata.read(folder)
