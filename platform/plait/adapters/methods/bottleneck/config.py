"""A bottleneck adapter's two configurations: in a recipe, and in its folder's adapter_config.json."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from plait.adapters.methods.method import LayerLinear, MethodConfig
from plait.adapters.methods.saved_config import SavedConfig, Size

if TYPE_CHECKING:
    from plait.adapters.updates import AdapterUpdates, DecoderShape, Weights

NonLinearity = Literal["relu", "gelu", "silu"]
Placement = Literal["houlsby", "pfeiffer"]


class BottleneckConfig(MethodConfig):
    """Small two-layer networks after attention and MLP (Houlsby et al. 2019, arXiv:1902.00751)."""

    method: Literal["bottleneck"]
    size: int = Field(64, ge=1, description="Hidden units of each bottleneck.")
    non_linearity: NonLinearity = "relu"
    placement: Placement = Field(
        "houlsby", description="houlsby: after attention and MLP; pfeiffer: after the MLP only (arXiv:2005.00247)."
    )
    dropout: float = Field(0.0, ge=0, lt=1)

    def new_adapter(self, causal_lm: Any) -> Any:
        from plait.adapters.methods.bottleneck.model import BottleneckModel

        saved = SavedBottleneck(
            bottleneck_size=self.size,
            non_linearity=self.non_linearity,
            placement=self.placement,
            dropout=self.dropout,
        )
        return BottleneckModel(causal_lm, saved)

    def kept_bytes(self, linears: Iterable[LayerLinear], hidden: int, element_bytes: int) -> float:
        """What goes into each bottleneck, and its hidden units."""
        return element_bytes * (2 if self.placement == "houlsby" else 1) * (hidden + self.size)


class SavedBottleneck(SavedConfig):
    """adapter_config.json, in PEFT's style."""

    peft_type: Literal["BOTTLENECK"] = "BOTTLENECK"
    task_type: Literal["CAUSAL_LM"] = "CAUSAL_LM"
    bottleneck_size: Size
    """Hidden units."""
    non_linearity: NonLinearity = "relu"
    placement: Placement = "houlsby"
    """houlsby: after attention and MLP; pfeiffer: after the MLP only."""
    dropout: float = Field(0.0, ge=0, lt=1)

    def load(self, causal_lm: Any, folder: Path, is_trainable: bool = False) -> Any:
        from plait.adapters.methods.bottleneck.model import BottleneckModel

        return BottleneckModel.from_pretrained(causal_lm, folder, is_trainable=is_trainable)

    def updates(self, weights: "Weights", shape: "DecoderShape") -> "AdapterUpdates":
        from plait.adapters.updates import AdapterUpdates, BottleneckWeights, expect

        size, width = self.bottleneck_size, shape.width
        sublayers = ("attention", "mlp") if self.placement == "houlsby" else ("mlp",)
        paths = {"attention": "self_attn.o_proj", "mlp": "mlp"}
        shapes = {"down.weight": (size, width), "down.bias": (size,), "up.weight": (width, size), "up.bias": (width,)}
        left = dict(weights)
        updates = AdapterUpdates()
        for layer in range(shape.layers):
            for sublayer in sublayers:
                own = {}
                for name, wanted in shapes.items():
                    full = f"model.layers.{layer}.{paths[sublayer]}.{name}"
                    own[name] = expect(left.pop(full, None), wanted, full)
                updates.bottlenecks[layer, sublayer] = BottleneckWeights(
                    own["down.weight"], own["down.bias"], own["up.weight"], own["up.bias"], self.non_linearity
                )
        if left:
            raise ValueError(f"it has the unknown weight '{min(left)}'")
        return updates
