"""A method that Plait does not have, in one file: learned gains on what every MLP puts out, for `test_new_method`."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from plait.adapters.methods.method import LayerLinear, MethodConfig, register_method
from plait.adapters.methods.saved_config import SavedConfig

if TYPE_CHECKING:
    from plait.adapters.updates import AdapterUpdates, DecoderShape, Weights


class GainConfig(MethodConfig):
    """Gains [hidden] on the output of every layer's MLP."""

    method: Literal["gain"]
    start: float = 1.0

    def new_adapter(self, causal_lm: Any) -> Any:
        return _Gains(causal_lm, self.start)

    def kept_bytes(self, linears: Iterable[LayerLinear], hidden: int, element_bytes: int) -> float:
        return element_bytes * hidden


class SavedGain(SavedConfig):
    """Its adapter_config.json."""

    peft_type: Literal["GAIN"]

    def load(self, causal_lm: Any, folder: Path, is_trainable: bool = False) -> Any:
        from safetensors.torch import load_file

        model = _Gains(causal_lm, 1.0)
        for name, gain in load_file(folder / "adapter_model.safetensors").items():
            model.gains[name].data.copy_(gain)
        return model

    def updates(self, weights: "Weights", shape: "DecoderShape") -> "AdapterUpdates":
        from plait.adapters.updates import AdapterUpdates, ModuleUpdate, by_module, expect

        updates = AdapterUpdates()
        for module, own in by_module(weights, shape).items():
            outputs, _ = shape.modules[module]
            updates.modules[module] = ModuleUpdate(output_scale=expect(own.get("gain"), (outputs,), module.path))
        return updates


class _Gains:
    """The adapter, with as much of PEFT's surface as training needs."""

    def __init__(self, causal_lm: Any, start: float) -> None:
        import torch

        self.causal_lm, self.is_on = causal_lm.requires_grad_(False), True
        self.gains: dict[str, Any] = {}
        for name, module in list(causal_lm.named_modules()):
            if name.endswith("down_proj"):
                gain = torch.nn.Parameter(torch.full((module.out_features,), start))
                module.register_parameter("gain", gain)
                module.register_forward_hook(lambda module, _, out: out * module.gain if self.is_on else out)
                self.gains[f"{name}.gain"] = gain

    def parameters(self) -> Iterator[Any]:
        yield from self.causal_lm.parameters()

    def train(self, mode: bool = True) -> None:
        self.causal_lm.train(mode)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        self.is_on = False
        yield
        self.is_on = True

    def save_pretrained(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "GAIN"}))
        save_file({name: gain.detach() for name, gain in self.gains.items()}, folder / "adapter_model.safetensors")


register_method(GainConfig, SavedGain)
