"""Tables of rotations: as long as they have to be, and the same however they grew."""

import pytest
import torch
from transformers import Gemma3TextConfig, LlamaConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from plait.engines.torch import rotations
from plait.engines.torch.rotations import Rotations

LONG = 64
CPU = torch.device("cpu")
LLAMA = LlamaRotaryEmbedding(LlamaConfig(hidden_size=32, num_attention_heads=2, max_position_embeddings=LONG))
GEMMA = Gemma3RotaryEmbedding(Gemma3TextConfig(hidden_size=32, num_attention_heads=2, head_dim=16, num_hidden_layers=6))
DYNAMIC = LlamaRotaryEmbedding(
    LlamaConfig(
        hidden_size=32,
        num_attention_heads=2,
        max_position_embeddings=LONG // 2,
        rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0},
    )
)


@pytest.mark.parametrize(
    ("rotary", "kinds"), [(LLAMA, [None]), (GEMMA, ["sliding_attention", "full_attention"])], ids=["one", "by-kind"]
)
def test_a_table_that_grew_is_the_one_that_was_made_at_once(
    rotary: torch.nn.Module, kinds: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = torch.arange(LONG)
    at_once = Rotations(rotary, kinds, LONG, torch.bfloat16, CPU).at(positions)
    monkeypatch.setattr(rotations, "_FIRST_POSITIONS", 8)
    grown = Rotations(rotary, kinds, LONG, torch.bfloat16, CPU)
    for until, length in ((5, 8), (9, 16), (10, 16), (40, 40), (LONG, LONG)):
        found = grown.at(positions[:until])
        assert grown._length == length
        for kind in kinds:
            for table, whole in zip(found[kind], at_once[kind], strict=True):
                torch.testing.assert_close(table, whole[:until], rtol=0, atol=0)


def test_rotations_that_depend_on_the_length_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotations, "_FIRST_POSITIONS", 8)
    assert Rotations(DYNAMIC, [None], LONG, torch.float32, CPU)._length == LONG
