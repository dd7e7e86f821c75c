"""Adapters side by side in slots: against a loop over tokens in plain torch."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from plait.adapters.updates import BottleneckWeights
from plait.engines.torch.adapter_weights import AdapterWeights, LowRank, SiteWeights
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.projection import Site
from plait.engines.torch.slot_tables import SlotAdaptation, SlotTables

WIDTH = 16
QKV = Site(0, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))
SLOTS = torch.tensor([1, -1, 0, 1, 2])
"""Of five tokens; the second has no adapter, and nothing is in slot 2."""
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
    )
    return Decoder(LlamaForCausalLM(config), max_positions=32)


@pytest.fixture
def hidden() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(len(SLOTS), WIDTH)


def low_rank(decoder: Decoder, rank: int, seed: int) -> SiteWeights:
    torch.manual_seed(seed)
    outputs = decoder.projection(QKV).bounds[QKV.modules[-1]][1]
    return SiteWeights(LowRank(torch.randn(3, rank, WIDTH), torch.randn(rank, outputs), rank))


def product(weights: SiteWeights, decoder: Decoder, token: Tensor) -> Tensor:
    """What LoRA adds for a token, module by module."""
    assert weights.low_rank is not None
    bounds = [decoder.projection(QKV).bounds[module] for module in QKV.modules]
    return torch.cat(
        [
            (weights.low_rank.down[index] @ token) @ weights.low_rank.up[:, first:end]
            for index, (first, end, _) in enumerate(bounds)
        ]
    )


def test_each_token_gets_the_products_of_its_own_adapter(decoder: Decoder, hidden: Tensor) -> None:
    tables = SlotTables(decoder, slots=4, rank=5)
    weights = {0: low_rank(decoder, 5, seed=2), 1: low_rank(decoder, 2, seed=3)}  # of unequal ranks
    for slot, of_site in weights.items():
        tables.write(slot, AdapterWeights({QKV: of_site}))
    output = torch.randn(len(SLOTS), decoder.projection(QKV).bounds[QKV.modules[-1]][1])
    expected = torch.stack(
        [
            row + product(weights[slot], decoder, token) if slot in weights else row
            for slot, token, row in zip(SLOTS.tolist(), hidden, output, strict=True)
        ]
    )
    found = SlotAdaptation(tables, SLOTS).after(QKV, hidden, output.clone())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(found[1], output[1])


def test_the_infinite_weights_of_an_adapter_reach_only_its_own_tokens(decoder: Decoder, hidden: Tensor) -> None:
    tables = SlotTables(decoder, slots=2, rank=2)
    bad = low_rank(decoder, 2, seed=2)
    assert bad.low_rank is not None
    bad.low_rank.down.fill_(math.inf)
    tables.write(0, AdapterWeights({QKV: bad}))
    tables.write(1, AdapterWeights({QKV: low_rank(decoder, 2, seed=3)}))
    output = torch.zeros(len(SLOTS), decoder.projection(QKV).bounds[QKV.modules[-1]][1])
    found = SlotAdaptation(tables, SLOTS.clamp(max=1)).after(QKV, hidden, output)
    assert found.isfinite().all(-1).tolist() == [True, True, False, True, True]


def test_scales_multiply_what_goes_in_and_what_comes_out_of_their_modules(decoder: Decoder, hidden: Tensor) -> None:
    tables = SlotTables(decoder, slots=4, rank=0)
    first, end, _ = decoder.projection(QKV).bounds["self_attn.k_proj"]
    scale, inputs = torch.randn(end - first), torch.randn(WIDTH)
    tables.write(1, AdapterWeights({QKV: SiteWeights(None, {"self_attn.k_proj": scale}, inputs)}))
    adaptation = SlotAdaptation(tables, SLOTS)
    is_scaled = SLOTS == 1
    expected_in = hidden.clone()
    expected_in[is_scaled] *= inputs
    assert torch.equal(adaptation.before(QKV, hidden), expected_in)
    output = torch.randn(len(SLOTS), decoder.projection(QKV).bounds[QKV.modules[-1]][1])
    expected = output.clone()
    expected[is_scaled, first:end] *= scale
    assert torch.equal(adaptation.after(QKV, hidden, output.clone()), expected)


def bottleneck(size: int, activation: str, seed: int) -> BottleneckWeights:
    torch.manual_seed(seed)
    return BottleneckWeights(
        torch.randn(size, WIDTH),
        torch.randn(size),
        torch.randn(WIDTH, size),
        torch.randn(WIDTH),
        activation,  # type: ignore[arg-type]
    )


def test_bottlenecks_of_unequal_sizes_and_activations_share_a_step(decoder: Decoder, hidden: Tensor) -> None:
    tables = SlotTables(decoder, slots=4, rank=0)
    own = {0: bottleneck(3, "relu", 2), 1: bottleneck(5, "relu", 3), 2: bottleneck(2, "silu", 4)}
    for slot, weights in own.items():  # the second is wider than the table that the first one made
        tables.write(slot, AdapterWeights(bottlenecks={(0, "mlp"): weights}))
    expected = hidden.clone()
    for index, slot in enumerate(SLOTS.tolist()):
        if slot in own:
            weights = own[slot]
            inner = ACTIVATIONS[weights.activation](F.linear(hidden[index], weights.down, weights.down_bias))
            expected[index] += F.linear(inner, weights.up, weights.up_bias)
    adaptation = SlotAdaptation(tables, SLOTS)
    torch.testing.assert_close(adaptation.around(0, "mlp", hidden.clone()), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(adaptation.around(0, "attention", hidden), hidden)


def test_a_slot_that_is_cleared_changes_nothing(decoder: Decoder, hidden: Tensor) -> None:
    tables = SlotTables(decoder, slots=2, rank=2)
    everything = low_rank(decoder, 2, seed=2)
    first, end, _ = decoder.projection(QKV).bounds["self_attn.v_proj"]
    everything.output_scale["self_attn.v_proj"] = torch.randn(end - first)
    everything.input_scale = torch.randn(WIDTH)
    tables.write(1, AdapterWeights({QKV: everything}, {(0, "attention"): bottleneck(3, "gelu", 5)}))
    tables.clear(1)
    adaptation = SlotAdaptation(tables, torch.ones(len(SLOTS), dtype=torch.long))
    output = torch.randn(len(SLOTS), decoder.projection(QKV).bounds[QKV.modules[-1]][1])
    assert torch.equal(adaptation.before(QKV, hidden), hidden)
    assert torch.equal(adaptation.after(QKV, hidden, output.clone()), output)
    assert torch.equal(adaptation.around(0, "attention", hidden), hidden)
