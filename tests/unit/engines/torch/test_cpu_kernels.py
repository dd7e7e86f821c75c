"""The C kernels against the same operations in torch, in bfloat16."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from plait.engines.sampling import largest
from plait.engines.torch import kernels as kernels_module
from plait.engines.torch.adapter_bank import AdapterBank
from plait.engines.torch.adapter_weights import AdapterWeights, LowRank, SiteWeights
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.int8_weight import Int8Weight, LikeliestToken
from plait.engines.torch.kernel_linear import Bfloat16Weight, KernelLinear
from plait.engines.torch.kernel_operations import KernelOperations
from plait.engines.torch.kernels import Kernels, kernels
from plait.engines.torch.operations import Norm, TorchOperations
from plait.engines.torch.step import Span, pack
from plait.errors import InvalidInput

BLOCK = 4
SHAPE: dict[str, Any] = {
    "vocab_size": 640,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
MODELS: dict[str, Callable[[], Any]] = {
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            **SHAPE, head_dim=32, sliding_window=8, layer_types=["sliding_attention"] * 2 + ["full_attention"]
        )
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=32)),
}


@pytest.fixture(scope="module")
def own() -> Kernels:
    built = kernels()
    if built is None:
        pytest.skip("this machine has no C compiler that builds the kernels: they are not tested here")
    return built


@pytest.fixture(scope="module")
def int8(own: Kernels) -> Kernels:
    if not own.has_int8:
        pytest.skip("this CPU has no AVX-512 VNNI: products in 8 bits are not tested here")
    return own


@pytest.fixture(scope="module", params=MODELS)
def decoders(request: pytest.FixtureRequest, own: Kernels) -> tuple[Decoder, ...]:
    """The same model with the operations of torch, with the kernels one by one, and with all layers in one call."""
    made = []
    for operations in (TorchOperations(), KernelOperations(own), None):
        torch.manual_seed(0)
        decoder = Decoder(MODELS[request.param]().bfloat16().eval(), max_positions=256)
        assert isinstance(decoder._operations, KernelOperations)
        assert decoder._fused
        if operations:
            decoder._operations, decoder._fused = operations, None
        made.append(decoder)
    return tuple(made)


def nearly(actual: Tensor, expected: Tensor) -> None:
    """Equal but for a few roundings of bfloat16, which keeps 8 bits."""
    assert (actual.float() - expected.float()).norm() <= 0.04 * expected.float().norm()


rows_of = st.integers(1, 40)


@settings(deadline=None, max_examples=25)
@given(rows=rows_of, width=st.integers(1, 70), has_after=st.booleans(), seed=st.integers(0, 99))
def test_norms_equal_those_of_torch(own: Kernels, rows: int, width: int, has_after: bool, seed: int) -> None:
    torch.manual_seed(seed)
    hidden, output = torch.randn(rows, width).bfloat16(), torch.randn(rows, width).bfloat16()
    before = Norm(torch.randn(width), 1e-6)
    after = Norm(torch.randn(width), 1e-6) if has_after else None
    nearly(KernelOperations(own).norm(hidden, before), TorchOperations().norm(hidden, before))
    stream, expected_stream = hidden.clone(), hidden.clone()
    normed = KernelOperations(own).add_and_norm(stream, output.clone(), after, before)
    expected = TorchOperations().add_and_norm(expected_stream, output.clone(), after, before)
    nearly(stream, expected_stream)
    nearly(normed, expected)


@pytest.mark.parametrize("activation", ["gelu_tanh", "silu"])
@pytest.mark.parametrize("rows", [1, 7])
def test_gates_equal_those_of_torch(own: Kernels, activation: Any, rows: int) -> None:
    gate_up = torch.cat([torch.linspace(-100, 100, 400).expand(rows, -1), torch.randn(rows, 400)], dim=1).bfloat16()
    nearly(KernelOperations(own).gate(gate_up, activation), TorchOperations().gate(gate_up, activation))


def step_of(decoder: Decoder, lengths: list[int], starts: list[int], seed: int) -> tuple[Any, Any]:
    """A step over sequences that have `starts` tokens in the cache, and that cache."""
    generator = torch.Generator().manual_seed(seed)
    cache = decoder.key_values(400, BLOCK)
    for tensor in (*cache.keys, *cache.values):
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] > 1)
    blocks = torch.randperm(400, generator=generator).tolist()
    spans = []
    for place, i in enumerate(order):
        tokens = torch.randint(640, (lengths[i],), generator=generator).tolist()
        spans.append(Span(tokens, starts[i], blocks[place * 30 : place * 30 + 30], is_wanted=True))
    return pack(spans, BLOCK, decoder.dtype, decoder.device), cache


@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.sampled_from([1, 1, 1, 5, 17]), min_size=1, max_size=8),
    starts=st.lists(st.integers(0, 90), min_size=8, max_size=8),
    seed=st.integers(0, 99),
)
def test_a_step_gives_the_hidden_states_and_the_cache_that_it_gives_with_torch(
    decoders: tuple[Decoder, ...], lengths: list[int], starts: list[int], seed: int
) -> None:
    results = []
    for decoder in decoders:
        step, cache = step_of(decoder, lengths, starts, seed)
        results.append((decoder.forward(step, cache), cache))
    (expected, kept), *others = results
    for actual, cache in others:
        nearly(actual, expected)
        for mine, theirs in zip((*cache.keys, *cache.values), (*kept.keys, *kept.values), strict=True):
            nearly(mine, theirs)


@pytest.mark.parametrize("seed", range(6))
def test_no_kernel_reads_what_no_span_wrote(decoders: tuple[Decoder, ...], seed: int) -> None:
    chance = random.Random(seed)
    lengths = [1, 1, 1, chance.choice([2, 5, 17]), chance.choice([3, 33])]
    starts = [chance.randrange(80) for _ in lengths]
    for decoder in decoders[1:]:
        step, cache = step_of(decoder, lengths, starts, seed)
        expected = decoder.forward(step, cache)
        step, cache = step_of(decoder, lengths, starts, seed)
        unread = torch.ones(400, BLOCK, dtype=torch.bool)
        for span in step.spans:
            for position in range(span.start):
                unread[span.blocks[position // BLOCK], position % BLOCK] = False
        cache.stored[:, :, unread] = torch.nan
        assert torch.equal(decoder.forward(step, cache), expected)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("part", ["keys", "values"])
def test_numbers_that_are_not_finite_stay_in_their_row_and_are_seen_there(
    decoders: tuple[Decoder, ...], part: str, row: int, broken: float
) -> None:
    lengths, starts = [1, 1, 1, 5, 17], [3, 9, 22, 3, 5]
    for decoder in decoders[1:]:
        expected = decoder.forward(*step_of(decoder, lengths, starts, 0))
        step, cache = step_of(decoder, lengths, starts, 0)
        stored = cache.keys if part == "keys" else cache.values
        stored[2][step.spans[row].blocks[0], 2] = broken  # the last layer, which has no window
        hidden = decoder.forward(step, cache)
        is_own = torch.arange(5).repeat_interleave(torch.tensor(lengths)) == row
        assert torch.equal(hidden[~is_own], expected[~is_own])
        assert not hidden[is_own].float().sum(-1).isfinite().any()


def test_products_in_8_bits_pass_on_what_is_not_finite(int8: Kernels) -> None:
    linear = KernelLinear(int8, Int8Weight(torch.randn(128, 64).bfloat16()))
    x = torch.randn(4, 64).bfloat16()
    expected = linear(x)
    for row, broken in enumerate((torch.nan, torch.inf, -torch.inf)):
        x[row, 7 * row] = broken
    assert not linear(x)[:3].isfinite().any()
    assert torch.equal(linear(x)[3], expected[3])


def adapter_of(decoder: Decoder, rank: int, seed: int) -> AdapterWeights:
    torch.manual_seed(seed)
    adapter = AdapterWeights()
    for site in decoder.sites[seed % 2 :: 2] if seed % 3 else decoder.sites:
        bounds = decoder.projection(site).bounds
        inputs, outputs = bounds[site.modules[0]][2], bounds[site.modules[-1]][1]
        down, up = torch.randn(len(bounds), rank, inputs), torch.randn(rank, outputs)
        adapter.sites[site] = SiteWeights(LowRank(down.bfloat16() * 0.2, up.bfloat16() * 0.2, rank))
    return adapter


def test_gathered_low_rank_products_equal_those_in_slots(decoders: tuple[Decoder, ...]) -> None:
    _, by_layer, fused = decoders
    in_slots, gathered, gathered_in_one_call = AdapterBank(by_layer), AdapterBank(by_layer), AdapterBank(fused)
    in_slots._gathered = None
    banks = [(by_layer, in_slots), (by_layer, gathered), (fused, gathered_in_one_call)]
    for seed, rank in enumerate((1, 3, 8, 20)):
        for decoder, bank in banks:
            adapter = adapter_of(decoder, rank, seed)
            bank.prepare(adapter)
            bank.add(f"a{seed}", adapter)
    chance = random.Random(0)
    for seed in range(12):
        keys = [chance.choice([None, "a0", "a1", "a2", "a3"]) for _ in range(10)]
        lengths = [1] * 8 + [5, 9]
        results = []
        for decoder, bank in banks:
            step, cache = step_of(decoder, lengths, [7] * 10, seed)
            adaptation = bank.adaptation(list(zip(keys, lengths, strict=True)))
            results.append(decoder.forward(step, cache, adaptation)[step.wanted])
        expected, *others = results
        for actual in others:
            nearly(actual, expected)
        plain = fused.forward(*step_of(decoder, lengths, [7] * 10, seed))[step.wanted]
        for row, key in enumerate(keys):
            assert (key is None) == torch.equal(results[2][row], plain[row])


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 100), inputs=st.integers(1, 40), outputs=st.integers(1, 150), seed=st.integers(0, 99))
def test_products_in_bfloat16_are_rounded_once_and_a_row_depends_on_no_other(
    own: Kernels, rows: int, inputs: int, outputs: int, seed: int
) -> None:
    torch.manual_seed(seed)
    weight, bias = torch.randn(outputs, inputs * 2).bfloat16(), torch.randn(outputs).bfloat16()
    x = torch.randn(rows, inputs * 2).bfloat16()
    linear = KernelLinear(own, Bfloat16Weight(weight), bias)
    product = linear(x)
    expected = x.float() @ weight.float().T + bias.float()
    assert torch.allclose(product.float(), expected, rtol=2**-8, atol=1e-4)
    assert torch.equal(linear.dense(), weight)
    assert torch.equal(linear(x[-1:])[0], product[-1])


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 40), inputs=st.integers(1, 40), blocks=st.integers(1, 5), seed=st.integers(0, 99))
def test_products_in_8_bits_are_near_the_exact_ones(
    int8: Kernels, rows: int, inputs: int, blocks: int, seed: int
) -> None:
    torch.manual_seed(seed)
    weight, bias = torch.randn(blocks * 64, inputs * 4).bfloat16(), torch.randn(blocks * 64).bfloat16()
    x = torch.randn(rows, inputs * 4).bfloat16()
    linear = KernelLinear(int8, Int8Weight(weight), bias)
    expected = x.float() @ weight.float().T + bias.float()
    assert (linear(x).float() - expected).abs().max() <= 0.06 * (inputs * 4) ** 0.5
    assert (linear.dense() - weight.float()).abs().max() <= weight.float().abs().max() / 127


def test_in_8_bits_layers_without_whole_blocks_of_outputs_stay_exact(int8: Kernels) -> None:
    config = LlamaConfig(
        **{**SHAPE, "vocab_size": 650, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 48}
    )
    made = []
    for linear in ("own", "int8"):
        torch.manual_seed(0)
        made.append(Decoder(LlamaForCausalLM(config).bfloat16().eval(), max_positions=64, linear=linear))
    hidden = torch.randn(3, 64).bfloat16()
    assert torch.equal(made[0].logits(hidden), made[1].logits(hidden))
    results = [decoder.forward(*step_of(decoder, [1, 5], [7, 0], 0)) for decoder in made]
    assert (results[0].float() - results[1].float()).norm() <= 0.2 * results[0].float().norm()


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 20), vocabulary=st.integers(1, 1500), seed=st.integers(0, 99))
def test_the_likeliest_token_is_that_of_all_the_logits(int8: Kernels, rows: int, vocabulary: int, seed: int) -> None:
    torch.manual_seed(seed)
    weight, hidden = torch.randn(vocabulary, 128).bfloat16(), torch.randn(rows, 128).bfloat16()
    exact = (hidden.float() @ weight.float().T).bfloat16()  # summed in float32 and rounded, as the kernel does
    tokens = LikeliestToken(int8, Bfloat16Weight(weight), Int8Weight(weight))(hidden)
    # Sums in another order may round otherwise: what counts is that no logit is larger.
    assert (
        torch.equal(exact.gather(1, tokens[:, None])[:, 0], exact.amax(1))
        or (exact.amax(1).float() - exact.gather(1, tokens[:, None])[:, 0].float()).abs().max()
        <= exact.abs().max().float() * 2**-7
    )


def test_of_equal_logits_the_first_token_is_taken(int8: Kernels) -> None:
    weight = torch.ones(700, 64).bfloat16()
    weight[300:] = 2
    hidden = torch.ones(3, 64).bfloat16()
    assert (
        LikeliestToken(int8, Bfloat16Weight(weight), Int8Weight(weight))(hidden).tolist()
        == [300] * 3
        == largest(hidden @ weight.T).tolist()
    )


def test_without_a_compiler_the_decoder_works_and_says_why_it_is_slower(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr("plait.engines.torch.decoder.kernels", kernels_module.kernels.__wrapped__)
    decoder = Decoder(MODELS["llama"]().bfloat16().eval(), max_positions=64)
    assert isinstance(decoder._operations, TorchOperations)
    assert "kernels cannot be built" in caplog.text
    assert "no-such-compiler" in caplog.text
    with pytest.raises(InvalidInput, match="int8 needs a CPU with AVX-512 VNNI, bfloat16 and a C compiler"):
        Decoder(MODELS["llama"]().bfloat16().eval(), max_positions=64, linear="int8")
