"""What a loaded model takes of memory: its weights once, and of the cache only what was written."""

import gc
from pathlib import Path

import psutil
import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

from plait.engines.torch.decoder import Decoder
from plait.engines.torch.kv_cache import KeyValues
from plait.models.load import load_causal_lm

SHAPE = {
    "vocab_size": 8192, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32,
}  # fmt: skip


def saved(folder: Path, is_tied: bool) -> Path:
    tied = Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE))
    untied = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False))
    (tied if is_tied else untied).bfloat16().save_pretrained(folder)
    return folder


def storages() -> dict[int, int]:
    """Bytes of the memory of all tensors, by address."""
    gc.collect()
    tensors = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_decoder_holds_each_weight_once_and_lets_go_of_the_file(tmp_path: Path, dtype: str, is_tied: bool) -> None:
    model = load_causal_lm(saved(tmp_path / "model", is_tied), dtype)  # type: ignore[arg-type]
    weights = sum(parameter.nbytes for parameter in model.parameters())
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    before = storages().keys() - parameters
    decoder = Decoder(model, max_positions=16)
    held = sum(size for address, size in storages().items() if address not in before)
    head_in_8_bits = SHAPE["vocab_size"] * (SHAPE["hidden_size"] + 4) if decoder.kernels else 0
    assert 0.95 * weights <= held <= 1.1 * weights + head_in_8_bits
    maps = Path("/proc/self/maps")
    assert not maps.is_file() or str(tmp_path) not in maps.read_text()


def test_a_block_of_the_cache_takes_memory_when_it_is_first_written() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    cache = KeyValues.empty(4, 4096, 16, 4, 128, torch.bfloat16, torch.device("cpu"))
    cache.clear([7])
    cache.write(1, torch.tensor([7 * 16]), *torch.ones(2, 1, 4, 128).bfloat16())
    assert cache.stored.nbytes == 2**29
    assert process.memory_info().rss - before < 2**26
    keys, _ = cache.read(1, torch.tensor([[6, 7]]))
    assert keys.float().sum() == 4 * 128
