"""The model that is trained: a frozen base, an adapter on it, and the way from tokens to a loss.

In: a base model's folder and a recipe. Out: an `AdapterModel` whose `loss` runs the body and the chunked head. It knows
nothing of optimisers, steps or Ray.
"""

from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from plait.errors import InvalidInput
from plait.jobs.train.batches import Batch
from plait.jobs.train.loss import IGNORED, linear_cross_entropy
from plait.models.load import load_causal_lm
from plait.recipes import AdapterConfig, ModelConfig


class AdapterModel:
    """A PEFT model with its base's body and output head taken apart."""

    def __init__(self, peft_model: Any) -> None:
        self.peft_model = peft_model
        causal_lm = peft_model.get_base_model()
        self._body = causal_lm.base_model
        head = causal_lm.get_output_embeddings()
        scaled = [
            key
            for key in ("final_logit_softcapping", "logit_scale")
            if getattr(causal_lm.config, key, None) is not None
        ]
        if scaled or head is None or head.bias is not None:
            raise InvalidInput(
                f"The head of {type(causal_lm).__name__} is not a plain linear layer ({', '.join(scaled) or 'bias'}).",
                "Plait trains models whose logits are hidden @ weight.T; choose another base model.",
            )
        self._head: nn.Linear = head

    @classmethod
    def new(cls, base: Path, model: ModelConfig, adapter: AdapterConfig) -> Self:
        """A fresh adapter on a base model.

        Raises:
            InvalidInput: when the base model has no such target modules.
        """
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.alpha,
            lora_dropout=adapter.dropout,
            target_modules=adapter.target_modules,
            task_type="CAUSAL_LM",
        )
        causal_lm = load_causal_lm(base, model.dtype, model.quantization)
        try:
            return cls(get_peft_model(causal_lm, config))
        except ValueError as error:
            raise InvalidInput(
                f"The adapter does not fit the base model ({str(error).splitlines()[0]}).",
                "Set adapter.target_modules to modules of this model, or all-linear.",
            ) from error

    @classmethod
    def resume(cls, base: Path, model: ModelConfig, checkpoint: Path) -> Self:
        """The adapter of a checkpoint, trainable, on its base model."""
        from peft import PeftModel

        causal_lm = load_causal_lm(base, model.dtype, model.quantization)
        return cls(PeftModel.from_pretrained(causal_lm, checkpoint, is_trainable=True))

    @property
    def device(self) -> Any:
        return self._head.weight.device

    def trainable_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.peft_model.parameters() if p.requires_grad]

    def loss(self, batch: Batch) -> Tensor:
        """Sum of the next-token cross-entropy over the labelled positions of a batch, a scalar."""
        hidden = self._body(
            input_ids=batch.input_ids.to(self.device),
            attention_mask=batch.attention_mask.to(self.device),
            use_cache=False,
        ).last_hidden_state
        # Position t predicts token t + 1.
        labels = batch.labels[:, 1:].to(self.device)
        return linear_cross_entropy(hidden[:, :-1].flatten(0, 1), self._head.weight, labels.flatten())


def count_labels(batch: Batch) -> int:
    """Positions of a batch that carry a loss."""
    return int((batch.labels[:, 1:] != IGNORED).sum())
