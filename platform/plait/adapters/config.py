"""adapter_config.json, checked whole before anything follows from it: every field that serving uses, with its bounds.

In: an adapter folder of PEFT's or (bottleneck) of Plait's. Out: one frozen object by method, or one sentence about what
is wrong. Fields that only training uses are left out. It reads no weights.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from plait.adapters.module_patterns import ModuleMatch, ValueByPattern, match_layers, match_modules
from plait.errors import InvalidInput
from plait.strict_json import read_json

CONFIG_FILE = "adapter_config.json"
MAX_CONFIG_BYTES = 4 << 20
"""Of adapter_config.json and plait.json: what PEFT writes has some kilobytes, a rank for each module some hundred."""

_Size = Annotated[int, Field(ge=1, le=1 << 16)]
"""Of a rank, a bottleneck, a prefix; what a server takes is a setting, and lower."""
_Alpha = Annotated[float, Field(ge=-1e6, le=1e6)]
"""`lora_alpha` is a few times the rank; far above, products leave the range of half precision."""


def _modules(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        return value
    raise ValueError("it is neither a list of names nor a pattern")


_Modules = Annotated[Any, BeforeValidator(_modules)]
"""A list of names, or a regular expression for whole names."""


class _AdapterConfig(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    base_model_name_or_path: str | None = None


class _ModulesConfig(_AdapterConfig):
    """A method that adapts chosen modules."""

    target_modules: _Modules
    exclude_modules: _Modules | None = None
    modules_to_save: list[str] | None = None

    @model_validator(mode="after")
    def _compile(self) -> Self:
        """Patterns that are none are said here, and not when the first module is matched."""
        self._is_target, self._is_excluded  # noqa: B018
        return self

    def targets(self, module: str) -> bool:
        """Whether it adapts a linear layer of the decoder, `model.layers.0.self_attn.q_proj`."""
        return self._is_target(module) and not self._is_excluded(module)

    @cached_property
    def _is_target(self) -> ModuleMatch:
        is_all = isinstance(self.target_modules, str) and self.target_modules.lower() == "all-linear"
        return (lambda module: True) if is_all else match_modules(self.target_modules)

    @cached_property
    def _is_excluded(self) -> ModuleMatch:
        return match_modules(self.exclude_modules or [])


class PeftLora(_ModulesConfig):
    """LoRA, with its variants rsLoRA and DoRA. What is none of them but named so by PEFT is here to be refused."""

    peft_type: Literal["LORA"]
    r: _Size = 8
    lora_alpha: _Alpha = 8.0
    rank_pattern: dict[str, _Size] | None = Field(None, max_length=4096)
    alpha_pattern: dict[str, _Alpha] | None = Field(None, max_length=4096)
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    lora_bias: bool = False
    fan_in_fan_out: bool = False
    alora_invocation_tokens: list[int] | None = None

    @model_validator(mode="after")
    def _compile_layers(self) -> Self:
        self._is_in_layers, self._ranks, self._alphas  # noqa: B018
        return self

    @property
    def highest_rank(self) -> int:
        return max([self.r, *(self.rank_pattern or {}).values()])

    def targets(self, module: str) -> bool:
        return super().targets(module) and self._is_in_layers(module)

    def rank(self, module: str) -> int:
        """Of the product on a module."""
        return int(self._ranks.get(module) or self.r)

    def alpha(self, module: str) -> float:
        """Of the product on a module."""
        alpha = self._alphas.get(module)
        return self.lora_alpha if alpha is None else alpha

    def scaling(self, rank: int, alpha: float) -> float:
        """What a product is multiplied by (rsLoRA: Kalajdzievski 2023, arXiv:2312.03732)."""
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)

    @cached_property
    def _is_in_layers(self) -> ModuleMatch:
        layers = self.layers_to_transform
        if layers is None or layers == []:
            return lambda module: True
        patterns = self.layers_pattern or []
        return match_layers(
            [patterns] if isinstance(patterns, str) else patterns,
            frozenset([layers] if isinstance(layers, int) else layers),
        )

    @cached_property
    def _ranks(self) -> ValueByPattern:
        return ValueByPattern(self.rank_pattern or {})

    @cached_property
    def _alphas(self) -> ValueByPattern:
        return ValueByPattern(self.alpha_pattern or {})


class PeftIa3(_ModulesConfig):
    """IA3."""

    peft_type: Literal["IA3"]
    feedforward_modules: _Modules | None = None

    @model_validator(mode="after")
    def _compile_feedforward(self) -> Self:
        self.is_feedforward  # noqa: B018
        return self

    @cached_property
    def is_feedforward(self) -> ModuleMatch:
        """Whether a module's input is scaled, and not its output."""
        return match_modules(self.feedforward_modules or [])


class PeftPrefix(_AdapterConfig):
    """Prefix tuning."""

    peft_type: Literal["PREFIX_TUNING"]
    num_virtual_tokens: _Size


class BottleneckConfig(_AdapterConfig):
    """Plait's own method, in PEFT's style."""

    peft_type: Literal["BOTTLENECK"] = "BOTTLENECK"
    task_type: Literal["CAUSAL_LM"] = "CAUSAL_LM"
    bottleneck_size: _Size
    """Hidden units."""
    non_linearity: Literal["relu", "gelu", "silu"] = "relu"
    placement: Literal["houlsby", "pfeiffer"] = "houlsby"
    """houlsby: after attention and MLP; pfeiffer: after the MLP only."""
    dropout: float = Field(0.0, ge=0, lt=1)


SavedConfig = PeftLora | PeftIa3 | PeftPrefix | BottleneckConfig
_BY_TYPE: Mapping[str, type[SavedConfig]] = {
    "LORA": PeftLora,
    "IA3": PeftIa3,
    "PREFIX_TUNING": PeftPrefix,
    "BOTTLENECK": BottleneckConfig,
}


_REMEDY = "Save the adapter with PEFT."


def read_adapter_config(folder: Path) -> SavedConfig:
    """What adapter_config.json of a folder says.

    Raises:
        InvalidInput: names the file and the field that is missing, of the wrong kind or out of bounds.
    """
    file = folder / CONFIG_FILE
    try:
        values = read_json(file, MAX_CONFIG_BYTES)
    except OSError as error:
        raise InvalidInput(f"'{file}' cannot be read ({error.strerror}).") from None
    kind = values.get("peft_type") if isinstance(values, dict) else None
    if not isinstance(kind, str):
        raise InvalidInput(f"'{file}' is no adapter configuration (peft_type: it is missing).", _REMEDY)
    if kind not in _BY_TYPE:
        raise InvalidInput(
            f"The peft_type in '{file}' is {kind[:40]}, which cannot be served.", f"Use one of {', '.join(_BY_TYPE)}."
        )
    try:
        return _BY_TYPE[kind].model_validate(values)
    except ValidationError as error:
        raise InvalidInput(f"'{file}' is no adapter configuration ({_sentence(error)}).", _REMEDY) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    # A union's members are no part of a file: `lora_alpha`, `rank_pattern.q_proj`, and not `layers_pattern.list[str]`.
    where = ".".join(str(part) for part in first["loc"] if part not in ("list[str]", "list[int]", "str", "int"))
    said = first["msg"].removeprefix("Value error, ")
    return f"{where}: {said[:1].lower()}{said[1:]}" if where else said
