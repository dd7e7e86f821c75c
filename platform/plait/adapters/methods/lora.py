"""LoRA (Hu et al. 2021, arXiv:2106.09685) with its variants rsLoRA and DoRA, by PEFT.

QLoRA is no method of its own: it is LoRA on a base model whose weights have 4 bits (`model.quantization=nf4`).
"""

import math
import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from plait.adapters.methods.method import LayerLinear, MethodConfig
from plait.adapters.methods.peft_models import new_peft_adapter
from plait.adapters.methods.saved_config import Size
from plait.adapters.methods.target_modules import TargetModulesConfig
from plait.adapters.module_patterns import ModuleMatch, ValueByPattern, match_layers

if TYPE_CHECKING:
    from plait.adapters.updates import AdapterUpdates, DecoderShape, Weights

_FLOAT32 = 4
_DORA_BYTES = 300e6
"""What PEFT's DoRA adds to a process on a CPU: dense float32 updates of whole layers. Measured as the figures of
jobs/plan/overheads.py are."""


class LoraConfig(MethodConfig):
    """Low-rank updates of linear layers (Hu et al. 2021, arXiv:2106.09685)."""

    method: Literal["lora"] = "lora"
    rank: int = Field(8, ge=1, le=512, description="Rank of the low-rank update.")
    alpha: float = Field(16, gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the low-rank update.")
    target_modules: str | list[str] = Field("all-linear", description="Modules to adapt: names, or all-linear.")
    rslora: bool = Field(False, description="Scale by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv:2312.03732).")
    dora: bool = Field(False, description="Train magnitudes apart from directions (Liu et al. 2024, arXiv:2402.09353).")

    def new_adapter(self, causal_lm: Any) -> Any:
        import peft

        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.target_modules,
            use_rslora=self.rslora,
            use_dora=self.dora,
            task_type="CAUSAL_LM",
        )
        return new_peft_adapter(causal_lm, config)

    def has_fused_lora(self, linear: LayerLinear) -> bool:
        return self._is_fused and self.targets(linear)

    def targets(self, linear: LayerLinear) -> bool:
        """Whether a LoRA goes on this layer, by PEFT's rules: all-linear, names, or a regular expression."""
        chosen = self.target_modules
        if chosen == "all-linear":
            return True
        if isinstance(chosen, str):
            return re.fullmatch(chosen, f"model.layers.0.{linear.name}") is not None
        return any(linear.name == name or linear.name.endswith(f".{name}") for name in chosen)

    def kept_bytes(self, linears: Iterable[LayerLinear], hidden: int, element_bytes: int) -> float:
        """Fused: x A^T. By PEFT's own path (dropout, DoRA): float32 copies of inputs, and results."""
        targeted = [linear for linear in linears if self.targets(linear)]
        if self._is_fused:
            return element_bytes * self.rank * len(targeted)
        by_input = _FLOAT32 * (2 if self.dropout else 1)  # with dropout: what went through, and the mask
        by_output = _FLOAT32 + element_bytes if self.dora else 0
        return sum(by_input * t.inputs + _FLOAT32 * self.rank + by_output * t.outputs for t in targeted)

    @property
    def worker_bytes(self) -> float:
        return _DORA_BYTES if self.dora else 0

    @property
    def _is_fused(self) -> bool:
        """Whether jobs/train/kernels/lora.py takes the layers over from PEFT."""
        return not (self.dora or self.dropout)


_Alpha = Annotated[float, Field(ge=-1e6, le=1e6)]
"""`lora_alpha` is a few times the rank; far above, products leave the range of half precision."""


class PeftLora(TargetModulesConfig):
    """LoRA's adapter_config.json. What PEFT names LoRA but is none of the variants is here to be refused."""

    peft_type: Literal["LORA"]
    r: Size = 8
    lora_alpha: _Alpha = 8.0
    rank_pattern: dict[str, Size] | None = Field(None, max_length=4096)
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
    def kind(self) -> str:
        return "DoRA" if self.use_dora else self.peft_type

    @property
    def highest_rank(self) -> int:
        return max([self.r, *(self.rank_pattern or {}).values()])

    @property
    def plain_lora(self) -> "PeftLora | None":
        return None if self.use_dora else self

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

    def updates(self, weights: "Weights", shape: "DecoderShape") -> "AdapterUpdates":
        from plait.adapters.updates import AdapterUpdates, LowRankUpdate, ModuleUpdate, by_module, check_targets, expect

        found = by_module(weights, shape)
        if self.bias != "none" or self.modules_to_save or self.lora_bias or self.fan_in_fan_out:
            raise ValueError("it trains biases or whole modules, which cannot share a batch")
        if self.alora_invocation_tokens:
            raise ValueError("it is an aLoRA, which works from some token on; those cannot be served")
        check_targets(self.targets, found, shape)
        updates = AdapterUpdates()
        for module, own in found.items():
            (outputs, inputs), name = shape.modules[module], module.path
            down, up = own.pop("lora_A.weight", None), own.pop("lora_B.weight", None)
            magnitude = own.pop("lora_magnitude_vector", None)
            rank, alpha = self.rank(name), self.alpha(name)
            down = expect(down, (rank, inputs), f"{name}.lora_A")
            up = expect(up, (outputs, rank), f"{name}.lora_B")
            if own or (magnitude is not None) != self.use_dora:
                raise ValueError(f"its weights do not match its configuration at {name}")
            low_rank = LowRankUpdate(down, up, self.scaling(rank, alpha), magnitude)
            updates.modules[module] = ModuleUpdate(low_rank=low_rank)
        return updates

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
