"""Log-probabilities of prompts in the torch engine: in small pieces, after lost memory, behind a prefix adapter."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plait.engines.engine import GenerationDelta, GenerationRequest, Sampling, TokenLogprob
from plait.engines.prompts import Prompt
from plait.engines.torch import prompt_logprobs
from plait.engines.torch.engine import TorchEngine
from plait.engines.torch.prompt_logprobs import PromptLogprobs
from plait.errors import NotFinite
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer

PROMPTS = [f"{number} is the number of the prompt that is read, and it has a few tokens more" for number in range(4)]


async def read(engine: TorchEngine, prompt: str, max_tokens: int = 1) -> list[GenerationDelta]:
    sampling = Sampling(max_tokens=max_tokens, prompt_logprobs=1, ignore_eos=True)
    return [delta async for delta in engine.generate(GenerationRequest(prompt, sampling))]


@pytest.fixture(scope="module")
def expected(tiny_model: Path) -> Callable[[str], list[float]]:
    tokenizer, model = load_tokenizer(tiny_model), load_causal_lm(tiny_model, "float32")

    def of(prompt: str) -> list[float]:
        tokens = tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            told = torch.log_softmax(model(tokens).logits[0].float(), dim=-1)
        return [float(told[place, token]) for place, token in enumerate(tokens[0, 1:])]

    return of


def numbers(told: tuple[TokenLogprob, ...]) -> list[Any]:
    assert told[0].logprob is None
    return [token.logprob for token in told[1:]]


async def test_they_are_the_same_in_any_pieces_and_when_memory_was_lost_on_the_way(
    tiny_model: Path, expected: Callable[[str], list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_logprobs, "_LOGITS_BYTES", 1)  # one position at a time
    length = len(load_tokenizer(tiny_model)(PROMPTS[0])["input_ids"])
    # Room for two prompts, not for two answers: whoever came last gives its memory back and is computed again.
    tight = TorchEngine(tiny_model, dtype="float32", kv_cache_tokens=2 * length + 32, max_step_tokens=7)
    try:
        answers = await asyncio.gather(*(read(tight, prompt, max_tokens=40) for prompt in PROMPTS))
    finally:
        tight.close()
    for prompt, (first, *rest) in zip(PROMPTS, answers, strict=True):
        assert numbers(first.prompt_logprobs) == pytest.approx(expected(prompt), abs=1e-3)
        assert not any(delta.prompt_logprobs for delta in rest)
        assert rest[-1].generated_tokens == 40


async def test_behind_a_prefix_adapter_the_first_token_still_has_none(tiny_model: Path, tmp_path: Path) -> None:
    from peft import PeftModel, PrefixTuningConfig, get_peft_model

    torch.manual_seed(3)
    model = get_peft_model(
        load_causal_lm(tiny_model, "float32"), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20)
    )
    model.save_pretrained(tmp_path)
    tokens = load_tokenizer(tiny_model)(PROMPTS[0], return_tensors="pt")["input_ids"]
    tuned = PeftModel.from_pretrained(load_causal_lm(tiny_model, "float32"), tmp_path)
    with torch.no_grad():
        told = torch.log_softmax(tuned(tokens).logits[0].float(), dim=-1)
    wanted = [float(told[place, token]) for place, token in enumerate(tokens[0, 1:])]
    engine = TorchEngine(tiny_model, dtype="float32")
    try:
        await engine.load_adapter("prefix:1", tmp_path)
        for _ in range(2):
            sampling = Sampling(max_tokens=0, prompt_logprobs=0)
            request = GenerationRequest(PROMPTS[0], sampling, "prefix:1")
            (delta,) = [delta async for delta in engine.generate(request)]
            assert numbers(delta.prompt_logprobs) == pytest.approx(wanted, abs=1e-3)
    finally:
        engine.close()


class Letters:
    """A vocabulary of three letters."""

    def __len__(self) -> int:
        return 3

    def utf8(self, token: int) -> bytes:
        return "abc"[token].encode()


def test_a_step_that_is_computed_twice_is_taken_once() -> None:
    logits = torch.eye(3)[[1, 2, 0, 1]] * 5

    def logits_of(hidden: Tensor) -> Tensor:
        return logits[hidden[:, 0].long()]

    places = torch.arange(4.0)[:, None]
    told = PromptLogprobs(Prompt([0, 1, 2, 0]), 10, 1, Letters())  # type: ignore[arg-type]
    assert told.needed_from == 10
    for _ in range(2):
        assert told.take(10, places[:2], logits_of)
        assert told.needed_from == 12
    assert told.take(11, places[1:], logits_of)
    assert told.needed_from is None
    assert [token.token for token in told.told] == ["a", "b", "c", "a"]
    assert [token.rank for token in told.told[1:]] == [1, 1, 1]
    assert [token.top[0].token for token in told.told[1:]] == ["b", "c", "a"]


async def test_logits_that_are_not_finite_end_the_request(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine(tiny_model, dtype="float32")
    try:
        with monkeypatch.context() as patch:
            patch.setattr(PromptLogprobs, "_take", lambda *_: False)
            with pytest.raises(NotFinite):
                await read(engine, PROMPTS[0])
        assert len(await read(engine, PROMPTS[0])) == 1
    finally:
        engine.close()
