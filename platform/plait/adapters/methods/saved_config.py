"""adapter_config.json, checked whole before anything follows from it: every field that serving uses, with its bounds.

In: an adapter folder of PEFT's or with PEFT's surface. Out: one frozen object by method, or one sentence about what is
wrong. Fields that only training uses are left out. It reads no weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plait.adapters.methods.peft_models import load_peft_adapter
from plait.errors import InvalidInput, first_line
from plait.strict_json import read_json
from plait.validation import first_problem

if TYPE_CHECKING:
    from plait.adapters.updates import AdapterUpdates, DecoderShape, Weights

CONFIG_FILE = "adapter_config.json"
MAX_CONFIG_BYTES = 4 << 20
"""Of adapter_config.json and plait.json: what PEFT writes has some kilobytes, a rank for each module some hundred."""

Size = Annotated[int, Field(ge=1, le=1 << 16)]
"""Of a rank, a bottleneck, a prefix; what a server takes is a setting, and lower."""


class PlainLora(Protocol):
    """What an engine that reads LoRA folders by itself must know of one."""

    @property
    def rank_pattern(self) -> Mapping[str, int] | None: ...
    @property
    def alpha_pattern(self) -> Mapping[str, float] | None: ...
    def rank(self, module: str) -> int: ...
    def alpha(self, module: str) -> float: ...
    def scaling(self, rank: int, alpha: float) -> float: ...


class SavedConfig(BaseModel, ABC):
    """adapter_config.json. Each method has a subclass; its Literal `peft_type` is the method's name in the file."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    peft_type: str
    base_model_name_or_path: str | None = None

    @abstractmethod
    def updates(self, weights: "Weights", shape: "DecoderShape") -> "AdapterUpdates":
        """What the adapter does to a decoder.

        Args:
            weights: of adapter_model.safetensors, by name.
            shape: of the decoder.

        Raises:
            ValueError: one line about what does not fit.
        """

    def load(self, causal_lm: Any, folder: Path, is_trainable: bool = False) -> Any:
        """The adapter in `folder` on `causal_lm`, a model of transformers.

        Raises:
            InvalidInput: when the folder's weights are not those that its configuration promises.
        """
        return load_peft_adapter(causal_lm, folder, is_trainable)

    @property
    def kind(self) -> str:
        """What users call it."""
        return self.peft_type

    @property
    def highest_rank(self) -> int:
        """The largest rank of its low-rank products; 0 without."""
        return 0

    @property
    def plain_lora(self) -> PlainLora | None:
        """Itself, where the folder is what PEFT calls a LoRA, without DoRA: engines such as vLLM read those alone."""
        return None


_BY_TYPE: dict[str, type[SavedConfig]] = {}
_REMEDY = "Save the adapter with PEFT."


def register_saved(saved: type[SavedConfig]) -> None:
    """Add an adapter_config.json to those that can be read."""
    (peft_type,) = get_args(saved.model_fields["peft_type"].annotation)
    _BY_TYPE[peft_type] = saved


def read_adapter_config(folder: Path) -> SavedConfig:
    """What adapter_config.json of a folder says.

    Raises:
        InvalidInput: names the file and the field that is missing, of the wrong kind or out of bounds.
    """
    file = folder / CONFIG_FILE
    try:
        values = read_json(file, MAX_CONFIG_BYTES)
    except OSError as error:
        raise InvalidInput(f"'{file}' cannot be read ({first_line(error)}).") from None
    kind = values.get("peft_type") if isinstance(values, dict) else None
    if not isinstance(kind, str):
        raise InvalidInput(f"'{file}' is no adapter configuration: it has no peft_type.", _REMEDY)
    if kind not in _BY_TYPE:
        raise InvalidInput(
            f"The peft_type in '{file}' is {kind[:40]}, which cannot be served.", f"Use one of {', '.join(_BY_TYPE)}."
        )
    try:
        return _BY_TYPE[kind].model_validate(values)
    except ValidationError as error:
        problem = first_problem(error, values)
        raise InvalidInput(f"'{file}' is no adapter configuration. {problem}", _REMEDY) from None


def load_adapter(causal_lm: Any, folder: Path, is_trainable: bool = False) -> Any:
    """The adapter in `folder`, of any method, on `causal_lm`.

    Raises:
        InvalidInput: when the folder's configuration is not sound, or its weights are not those that it promises.
    """
    return read_adapter_config(folder).load(causal_lm, folder, is_trainable)
