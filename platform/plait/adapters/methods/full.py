"""Full fine-tuning: a method among the others that trains every weight, and makes a model instead of an adapter."""

from typing import Any, ClassVar, Literal

from plait.adapters.methods.method import MethodConfig


class FullConfig(MethodConfig):
    """Every weight is trained; there is no adapter."""

    trains_base: ClassVar[bool] = True

    method: Literal["full"]

    def new_adapter(self, causal_lm: Any) -> None:
        causal_lm.requires_grad_()
