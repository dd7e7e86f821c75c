"""The model that is trained: a base, an adapter on it (or none), and the way from tokens to losses.

In: a base model's folder and a recipe. Out: a `Trainable`, whose body and output head are taken apart, so that the head
can work in chunks. It knows nothing of objectives, optimisers, steps or Ray.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from plait.adapters.methods.saved_config import load_adapter
from plait.errors import InvalidInput
from plait.jobs.train.batches import Batch
from plait.jobs.train.kernels.attention import use_short_row_attention
from plait.jobs.train.kernels.lora import fuse_lora
from plait.jobs.train.kernels.mlp import fuse_gated_mlps
from plait.jobs.train.kernels.norm import fuse_norms
from plait.jobs.train.kl import LossesBesideBase, Weights, linear_losses_beside_base
from plait.jobs.train.loss import linear_cross_entropy, linear_log_probs
from plait.models.load import load_causal_lm
from plait.recipes import TrainRecipe

# Longer rows would make attention's weights, which grow with the square of a row, outweigh all else.
_SHORT_ROW = 1024


class Trainable(nn.Module):
    """A causal language model as `training` sees it: token losses, trained weights, files.

    Args:
        causal_lm: the base model, which the adapter's modules are part of.
        adapter: the adapter on it, of PEFT or with its surface; None: all weights are trained.
        is_prefix: the adapter is keys and values before the first token.
    """

    adapter: Any

    def __init__(self, causal_lm: Any, adapter: Any | None, is_prefix: bool = False) -> None:
        super().__init__()
        self.causal_lm = causal_lm
        # Not a submodule: it holds causal_lm, whose weights must be registered once.
        self.__dict__["adapter"] = adapter
        self._is_prefix = is_prefix
        self._is_adapter_off = False
        self.head = _Head(causal_lm)

    @classmethod
    def new(cls, base: Path, recipe: TrainRecipe, start_from: Path | None = None) -> Self:
        """A base model with a fresh adapter, or with the one (or the whole model) in the folder `start_from`.

        Raises:
            InvalidInput: when adapter and base model do not fit.
        """
        config = recipe.adapter
        causal_lm = load_causal_lm(
            start_from if config.trains_base and start_from else base,
            recipe.model.dtype,
            recipe.model.quantization,
            double_quantization=recipe.model.double_quantization,
        )
        _keep_4bit_layout(causal_lm)
        if causal_lm.device.type == "cpu" and recipe.data.max_tokens <= _SHORT_ROW:
            use_short_row_attention(causal_lm)
        if recipe.train.gradient_checkpointing:
            causal_lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if start_from is not None and not config.trains_base:
            adapter = load_adapter(causal_lm, start_from, is_trainable=True)
        else:
            adapter = config.new_adapter(causal_lm)
        if adapter is None:
            return cls(causal_lm, None)
        fuse_lora(causal_lm)
        fuse_gated_mlps(causal_lm)
        fuse_norms(causal_lm)
        return cls(causal_lm, adapter, is_prefix=config.prefix_tokens > 0)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.causal_lm.device
        return device

    @property
    def trained(self) -> Any:
        """The module that holds what is trained and saved: the adapter's, or the whole model."""
        return self.causal_lm if self.adapter is None else self.adapter

    def trained_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.trained.parameters() if p.requires_grad]

    def train(self, mode: bool = True) -> Self:
        self.trained.train(mode)
        return super().train(mode)

    def adapter_off(self) -> AbstractContextManager[None]:
        """The base model alone, while the block runs."""
        if self.adapter is None:
            return nullcontext()
        return _PrefixOff(self) if self._is_prefix else self.adapter.disable_adapter()

    def forward(self, batch: Batch, per_token: bool = False) -> Tensor:
        """Cross-entropy of the labels of a batch.

        Args:
            batch: rows of tokens.
            per_token: give the log-probability of every label, float32 [b, t - 1] (0 where there is none), instead of
                the sum of the losses, a float32 scalar.
        """
        hidden = self._body(batch).last_hidden_state
        # Position t predicts token t + 1.
        labels = batch.labels[:, 1:].to(self.device)
        found: Tensor = self.head(hidden[:, :-1].flatten(0, 1), labels.flatten(), per_token)
        return found.view(labels.shape) if per_token else found

    def losses_beside_base(self, batch: Batch, weights: Weights) -> LossesBesideBase:
        """Cross-entropy of the labels of a batch, and KL(base ‖ model) at the same positions.

        The base is the same weights with the adapter off, so there must be an adapter.
        """
        with torch.no_grad(), self.adapter_off():
            base_hidden = self._body(batch).last_hidden_state[:, :-1].flatten(0, 1)
        hidden = self._body(batch).last_hidden_state[:, :-1].flatten(0, 1)
        labels = batch.labels[:, 1:].to(self.device).flatten()
        return linear_losses_beside_base(hidden, base_hidden, self.head.weight, labels, weights)

    def _body(self, batch: Batch) -> Any:
        input_ids = batch.input_ids.to(self.device)
        if self._is_prefix and not self._is_adapter_off:
            prefix = self.adapter.get_prompt(batch_size=len(input_ids))
            length = prefix.get_seq_length()
            seen = torch.cat([batch.token_mask.new_ones(len(input_ids), length), batch.token_mask], dim=1)
            # Positions go on after the prefix, as they do when PEFT generates.
            positions = batch.position_ids.to(self.device) + length
            return self.causal_lm.base_model(
                input_ids=input_ids,
                attention_mask=seen.to(self.device),
                position_ids=positions,
                past_key_values=prefix,
                use_cache=True,
            )
        # Without a mask, transformers sees from positions that start again where one example ends, and lets no
        # position attend across.
        return self.causal_lm.base_model(
            input_ids=input_ids, position_ids=batch.position_ids.to(self.device), use_cache=False
        )

    @torch.no_grad()
    def generate(self, prompts: Sequence[Sequence[int]], max_tokens: int, pad_id: int) -> list[list[int]]:
        """The likeliest continuation of every prompt, token ids, ended by the model or after `max_tokens`."""
        longest = max(map(len, prompts))
        padded = torch.tensor([[pad_id] * (longest - len(p)) + list(p) for p in prompts], device=self.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self.device)
        model = self.causal_lm if self._is_adapter_off else self.trained
        answers = model.generate(
            input_ids=padded, attention_mask=mask, max_new_tokens=max_tokens, do_sample=False, pad_token_id=pad_id
        )
        return [answer[longest:].tolist() for answer in answers]

    def save(self, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write the adapter's files; or, of a whole model, config and weights.

        Args:
            folder: where to.
            weights: this module's state, where its own weights are divided among workers.
        """
        if weights is None:
            self.trained.save_pretrained(folder)
        else:
            prefix = "causal_lm."
            own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            self.causal_lm.save_pretrained(folder, state_dict=own)


def _keep_4bit_layout(causal_lm: Any) -> None:
    """On a CPU, bitsandbytes lays 4-bit weights out anew at the first evaluation; that layout has no backward pass."""
    for module in causal_lm.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


class _PrefixOff:
    """PEFT cannot switch a prefix off for a body that is called directly."""

    def __init__(self, model: Trainable) -> None:
        self._model = model

    def __enter__(self) -> None:
        self._model._is_adapter_off = True

    def __exit__(self, *_: object) -> None:
        self._model._is_adapter_off = False


class _Head(nn.Module):
    """The output head, applied only as part of a loss. A module of its own, for ZeRO-3 gathers a module's weights when
    it is called."""

    def __init__(self, causal_lm: Any) -> None:
        super().__init__()
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
        self.weight = head.weight

    def forward(self, hidden: Tensor, labels: Tensor, per_token: bool) -> Tensor:
        return (linear_log_probs if per_token else linear_cross_entropy)(hidden, self.weight, labels)
