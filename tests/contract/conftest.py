"""A tiny model that every engine serves, adapters of it, and the engine under test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_under_test import MAX_CONTEXT_TOKENS, make_engine

from plait.adapters.metadata import AdapterMetadata
from plait.engines.engine import Engine
from plait.models.chat import FORMATS
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer


@pytest.fixture(scope="session")
def tiny_llama(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with the tiny model's tokenizer; heads of 64, which every attention kernel has."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        initializer_range=0.2,  # answers that depend on the prompt, and on an adapter
        max_position_embeddings=MAX_CONTEXT_TOKENS,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_adapter(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes an adapter with weights far from zero, so that its text really differs from others'."""

    def make(seed: int, config: Any, **changes: str) -> Path:
        from peft import get_peft_model

        folder = tmp_path_factory.mktemp("adapter")
        torch.manual_seed(seed)
        model = get_peft_model(load_causal_lm(tiny_llama, "float32"), config)
        model.save_pretrained(folder)
        fields: dict[str, Any] = {
            "base_model": str(tiny_llama),
            "base_sha256": model_sha256(tiny_llama),
            "dataset_sha256": "0",
            "method": "lora",
            "recipe": {},
            "chat_format": FORMATS["plain"],
            "run_id": "r",
            "run_key": "k",
            "plait_version": "0",
            "created_at": "2026-01-01T00:00:00+00:00",
        }
        AdapterMetadata.model_validate(fields | changes).write(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def loras(make_adapter: Callable[..., Path]) -> dict[str, Path]:
    """LoRA adapters of different ranks, by key."""
    from peft import LoraConfig

    ranks = {"one.a:1": 4, "two:1": 16, "three:2": 8}
    return {
        key: make_adapter(seed, LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False))
        for seed, (key, rank) in enumerate(ranks.items(), start=1)
    }


@pytest.fixture(scope="session")
def engine(tiny_llama: Path) -> Iterator[Engine]:
    """One that all tests share."""
    engine = make_engine(tiny_llama)
    yield engine
    engine.close()
