"""A decoder for serving: one forward over the tokens of many requests, packed, with their keys and values in blocks.

In: a transformers model of one of `ARCHITECTURES` (its weights are taken over, not copied twice) and `StepInput`s. Out:
hidden states, and from them logits or the likeliest tokens. It fuses what transformers keeps apart (query, key and
value; gate and up), and knows no padding: a step's tokens stand one behind the other, those that go on with one token
first, then the prompts' chunks. It knows neither requests nor what an adapter is.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from plait.errors import InvalidInput
from plait.serve.engines.int8_linear import Int8Linear, LikeliestToken
from plait.serve.engines.kernel_operations import KernelOperations
from plait.serve.engines.kernels import Kernels, kernels
from plait.serve.engines.kv_cache import KeyValues
from plait.serve.engines.layer import Layer, norm_of
from plait.serve.engines.operations import Operations, TorchOperations
from plait.serve.engines.packed_linear import PackedLinear
from plait.serve.engines.projection import Adaptation, Linear, Projection, Site
from plait.serve.engines.sampling import largest
from plait.serve.engines.step import StepInput

ARCHITECTURES = {"gemma3_text", "llama", "mistral", "qwen2", "qwen3"}
"""`model_type`s whose layers this decoder computes."""


class Decoder:
    """The model.

    Args:
        causal_lm: a transformers causal language model; its linear layers are taken out of it.
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
        self.vocabulary: int = len(head)
        # The kernels compute in bfloat16 on CPUs; everywhere else torch does.
        self.kernels = kernels() if self.device.type == "cpu" and self.dtype == torch.bfloat16 else None
        int8 = self.kernels if self.kernels and self.kernels.has_int8 and self.width % 4 == 0 else None
        if linear == "int8" and int8 is None:
            raise InvalidInput(
                "llm.quantization=int8 needs a CPU with AVX-512 VNNI, bfloat16 and a C compiler.",
                "Use nf4, or none.",
            )

        def make(weight: Tensor, bias: Tensor | None) -> Linear:
            return Int8Linear(int8, weight, bias) if linear == "int8" and int8 else PackedLinear(weight, bias)

        self._embed = body.embed_tokens
        self._layers = [Layer(layer, index, config, make) for index, layer in enumerate(body.layers)]
        self._final_norm = norm_of(body.norm)
        self._operations = _operations(self.kernels, self._layers)
        self._head = make(head, None)
        self._likeliest = LikeliestToken(int8, head) if int8 else None
        self._rotations = _rotations(body.rotary_emb, self._layers, max_positions, self.dtype, self.device)
        self._projections = {site: p for layer in self._layers for site, p in layer.projections.items()}

    @property
    def windows(self) -> set[int | None]:
        """The attention windows of the layers, in tokens; None reads everything."""
        return {layer.window for layer in self._layers}

    @property
    def sites(self) -> list[Site]:
        """Every projection that an adapter may change."""
        return list(self._projections)

    @property
    def layers(self) -> int:
        return len(self._layers)

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
        shape = (blocks, block_size, self.kv_heads, self.head_dim)
        return KeyValues(
            [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self._layers],
            [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self._layers],
        )

    @torch.inference_mode()
    def forward(self, step: StepInput, cache: KeyValues, adaptation: Adaptation | None = None) -> Tensor:
        """Hidden states [r, d] of the wanted tokens; the cache gets the keys and values of all of them."""
        operations = self._operations
        rotations = {kind: (cos[step.positions], sin[step.positions]) for kind, (cos, sin) in self._rotations.items()}
        hidden = self._embed(step.tokens)
        following = [*(layer.before_attention for layer in self._layers), self._final_norm]
        normed = operations.norm(hidden, following[0])
        for layer, (_, after) in zip(self._layers, pairwise(following), strict=True):
            output = layer.attention(normed, operations, step, rotations[layer.kind], cache, adaptation)
            normed = operations.add_and_norm(hidden, output, layer.after_attention, layer.before_mlp)
            output = layer.feed_forward(normed, operations, adaptation)
            normed = operations.add_and_norm(hidden, output, layer.after_mlp, after)
        return normed[step.wanted]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """[r, v] of hidden states [r, d]."""
        if not len(hidden):
            return torch.empty(0, self.vocabulary, dtype=self.dtype, device=self.device)
        return self._head(hidden)

    @torch.inference_mode()
    def likeliest(self, hidden: Tensor) -> Tensor:
        """[r] the tokens of the largest logits, of equal ones the first."""
        if self._likeliest is None or not len(hidden):
            return largest(self.logits(hidden))
        return self._likeliest(hidden)


def _operations(own: Kernels | None, layers: Sequence[Layer]) -> Operations:
    if own and all(KernelOperations.can_attend(layer.heads) for layer in layers):
        return KernelOperations(own)
    return TorchOperations()


def _rotations(
    rotary: Any, layers: Sequence[Layer], max_positions: int, dtype: torch.dtype, device: torch.device
) -> dict[str | None, tuple[Tensor, Tensor]]:
    """Tables [positions, 1, head_dim] of cosine and sine by kind of layer (Su et al. 2021, RoPE, arXiv:2104.09864).

    The sine's first half is negative, so that x * cos + roll(x) * sin rotates.
    """
    probe = torch.empty(0, dtype=torch.float32, device=device)
    positions = torch.arange(max_positions, device=device)[None]
    tables: dict[str | None, tuple[Tensor, Tensor]] = {}
    by_kind = hasattr(rotary, "layer_types")
    for kind in {layer.kind for layer in layers}:
        cos, sin = rotary(probe, positions, kind) if by_kind else rotary(probe, positions)
        half = sin.shape[-1] // 2
        signed = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        tables[kind] = (cos[0, :, None].to(dtype), signed[0, :, None].to(dtype))
    return tables
