"""The decoder against transformers: the same logits, for every architecture, however a sequence is cut into steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from plait.engines.torch.decoder import Decoder
from plait.engines.torch.kv_cache import BlockPool
from plait.engines.torch.scheduler import Scheduler, TokenSequence
from plait.engines.torch.step import pack
from plait.errors import InvalidInput

BLOCK = 4
SHAPE: dict[str, Any] = {
    "vocab_size": 97,
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
            **SHAPE,
            head_dim=32,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        )
    ),
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(**SHAPE, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0})
    ),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=8)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=32)),
}


@pytest.fixture(scope="module", params=MODELS)
def models(request: pytest.FixtureRequest) -> tuple[Any, Decoder]:
    """The same weights twice: as transformers computes them and as the decoder does."""
    torch.manual_seed(0)
    model = MODELS[request.param]()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):  # as made, they would change nothing
                parameter.normal_(std=0.5)
    twin = MODELS[request.param]()
    twin.load_state_dict(model.state_dict())
    return model.eval(), Decoder(twin.eval(), max_positions=256)


@settings(deadline=None, max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    max_step_tokens=st.integers(1, 50),
    seed=st.integers(0, 100),
)
def test_logits_equal_those_of_transformers(
    models: tuple[Any, Decoder], lengths: list[int], max_step_tokens: int, seed: int
) -> None:
    model, decoder = models
    generator = torch.Generator().manual_seed(seed)
    sequences = [torch.randint(97, (length,), generator=generator).tolist() for length in lengths]
    going_on = 3  # tokens that are fed one by one after the prompt
    pool = BlockPool(80)
    cache = decoder.key_values(80, BLOCK)
    scheduler = Scheduler(pool, BLOCK, max_running=4, max_step_tokens=max_step_tokens)
    given_tokens = [TokenSequence(tokens[:-going_on] or tokens[:1], "") for tokens in sequences]
    whole = {id(s): tokens for s, tokens in zip(given_tokens, sequences, strict=True)}
    for sequence in given_tokens:
        scheduler.add(sequence)
    while plan := scheduler.plan():
        step = pack([span for _, span in plan], BLOCK, decoder.dtype, decoder.device)
        logits = iter(decoder.logits(decoder.forward(step, cache)[step.wanted]))
        for sequence, span in plan:
            scheduler.complete(sequence, span)
            if not span.is_wanted:
                continue
            with torch.no_grad():
                expected = model(torch.tensor([sequence.tokens])).logits[0, -1]
            torch.testing.assert_close(next(logits), expected, atol=1e-5, rtol=1e-4)
            if len(sequence.tokens) == len(whole[id(sequence)]):
                scheduler.remove(sequence)
            else:
                sequence.tokens.append(whole[id(sequence)][len(sequence.tokens)])
    assert not scheduler.waiting
    assert pool.free == 80


def test_an_architecture_that_is_not_known_is_named() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(InvalidInput, match="cannot serve a model of type 'gpt2'"):
        Decoder(model, max_positions=64)
