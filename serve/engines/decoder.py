"""A decoder for serving: one forward over the tokens of many requests, packed, with their keys and values in blocks.

In: a transformers model of one of `ARCHITECTURES` (its weights are taken over, not copied twice) and `StepInput`s. Out:
logits. It fuses what transformers keeps apart (query, key and value; gate and up), and knows no padding: a step's
tokens stand one behind the other, those that go on with one token first, then the prompts' chunks. It knows neither
requests nor what an adapter is: an `Adaptation` may change the input and output of every projection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plait.errors import InvalidInput
from plait.serve.engines.kv_cache import KeyValues
from plait.serve.engines.packed_linear import PackedLinear
from plait.serve.engines.step import StepInput

ARCHITECTURES = {"gemma3_text", "llama", "mistral", "qwen2", "qwen3"}
"""`model_type`s whose layers this decoder computes."""


@dataclass(frozen=True)
class Site:
    """A place in a layer where a projection, perhaps of several modules that share their input, is computed."""

    layer: int
    modules: tuple[str, ...]
    """Names below the layer, such as `self_attn.q_proj`, in the order of their outputs."""


class Adaptation(Protocol):
    """What adapters do to the projections of a step. Rows are the step's packed tokens."""

    def before(self, site: Site, hidden: Tensor) -> Tensor:
        """The input [t, in] of a site's projection."""
        ...

    def after(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        """The output [t, out] of a site's projection, given its unchanged input."""
        ...

    def around(self, layer: int, sublayer: str, output: Tensor) -> Tensor:
        """The output [t, d] of a whole sublayer, `attention` or `mlp`."""
        ...


class Decoder:
    """The model.

    Args:
        causal_lm: a transformers causal language model; its linear layers are taken out of it.
        max_positions: longest sequence.

    Raises:
        InvalidInput: when its architecture is not one of `ARCHITECTURES`.
    """

    def __init__(self, causal_lm: Any, max_positions: int) -> None:
        config = causal_lm.config
        if config.model_type not in ARCHITECTURES:
            raise InvalidInput(
                f"The torch engine cannot serve a model of type '{config.model_type}'.",
                f"It serves {', '.join(sorted(ARCHITECTURES))}; use llm.engine=vllm for others.",
            )
        body = causal_lm.model
        self.device, self.dtype = body.embed_tokens.weight.device, body.embed_tokens.weight.dtype
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.head_dim: int = body.layers[0].self_attn.head_dim
        self.width: int = config.hidden_size
        self.vocabulary: int = causal_lm.lm_head.weight.shape[0]
        self._embed = body.embed_tokens
        self._head = PackedLinear(causal_lm.lm_head.weight.detach())
        self._layers = [_Layer(layer, index, config, self) for index, layer in enumerate(body.layers)]
        self._norm = _norm(body.norm)
        self._rotations = _rotations(body.rotary_emb, self._layers, max_positions, self.dtype, self.device)

    @property
    def windows(self) -> set[int | None]:
        """The attention windows of the layers, in tokens; None reads everything."""
        return {layer.window for layer in self._layers}

    @property
    def sites(self) -> list[Site]:
        """Every projection that an adapter may change."""
        return [site for layer in self._layers for site in layer.sites]

    @property
    def layers(self) -> int:
        return len(self._layers)

    def bounds(self, site: Site, module: str) -> tuple[int, int, int]:
        """Where in a site's output a module's begins and ends, and the width of its input."""
        return self._layers[site.layer].projection(site).bounds[module]

    def has_bias(self, site: Site) -> bool:
        return self._layers[site.layer].projection(site).has_bias

    def weight(self, site: Site) -> Tensor:
        """The weight [out, in] of a site's projection, in the type that it computes in."""
        return self._layers[site.layer].projection(site).dense_weight()

    def key_values(self, blocks: int, block_size: int) -> KeyValues:
        """An empty cache for this model."""
        shape = (blocks, block_size, self.kv_heads, self.head_dim)
        return KeyValues(
            [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self._layers],
            [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self._layers],
        )

    @torch.inference_mode()
    def forward(self, step: StepInput, cache: KeyValues, adaptation: Adaptation | None = None) -> Tensor:
        """Logits [r, v] of the wanted tokens; the cache gets the keys and values of all of them."""
        hidden = self._embed(step.tokens)
        rotations = {kind: (cos[step.positions], sin[step.positions]) for kind, (cos, sin) in self._rotations.items()}
        for layer in self._layers:
            hidden = layer.forward(hidden, step, rotations[layer.kind], cache, adaptation)
        if not len(step.wanted):
            return torch.empty(0, self.vocabulary, dtype=self.dtype, device=self.device)
        return self._head(self._norm(hidden[step.wanted]))


class _Layer:
    """One decoder layer."""

    def __init__(self, layer: Any, index: int, config: Any, decoder: Decoder) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._index = index
        self.kind: str | None = getattr(attention, "layer_type", None)
        self.window: int | None = _window(attention, config)
        self._heads, self._kv_heads, self._head_dim = decoder.heads, decoder.kv_heads, decoder.head_dim
        self._scaling: float = attention.scaling
        self._activate = mlp.act_fn
        self._qkv = _Projection(attention, index, "self_attn", ("q_proj", "k_proj", "v_proj"))
        self._out = _Projection(attention, index, "self_attn", ("o_proj",))
        self._gate_up = _Projection(mlp, index, "mlp", ("gate_proj", "up_proj"))
        self._down = _Projection(mlp, index, "mlp", ("down_proj",))
        self._norm_qk = _norm_of_heads(attention, decoder.heads, decoder.kv_heads)
        self._before_attention = _norm(layer.input_layernorm)
        if hasattr(layer, "pre_feedforward_layernorm"):  # Gemma norms what comes out of a sublayer, too
            self._after_attention: _RMSNorm | None = _norm(layer.post_attention_layernorm)
            self._before_mlp = _norm(layer.pre_feedforward_layernorm)
            self._after_mlp: _RMSNorm | None = _norm(layer.post_feedforward_layernorm)
        else:
            self._after_attention, self._after_mlp = None, None
            self._before_mlp = _norm(layer.post_attention_layernorm)

    @property
    def sites(self) -> list[Site]:
        return [p.site for p in (self._qkv, self._out, self._gate_up, self._down)]

    def projection(self, site: Site) -> "_Projection":
        return next(p for p in (self._qkv, self._out, self._gate_up, self._down) if p.site == site)

    def forward(
        self,
        hidden: Tensor,
        step: StepInput,
        rotation: tuple[Tensor, Tensor],
        cache: KeyValues,
        adaptation: Adaptation | None,
    ) -> Tensor:
        output = self._attend(self._before_attention(hidden), step, rotation, cache, adaptation)
        if adaptation is not None:
            output = adaptation.around(self._index, "attention", output)
        hidden = hidden + (output if self._after_attention is None else self._after_attention(output))
        gate, up = self._gate_up(self._before_mlp(hidden), adaptation).chunk(2, dim=-1)
        output = self._down(self._activate(gate) * up, adaptation)
        if adaptation is not None:
            output = adaptation.around(self._index, "mlp", output)
        return hidden + (output if self._after_mlp is None else self._after_mlp(output))

    def _attend(
        self,
        hidden: Tensor,
        step: StepInput,
        rotation: tuple[Tensor, Tensor],
        cache: KeyValues,
        adaptation: Adaptation | None,
    ) -> Tensor:
        qkv = self._qkv(hidden, adaptation).unflatten(-1, (self._heads + 2 * self._kv_heads, self._head_dim))
        queries_keys, values = qkv.split([self._heads + self._kv_heads, self._kv_heads], dim=1)
        if self._norm_qk is not None:
            queries_keys = self._norm_qk(queries_keys)
        cos, sin = rotation
        queries_keys = queries_keys * cos + queries_keys.roll(self._head_dim // 2, dims=-1) * sin
        queries, keys = queries_keys.split([self._heads, self._kv_heads], dim=1)
        cache.write(self._index, step.slots, keys, values)
        # Queries that share a head of keys and values stand behind each other, as if they were more positions.
        grouped = queries.unflatten(1, (self._kv_heads, -1))  # [t, kv heads, group, head dim]
        mixed = torch.empty_like(grouped)
        if step.singles:
            keys, values = cache.read(self._index, step.single_reach[self.window].blocks)
            mixed[: step.singles] = F.scaled_dot_product_attention(
                grouped[: step.singles],
                keys,
                values,
                attn_mask=step.single_reach[self.window].mask,
                scale=self._scaling,
            )
        for (first, end), reach in zip(step.chunks, step.chunk_reach, strict=True):
            keys, values = cache.read(self._index, reach[self.window].blocks)
            asked = grouped[first:end].permute(1, 2, 0, 3)  # [kv heads, group, chunk, head dim]
            mixed[first:end] = F.scaled_dot_product_attention(
                asked,
                keys.transpose(0, 1).expand(-1, asked.shape[1], -1, -1),
                values.transpose(0, 1).expand(-1, asked.shape[1], -1, -1),
                attn_mask=reach[self.window].mask,
                scale=self._scaling,
            ).permute(2, 0, 1, 3)
        return self._out(mixed.flatten(1), adaptation)


class _Projection:
    """Linear modules that share their input, as one: their weights stacked where they are plain, else one by one."""

    def __init__(self, parent: Any, layer: int, prefix: str, names: Sequence[str]) -> None:
        modules = [getattr(parent, name) for name in names]
        self.site = Site(layer, tuple(f"{prefix}.{name}" for name in names))
        ends = list(accumulate(module.out_features for module in modules))
        self.bounds: dict[str, tuple[int, int, int]] = {
            name: (end - module.out_features, end, module.in_features)
            for name, module, end in zip(self.site.modules, modules, ends, strict=True)
        }
        self.has_bias = any(module.bias is not None for module in modules)
        self._modules: list[Any] = []
        self._linear: PackedLinear | None = None
        if all(type(module) is nn.Linear for module in modules):
            self._linear = PackedLinear(
                torch.cat([module.weight.detach() for module in modules]),
                torch.cat([module.bias.detach() for module in modules]) if self.has_bias else None,
            )
        else:
            self._modules = modules
        for name in names:
            setattr(parent, name, None)  # what was stacked must not stay in memory twice

    def __call__(self, hidden: Tensor, adaptation: Adaptation | None) -> Tensor:
        if adaptation is None:
            return self._base(hidden)
        changed = adaptation.before(self.site, hidden)
        return adaptation.after(self.site, hidden, self._base(changed))

    def _base(self, hidden: Tensor) -> Tensor:
        if self._linear is not None:
            return self._linear(hidden)
        outputs = [module(hidden) for module in self._modules]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)

    def dense_weight(self) -> Tensor:
        if self._linear is not None:
            return self._linear.dense()
        from bitsandbytes.functional import dequantize_4bit

        return torch.cat([dequantize_4bit(module.weight, module.weight.quant_state) for module in self._modules])


class _RMSNorm:
    """Root mean square norm (Zhang and Sennrich 2019, arXiv:1910.07467) of the last axis, in float32."""

    def __init__(self, weight: Tensor, epsilon: float) -> None:
        self._weight, self._epsilon = weight, epsilon

    def __call__(self, hidden: Tensor) -> Tensor:
        exact = hidden.float()
        scale = exact.square().mean(-1, keepdim=True).add_(self._epsilon).rsqrt_()
        return (exact * scale).mul_(self._weight).to(hidden.dtype)


def _norm(module: Any) -> _RMSNorm:
    return _RMSNorm(_norm_weight(module), _epsilon(module))


def _norm_weight(module: Any) -> Tensor:
    """The factors of a transformers norm; Gemma's are kept as differences from one."""
    weight: Tensor = module.weight.detach().float()
    return weight + 1 if type(module).__name__.startswith("Gemma") else weight


def _epsilon(module: Any) -> float:
    return float(module.eps if hasattr(module, "eps") else module.variance_epsilon)


def _norm_of_heads(attention: Any, heads: int, kv_heads: int) -> _RMSNorm | None:
    """One norm for the heads of queries and keys, [heads + kv_heads, head_dim], where the model has them."""
    if getattr(attention, "q_norm", None) is None:
        return None
    weight = torch.cat(
        [_norm_weight(attention.q_norm).expand(heads, -1), _norm_weight(attention.k_norm).expand(kv_heads, -1)]
    )
    return _RMSNorm(weight, _epsilon(attention.q_norm))


def _window(attention: Any, config: Any) -> int | None:
    window: int | None = (
        attention.sliding_window if hasattr(attention, "sliding_window") else getattr(config, "sliding_window", None)
    )
    return window


def _rotations(
    rotary: Any, layers: Sequence[_Layer], max_positions: int, dtype: torch.dtype, device: torch.device
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
