"""Steps as graphs see them, padded and in memory of their own, without a GPU: a replay computes what was filled in.

That a graph of CUDA computes the same is for tests/gpu and, there, tests/contract.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, MistralConfig, MistralForCausalLM

from plait.engines.torch import decode_graphs
from plait.engines.torch.decode_graphs import SPARE_BLOCKS, DecodeGraphs
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.step import Span, pack

BLOCK, POOL = 4, 500
SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "sliding_window": 10,
    "max_position_embeddings": 256,
}
MODELS: dict[str, Any] = {
    "some layers with a window": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**SHAPE, layer_types=["sliding_attention", "full_attention"])
    ),
    "all layers with a window": lambda: MistralForCausalLM(MistralConfig(**SHAPE)),
}


class Recomputed(decode_graphs._Graph):
    def capture(self, adaptation: Any, memory: Any) -> None:
        assert adaptation is None

    def replay(self) -> None:
        self.hidden = self._decoder.forward(self._step(), self._cache)


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, pin_memory=False, **rest: zeros(*size, **rest))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(synchronize=lambda: None))
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
    monkeypatch.setattr(decode_graphs, "_Graph", Recomputed)


@pytest.fixture(params=MODELS)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    return Decoder(MODELS[request.param]().eval(), max_positions=256)


def spans_of(starts: list[int], unwanted: int | None = None) -> list[Span]:
    """One token each, at these positions, in blocks of their own."""
    blocks = iter(range(POOL))
    return [
        Span([7 + row], start, [next(blocks) for _ in range(start // BLOCK + 1)], is_wanted=row != unwanted)
        for row, start in enumerate(starts)
    ]


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize(
    "starts", [[0], [37], [3, 4, 40], list(range(9)), [100, 0, 9, 10, 11], list(range(0, 170, 10))], ids=str
)
def test_a_padded_step_computes_what_the_decoder_computes(decoder: Decoder, starts: list[int]) -> None:
    torch.manual_seed(1)
    cache = decoder.key_values(POOL + SPARE_BLOCKS, BLOCK)
    for tensor in (*cache.keys, *cache.values):
        tensor.normal_()
        tensor[POOL:] = torch.nan  # what rows that pad read
    graphs = DecodeGraphs(decoder, cache)
    unwanted = 1 if len(starts) > 2 else None
    for moved in (0, 1, 2):  # the second and third step read what the ones before wrote, by the same graph or another
        spans = spans_of([start + moved for start in starts], unwanted)
        expected = decoder.forward(pack(spans, BLOCK, decoder.dtype, decoder.device), cache)
        kept = [tensor.clone() for tensor in cache.keys]
        found = graphs.forward(spans, None)
        assert found is not None
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        for before, after in zip(kept, cache.keys, strict=True):  # nobody's block alone has changed
            torch.testing.assert_close(after[:POOL], before[:POOL], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("without_cuda")
def test_steps_with_prompts_and_steps_that_reach_too_far_are_for_no_graph(decoder: Decoder) -> None:
    graphs = DecodeGraphs(decoder, decoder.key_values(POOL + SPARE_BLOCKS, BLOCK))
    assert graphs.forward([Span([1], 3, [0], True), Span([1, 2], 0, [1], True)], None) is None
    far = decode_graphs._MOST_BLOCKS * BLOCK
    assert graphs.forward([Span([1], far, list(range(POOL)), True)], None) is None


@pytest.mark.usefixtures("without_cuda")
def test_without_memory_for_a_graph_steps_go_on_and_graphs_that_are_there_stay(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = DecodeGraphs(decoder, decoder.key_values(POOL + SPARE_BLOCKS, BLOCK))
    assert graphs.forward(spans_of([3]), None) is not None

    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Recomputed, "capture", no_memory)
    for _ in range(2):
        assert graphs.forward(spans_of([3, 5]), None) is None
    assert graphs.forward(spans_of([4]), None) is not None
    assert [record.message for record in caplog.records] == [
        "No more CUDA graphs (CUDA out of memory.): steps of other shapes are slower."
    ]
