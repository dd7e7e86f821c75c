"""What a method says of itself to training and planning, and the registry of methods.

In: a recipe section and a saved configuration for each method. Out: the sections that a train recipe may hold. What an
adapter's folder says to engines stands in `saved_config`. It imports nothing that computes: recipes are made of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from plait.adapters.methods.saved_config import SavedConfig, register_saved
from plait.section import Section
from plait.variants import Variants


@dataclass(frozen=True)
class LayerLinear:
    """A linear layer inside every decoder layer; `name` as in "self_attn.q_proj"."""

    name: str
    inputs: int
    outputs: int

    @property
    def leaf(self) -> str:
        return self.name.rpartition(".")[2]


class MethodConfig(Section, ABC):
    """The `adapter` section of a train recipe. Each method has a subclass, whose Literal `method` is its name."""

    trains_base: ClassVar[bool] = False
    """Whether it trains the base model's own weights; it then makes a whole model and no adapter."""

    method: str

    @abstractmethod
    def new_adapter(self, causal_lm: Any) -> Any:
        """A fresh, trainable adapter, of PEFT or with its surface, on `causal_lm`, whose own weights it freezes.

        None where the method trains the base model.

        Raises:
            InvalidInput: when the base model has no such target modules.
        """

    @property
    def prefix_tokens(self) -> int:
        """How many trained keys and values stand before the first token. 0: there is no prefix."""
        return 0

    def has_fused_lora(self, linear: LayerLinear) -> bool:
        """Whether jobs/train/kernels/lora.py computes this layer; it then keeps the input, in the compute type."""
        return False

    def kept_bytes(self, linears: Iterable[LayerLinear], hidden: int, element_bytes: int) -> float:
        """Bytes that the adapter keeps of every token in one decoder layer until the backward pass.

        Args:
            linears: of the decoder layer.
            hidden: the model's width.
            element_bytes: of the type that the model computes in.
        """
        return 0

    @property
    def worker_bytes(self) -> float:
        """Memory that the method takes on a CPU beside all tensors that can be counted. Measured."""
        return 0


METHODS: Variants[MethodConfig] = Variants("method", default="lora", registered_in="plait.adapters.methods")


def register_method(recipe: type[MethodConfig], saved: type[SavedConfig] | None) -> None:
    """Add a method to those that can be trained and, where it saves adapters, to those that can be served.

    Args:
        recipe: the `adapter` section of a train recipe.
        saved: adapter_config.json of the method's folders. None: the method makes whole models.

    Raises:
        ValueError: when another method has its name.
    """
    METHODS.register(recipe)
    if saved is not None:
        register_saved(saved)
