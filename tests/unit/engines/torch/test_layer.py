"""One decoder layer against transformers' own, sublayer by sublayer."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from plait.engines.torch.kv_cache import KeyValues
from plait.engines.torch.layer import Layer
from plait.engines.torch.operations import TorchOperations
from plait.engines.torch.projection import Adaptation, GatheredRows, Site, TorchLinear
from plait.engines.torch.step import Span, StepInput, pack
from plait.errors import InvalidInput

WIDTH, TOKENS, BLOCK, WINDOW = 32, 9, 4, 4
CPU = torch.device("cpu")
SHAPE: dict[str, Any] = {
    "vocab_size": 17,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "attn_implementation": "eager",
}
KINDS: dict[str, Any] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),  # with biases
    "gemma3": lambda: Gemma3ForCausalLM(  # with norms of heads, and a window
        Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=WINDOW, layer_types=["sliding_attention"])
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = KINDS[request.param]().eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" in name or name.endswith("bias"):  # as made, they would change nothing
                parameter.normal_(std=0.5)
    return made


def layer_of(model: Any) -> Layer:
    return Layer(deepcopy(model.model.layers[0]), 0, model.config, TorchLinear)


@pytest.fixture
def normed() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(TOKENS, WIDTH)


def rotation(model: Any, normed: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [1, t, dim] as transformers has them."""
    positions, kind = torch.arange(TOKENS)[None], getattr(model.model.layers[0].self_attn, "layer_type", None)
    made = model.model.rotary_emb(
        normed[None], positions, *([kind] if kind and model.config.model_type.startswith("gemma") else [])
    )
    return made[0], made[1]


def signed(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """The same [t, 1, dim] as operations read them."""
    half = sin.shape[-1] // 2
    return cos[0, :, None], torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)[:, None]


def steps(sizes: list[int]) -> list[StepInput]:
    """A sequence cut into steps."""
    made, start = [], 0
    for size in sizes:
        made.append(pack([Span([0] * size, start, [2, 0, 1], is_wanted=True)], BLOCK, torch.float32, CPU))
        start += size
    return made


@pytest.mark.parametrize("sizes", [[TOKENS], [5, 1, 3], [1] * TOKENS], ids=str)
@torch.no_grad()
def test_attention_is_that_of_transformers_however_a_sequence_is_cut(
    model: Any, normed: Tensor, sizes: list[int]
) -> None:
    layer, (cos, sin) = layer_of(model), rotation(model, normed)
    distance = torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)
    is_read = (distance >= 0) & (distance < (layer.window or TOKENS))
    mask = torch.zeros(1, 1, TOKENS, TOKENS).masked_fill_(~is_read, float("-inf"))
    expected = model.model.layers[0].self_attn(normed[None], position_embeddings=(cos, sin), attention_mask=mask)[0][0]
    heads = layer.heads
    cache = KeyValues.empty(1, 3, BLOCK, heads.keys, heads.dim, torch.float32, CPU)
    own = signed(cos, sin)
    found, first = [], 0
    for size, step in zip(sizes, steps(sizes), strict=True):
        rows = slice(first, first + size)
        turned = (own[0][rows], own[1][rows])
        found.append(layer.attention(normed[rows], TorchOperations(), step, turned, cache, None))
        first += size
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_feed_forward_is_that_of_transformers(model: Any, normed: Tensor) -> None:
    expected = model.model.layers[0].mlp(normed)
    torch.testing.assert_close(layer_of(model).feed_forward(normed, TorchOperations(), None), expected)


@torch.no_grad()
def test_norms_are_those_of_transformers(model: Any, normed: Tensor) -> None:
    theirs, layer, operations = model.model.layers[0], layer_of(model), TorchOperations()
    torch.testing.assert_close(operations.norm(normed, layer.before_attention), theirs.input_layernorm(normed))
    is_gemma = hasattr(theirs, "pre_feedforward_layernorm")
    before_mlp = theirs.pre_feedforward_layernorm if is_gemma else theirs.post_attention_layernorm
    torch.testing.assert_close(operations.norm(normed, layer.before_mlp), before_mlp(normed))
    assert (layer.after_attention is not None) == (layer.after_mlp is not None) == is_gemma


class Noting:
    """An adapter that notes where it was asked, and makes what leaves a sublayer negative."""

    gathered_only = None

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def with_rows(self, rows: GatheredRows) -> Adaptation:
        raise AssertionError

    def before(self, site: Site, hidden: Tensor) -> Tensor:
        self.asked.append(site)
        return hidden

    def after(self, site: Site, hidden: Tensor, output: Tensor) -> Tensor:
        return output

    def around(self, layer: int, sublayer: str, output: Tensor) -> Tensor:
        self.asked.append((layer, sublayer))
        return -output


@torch.no_grad()
def test_an_adapter_is_asked_at_every_projection_and_after_each_sublayer(model: Any, normed: Tensor) -> None:
    layer, adapter = layer_of(model), Noting()
    plain = layer.feed_forward(normed, TorchOperations(), None)
    torch.testing.assert_close(layer.feed_forward(normed, TorchOperations(), adapter), -plain)
    gate_up, down = Site(0, ("mlp.gate_proj", "mlp.up_proj")), Site(0, ("mlp.down_proj",))
    assert adapter.asked == [gate_up, down, (0, "mlp")]
    assert {gate_up, down} < set(layer.projections)
    assert len(layer.projections) == 4


def test_an_activation_that_is_not_computed_here_is_refused() -> None:
    relu = LlamaForCausalLM(LlamaConfig(**SHAPE | {"hidden_act": "relu"}))
    with pytest.raises(InvalidInput, match="whose activation is ReLU"):
        layer_of(relu)
