"""Bottleneck adapters (Houlsby et al. 2019, arXiv:1902.00751; placement of Pfeiffer et al. 2020, arXiv:2005.00247).

PEFT has no such method, so this is one with PEFT's surface: `adapter_config.json` and `adapter_model.safetensors` in a
folder, several adapters on one base, one of them active. It knows nothing of training or serving.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from plait.adapters.methods.saved_config import CONFIG_FILE, read_adapter_config
from plait.errors import InvalidInput

_WEIGHTS = "adapter_model.safetensors"
_NON_LINEARITIES = {"relu": torch.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu}


@runtime_checkable
class BottleneckSettings(Protocol):
    """What adapter_config.json says of a bottleneck adapter."""

    @property
    def bottleneck_size(self) -> int: ...
    @property
    def non_linearity(self) -> Literal["relu", "gelu", "silu"]: ...
    @property
    def placement(self) -> Literal["houlsby", "pfeiffer"]: ...
    @property
    def dropout(self) -> float: ...
    def model_dump(self) -> dict[str, Any]: ...


class Bottleneck(nn.Module):
    """h + up(f(down(h))), of h [..., d]; `up` starts at zero, so a fresh adapter changes nothing."""

    def __init__(self, width: int, config: BottleneckSettings) -> None:
        super().__init__()
        self.down = nn.Linear(width, config.bottleneck_size)
        self.up = nn.Linear(config.bottleneck_size, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self._activate = _NON_LINEARITIES[config.non_linearity]
        self._dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        # Weights are float32; they work in the type of what comes in.
        down = nn.functional.linear(hidden, self.down.weight.to(hidden.dtype), self.down.bias.to(hidden.dtype))
        inner = self._dropout(self._activate(down))
        return hidden + nn.functional.linear(inner, self.up.weight.to(hidden.dtype), self.up.bias.to(hidden.dtype))


class _Adapted(nn.Module):
    """A layer followed by the active one of its bottlenecks; the layer's other attributes show through."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.bottlenecks = nn.ModuleDict()
        self.active: str | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden = self.layer(*args, **kwargs)
        return hidden if self.active is None else self.bottlenecks[self.active](hidden)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


