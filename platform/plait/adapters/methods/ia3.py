"""IA3 (Liu et al. 2022, arXiv:2205.05638): learned scales of keys, values and the MLP's inner activation, by PEFT."""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from plait.adapters.methods.method import LayerLinear, MethodConfig
from plait.adapters.methods.peft_models import new_peft_adapter
from plait.adapters.methods.target_modules import Modules, TargetModulesConfig
from plait.adapters.module_patterns import ModuleMatch, match_modules

if TYPE_CHECKING:
    from plait.adapters.updates import AdapterUpdates, DecoderShape, Weights

_FLOAT32 = 4


class Ia3Config(MethodConfig):
    """Learned scales on keys, values and the inner activation of the MLP (Liu et al. 2022, arXiv:2205.05638)."""

    method: Literal["ia3"]
    target_modules: list[str] = Field(
        ["k_proj", "v_proj", "down_proj"], min_length=1, description="Modules that are scaled."
    )
    feedforward_modules: list[str] = Field(
        ["down_proj"], description="Those of the target modules whose input is scaled, not their output."
    )

    @model_validator(mode="after")
    def feedforward_is_targeted(self) -> Self:
        if extra := sorted(set(self.feedforward_modules) - set(self.target_modules)):
            raise ValueError(f"adapter.feedforward_modules names {extra}, which adapter.target_modules does not")
        return self

    def new_adapter(self, causal_lm: Any) -> Any:
        import peft

        config = peft.IA3Config(
            target_modules=self.target_modules, feedforward_modules=self.feedforward_modules, task_type="CAUSAL_LM"
        )
        return new_peft_adapter(causal_lm, config)

    def kept_bytes(self, linears: Iterable[LayerLinear], hidden: int, element_bytes: int) -> float:
        """What is scaled."""
        scaled = [linear for linear in linears if linear.leaf in self.target_modules]
        return sum(
            _FLOAT32 * s.inputs if s.leaf in self.feedforward_modules else element_bytes * s.outputs for s in scaled
        )


class PeftIa3(TargetModulesConfig):
    """IA3's adapter_config.json."""

    peft_type: Literal["IA3"]
    feedforward_modules: Modules | None = None

    @model_validator(mode="after")
    def _compile_feedforward(self) -> Self:
        self.is_feedforward  # noqa: B018
        return self

    @cached_property
    def is_feedforward(self) -> ModuleMatch:
        """Whether a module's input is scaled, and not its output."""
        return match_modules(self.feedforward_modules or [])

    def updates(self, weights: "Weights", shape: "DecoderShape") -> "AdapterUpdates":
        from plait.adapters.updates import AdapterUpdates, ModuleUpdate, by_module, check_targets, expect

        found = by_module(weights, shape)
        check_targets(self.targets, found, shape)
        updates = AdapterUpdates()
        for module, own in found.items():
            outputs, inputs = shape.modules[module]
            scale, name = own.pop("ia3_l", None), f"{module.path}.ia3_l"
            if self.is_feedforward(module.path):
                update = ModuleUpdate(input_scale=expect(scale, (1, inputs), name).flatten())
            else:
                update = ModuleUpdate(output_scale=expect(scale, (outputs, 1), name).flatten())
            if own:
                raise ValueError(f"its weights do not match its configuration at {module.path}")
            updates.modules[module] = update
        return updates
