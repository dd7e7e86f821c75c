"""Prefix tuning (Li and Liang 2021, arXiv:2101.00190): trained keys and values before every layer's own, by PEFT."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from plait.adapters.methods.method import MethodConfig
from plait.adapters.methods.peft_models import new_peft_adapter
from plait.adapters.methods.saved_config import SavedConfig, Size

if TYPE_CHECKING:
    from plait.adapters.updates import AdapterUpdates, DecoderShape, Weights


class PrefixConfig(MethodConfig):
    """Trained keys and values before every layer's own (Li & Liang 2021, arXiv:2101.00190)."""

    method: Literal["prefix"]
    virtual_tokens: int = Field(16, ge=1, le=1024, description="Length of the prefix.")

    @property
    def prefix_tokens(self) -> int:
        return self.virtual_tokens

    def new_adapter(self, causal_lm: Any) -> Any:
        import peft

        config = peft.PrefixTuningConfig(num_virtual_tokens=self.virtual_tokens, task_type="CAUSAL_LM")
        return new_peft_adapter(causal_lm, config)


class PeftPrefix(SavedConfig):
    """Prefix tuning's adapter_config.json."""

    peft_type: Literal["PREFIX_TUNING"]
    num_virtual_tokens: Size

    def updates(self, weights: "Weights", shape: "DecoderShape") -> "AdapterUpdates":
        from plait.adapters.updates import AdapterUpdates, expect

        count, heads, width = self.num_virtual_tokens, shape.kv_heads, shape.head_dim
        wanted = (count, shape.layers * 2 * heads * width)
        values = expect(weights.get("prompt_embeddings"), wanted, "prompt_embeddings")
        # PEFT lays them out as [virtual tokens, layers * 2, kv heads, head dim].
        prefix = values.view(count, shape.layers, 2, heads, width).permute(1, 2, 0, 3, 4)
        return AdapterUpdates(prefix=prefix.contiguous())