class BottleneckModel(nn.Module):
    """Bottleneck adapters on a transformers causal language model, whose own weights are frozen.

    Args:
        causal_lm: the base model; its decoder layers must have `self_attn.o_proj` and `mlp`.
        config: of the first adapter.
        adapter_name: its name.

    Raises:
        InvalidInput: when the base model has no such layers.
    """

    def __init__(self, causal_lm: Any, config: BottleneckSettings, adapter_name: str = "default") -> None:
        super().__init__()
        self.base_model = causal_lm.requires_grad_(False)
        self.configs: dict[str, BottleneckSettings] = {}
        self._sites = _adapted_sites(causal_lm)
        self.add_adapter(adapter_name, config)
        self.set_adapter(adapter_name)

    @classmethod
    def from_pretrained(
        cls, causal_lm: Any, folder: Path, is_trainable: bool = False, adapter_name: str = "default"
    ) -> Self:
        """The adapter in `folder` on `causal_lm`.

        Raises:
            InvalidInput: when the folder's weights are not those that its configuration promises for this base.
        """
        model = cls(causal_lm, _read_config(folder), adapter_name)
        model._load_weights(folder, adapter_name)
        if not is_trainable:
            model.requires_grad_(False)
            model.eval()
        return model

    def add_adapter(self, name: str, config: BottleneckSettings) -> None:
        """A fresh adapter beside the others."""
        self.configs[name] = config
        for adapted in self._chosen(config).values():
            width = int(self.base_model.config.hidden_size)
            adapted.bottlenecks[name] = Bottleneck(width, config).to(self.base_model.device)

    def load_adapter(self, folder: Path, adapter_name: str) -> None:
        """The adapter in `folder`, frozen, beside the others."""
        self.add_adapter(adapter_name, _read_config(folder))
        try:
            self._load_weights(folder, adapter_name)
        except InvalidInput:
            self.delete_adapter(adapter_name)
            raise

    def delete_adapter(self, adapter_name: str) -> None:
        """Take an adapter out; its weights are freed."""
        for adapted in self._chosen(self.configs.pop(adapter_name)).values():
            del adapted.bottlenecks[adapter_name]
            adapted.active = None if adapted.active == adapter_name else adapted.active

    def set_adapter(self, adapter_name: str) -> None:
        """Let this adapter be the one that works; only its weights can be trained."""
        for adapted in self._sites.values():
            adapted.active = adapter_name if adapter_name in adapted.bottlenecks else None
            for name, bottleneck in adapted.bottlenecks.items():
                bottleneck.requires_grad_(name == adapter_name)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The base model alone, while the block runs."""
        active = {site: adapted.active for site, adapted in self._sites.items()}
        for adapted in self._sites.values():
            adapted.active = None
        try:
            yield
        finally:
            for site, name in active.items():
                self._sites[site].active = name

    def get_base_model(self) -> Any:
        return self.base_model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model.generate(*args, **kwargs)

    def save_pretrained(self, folder: Path | str, adapter_name: str = "default") -> None:
        """Write `adapter_config.json` and `adapter_model.safetensors`."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        named = {"base_model_name_or_path": getattr(self.base_model, "name_or_path", None)}
        config = self.configs[adapter_name].model_dump() | named
        (Path(folder) / CONFIG_FILE).write_text(json.dumps(config, indent=2), encoding="utf-8")
        weights = {name: value.detach().cpu().contiguous() for name, value in self._weights(adapter_name).items()}
        save_file(weights, Path(folder) / _WEIGHTS, metadata={"format": "pt"})

    def _chosen(self, config: BottleneckSettings) -> dict[str, _Adapted]:
        return {
            site: adapted
            for site, adapted in self._sites.items()
            if config.placement == "houlsby" or site.endswith(".mlp")
        }

    def _weights(self, adapter_name: str) -> dict[str, Tensor]:
        return {
            f"{site}.{name}": value
            for site, adapted in self._chosen(self.configs[adapter_name]).items()
            for name, value in adapted.bottlenecks[adapter_name].state_dict(keep_vars=True).items()
        }

    def _load_weights(self, folder: Path, adapter_name: str) -> None:
        try:
            found = load_file(folder / _WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise InvalidInput(f"'{folder / _WEIGHTS}' cannot be read ({error}).") from error
        wanted = self._weights(adapter_name)
        if odd := sorted(found.keys() ^ wanted.keys()):
            kind = "misses" if odd[0] in wanted else "has the unknown"
            raise InvalidInput(f"The adapter in '{folder}' {kind} weight '{odd[0]}'.", "It was made for another model.")
        for name, weight in wanted.items():
            if found[name].shape != weight.shape:
                raise InvalidInput(
                    f"The weight '{name}' of the adapter in '{folder}' has the shape {tuple(found[name].shape)}, this "
                    f"base model needs {tuple(weight.shape)}.",
                    "It was made for another model.",
                )
            weight.data.copy_(found[name])


def _adapted_sites(causal_lm: Any) -> dict[str, _Adapted]:
    """Wrap what an adapter can follow: by the name of the layer, each decoder layer's attention output and MLP.

    Wrapped rather than hooked, so that the weights lie in the base model's tree and move, copy and train with it.
    """
    sites: dict[str, _Adapted] = {}
    for name, layer in list(causal_lm.named_modules()):
        attention, mlp = getattr(layer, "self_attn", None), getattr(layer, "mlp", None)
        projection = getattr(attention, "o_proj", None)
        if attention is None or not isinstance(projection, nn.Module) or not isinstance(mlp, nn.Module):
            continue
        attention.o_proj = sites[f"{name}.self_attn.o_proj"] = _wrapped(projection)
        layer.mlp = sites[f"{name}.mlp"] = _wrapped(mlp)
    if not sites:
        raise InvalidInput(
            f"{type(causal_lm).__name__} has no layers with self_attn.o_proj and mlp for bottlenecks to follow.",
            "Use adapter.method=lora.",
        )
    return sites


def _wrapped(layer: nn.Module) -> _Adapted:
    return layer if isinstance(layer, _Adapted) else _Adapted(layer)


def _read_config(folder: Path) -> BottleneckSettings:
    config = read_adapter_config(folder)
    if not isinstance(config, BottleneckSettings):
        raise InvalidInput(f"The adapter in '{folder}' is of the method {config.peft_type}, and no bottleneck.")
    return config
