"""A decoder for serving: one forward over the tokens of many requests, packed, with their keys and values in blocks.

In: a transformers model of one of `ARCHITECTURES`, whose weights are taken out of it, and `StepInput`s. Out: hidden
states, and from them logits or the likeliest tokens. It fuses what transformers keeps apart (query, key and
value; gate and up), and knows no padding: a step's tokens stand one behind the other, those that go on with one token
first, then the prompts' chunks. It knows neither requests nor what an adapter is.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from plait.engines.torch.fused_layers import FusedLayers, can_fuse
from plait.engines.torch.int8_weight import INT8_BLOCK, Int8Weight
from plait.engines.torch.kernel_linear import Bfloat16Weight, KernelLinear
from plait.engines.torch.kernel_operations import KernelOperations, can_attend
from plait.engines.torch.kernels import kernels
from plait.engines.torch.kv_cache import KeyValues
from plait.engines.torch.layer import Layer, norm_of
from plait.engines.torch.operations import Operations, TorchOperations
from plait.engines.torch.projection import Adaptation, Linear, Projection, Site, TorchLinear
from plait.engines.torch.rotations import Rotations
from plait.engines.torch.step import StepInput
from plait.engines.torch.token_table import KernelTokenTable, TokenTable, TorchTokenTable
from plait.errors import InvalidInput

ARCHITECTURES = {"gemma3_text", "llama", "mistral", "qwen2", "qwen3"}
"""`model_type`s whose layers this decoder computes."""
_LANES = 16


class Decoder:
    """The model.

    Args:
        causal_lm: a transformers causal language model; its weights are taken out of it, and none are left.
        max_positions: longest sequence.
        linear: what its linear layers are computed in: the model's own type, or 8 bits where the CPU can.

    Raises:
        InvalidInput: when its architecture is not one of `ARCHITECTURES`, or 8 bits are not to be had here.
    """

    def __init__(self, causal_lm: Any, max_positions: int, linear: Literal["own", "int8"] = "own") -> None:
        config = causal_lm.config
        if config.model_type not in ARCHITECTURES:
            raise InvalidInput(
                f"The torch engine cannot serve a model of type '{config.model_type}'.",
                f"It serves {', '.join(sorted(ARCHITECTURES))}; use llm.engine=vllm for others.",
            )
        body, head = causal_lm.model, causal_lm.lm_head.weight.detach()
        self.device, self.dtype = body.embed_tokens.weight.device, body.embed_tokens.weight.dtype
        self.width: int = config.hidden_size
        # The kernels compute in bfloat16 on CPUs; everywhere else torch does.
        is_ours = self.device.type == "cpu" and self.dtype == torch.bfloat16 and _has_whole_lanes(config)
        self.kernels = kernels() if is_ours else None
        if linear == "int8" and not (self.kernels and self.kernels.has_int8):
            raise InvalidInput(
                "llm.quantization=int8 needs a CPU with AVX-512 VNNI, bfloat16 and a C compiler.",
                "Use nf4, or none.",
            )

        def make(weight: Tensor, bias: Tensor | None) -> Linear:
            if self.kernels is None:
                return TorchLinear(weight, bias)
            # In 8 bits the kernels compute whole blocks of outputs; the few layers that have none stay in bfloat16.
            is_int8 = linear == "int8" and len(weight) % INT8_BLOCK == 0
            return KernelLinear(self.kernels, Int8Weight(weight) if is_int8 else Bfloat16Weight(weight), bias)

        self._layers = [Layer(layer, index, config, make) for index, layer in enumerate(body.layers)]
        self._final_norm = norm_of(body.norm)
        can_use = self.kernels and all(can_attend(layer.heads) for layer in self._layers)
        self._operations: Operations = KernelOperations(self.kernels) if self.kernels and can_use else TorchOperations()
        self._fused = (
            FusedLayers(self.kernels, self._layers, self._final_norm)
            if self.kernels and can_use and can_fuse(self._layers)
            else None
        )
        self._table: TokenTable = (
            KernelTokenTable(self.kernels, body.embed_tokens, head, linear == "int8")
            if self.kernels
            else TorchTokenTable(body.embed_tokens, head)
        )
        kinds = {layer.kind for layer in self._layers}
        self._rotations = Rotations(body.rotary_emb, kinds, max_positions, self.dtype, self.device)
        self._projections = {site: p for layer in self._layers for site, p in layer.projections.items()}
        # They may be views of the whole file, and the model may live on in a cycle.
        for parameter in causal_lm.parameters():
            parameter.data = parameter.data.new_empty(0)

    @property
    def sites(self) -> list[Site]:
        """Every projection that an adapter may change."""
        return list(self._projections)

    @property
    def layers(self) -> int:
        return len(self._layers)

    @property
    def windows(self) -> set[int | None]:
        """Positions that a token reads, its own among them, in some of the layers; None: all."""
        return {layer.window for layer in self._layers}

    @property
    def kv_heads(self) -> int:
        return self._layers[0].heads.keys

    @property
    def head_dim(self) -> int:
        return self._layers[0].heads.dim

    def projection(self, site: Site) -> Projection:
        return self._projections[site]

    def key_values(self, blocks: int, block_size: int) -> KeyValues:
        """An empty cache for this model."""
        return KeyValues.empty(
            len(self._layers), blocks, block_size, self.kv_heads, self.head_dim, self.dtype, self.device
        )

    @torch.inference_mode()
    def forward(self, step: StepInput, cache: KeyValues, adaptation: Adaptation | None = None) -> Tensor:
        """Hidden states [t, d] of the packed tokens; the cache gets their keys and values.

        A token whose keys or values are not finite has a hidden state that is not: it reads them itself.
        """
        rotations = self._rotations.at(step.positions)
        hidden = self._table.embed(step.tokens)
        gathered = adaptation.gathered_only if adaptation else None
        if self._fused is not None and (adaptation is None or gathered is not None):
            return self._fused(hidden, step, rotations, cache, gathered)
        return self._forward(hidden, step, rotations, cache, adaptation)

    def _forward(
        self,
        hidden: Tensor,
        step: StepInput,
        rotations: Mapping[str | None, tuple[Tensor, Tensor]],
        cache: KeyValues,
        adaptation: Adaptation | None,
    ) -> Tensor:
        """Layer by layer, as `FusedLayers` does it at once."""
        operations = self._operations
        following = [*(layer.before_attention for layer in self._layers), self._final_norm]
        normed = operations.norm(hidden, following[0])
        for layer, (_, after) in zip(self._layers, pairwise(following), strict=True):
            output = layer.attention(normed, operations, step, rotations[layer.kind], cache, adaptation)
            normed = operations.add_and_norm(hidden, output, layer.after_attention, layer.before_mlp)
            output = layer.feed_forward(normed, operations, adaptation)
            normed = operations.add_and_norm(hidden, output, layer.after_mlp, after)
        return normed

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """[r, v] of hidden states [r, d]."""
        if not len(hidden):
            return torch.empty(0, self._table.size, dtype=self.dtype, device=self.device)
        return self._table.logits(hidden)

    @torch.inference_mode()
    def likeliest(self, hidden: Tensor) -> Tensor:
        """[r] the tokens of the largest logits, of equal ones the first; -1 where the largest is not finite."""
        return self._table.likeliest(hidden)


def _has_whole_lanes(config: Any) -> bool:
    """Whether all widths are multiples of what a register of the kernels holds."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return all(width % _LANES == 0 for width in (config.hidden_size, config.intermediate_size, head_dim))
