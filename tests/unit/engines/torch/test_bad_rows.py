"""Fifty kinds of bad request beside good ones, whose texts must be those of an undisturbed run."""

import asyncio
import json
import math
import threading
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plait.engines.engine import GenerationRequest, Sampling
from plait.engines.sampling import Sampler
from plait.engines.text_stream import TextStream
from plait.engines.torch.engine import TorchEngine
from plait.engines.torch.row import Row
from plait.errors import InvalidInput, ModelNotFound, NotFinite

GOOD = [
    GenerationRequest("Question: which version?\nAnswer:", Sampling(max_tokens=24, ignore_eos=True)),
    GenerationRequest("short", Sampling(max_tokens=24, temperature=1.0, top_p=0.9, seed=7, ignore_eos=True)),
    GenerationRequest(
        "a longer prompt than the others, of more than one block",
        Sampling(max_tokens=24, repetition_penalty=1.3, frequency_penalty=0.5, logprobs=2, ignore_eos=True),
    ),
]
BAD_PROMPT = "the request at fault"
INF, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Bad:
    """A request, `change`d from a good one, and how it ends: with an error, or with a text (None)."""

    change: dict[str, Any]
    error: type[Exception] | None = InvalidInput
    message: str = ""


def sampling(**change: Any) -> dict[str, Any]:
    return {"sampling": Sampling(**{"max_tokens": 24, "ignore_eos": True, **change})}


def schema(text: Any) -> dict[str, Any]:
    return sampling(json_schema=text if isinstance(text, str) else json.dumps(text))


KINDS: dict[str, Bad] = {
    # Numbers without a bound: most of them were the end of everybody's step.
    "a repetition penalty that makes logits infinite": Bad(
        sampling(repetition_penalty=1e-40, temperature=1.0), message="repetition_penalty is 1e-40; it must be from 0.01"
    ),
    "a repetition penalty of 0": Bad(sampling(repetition_penalty=0.0)),
    "a negative repetition penalty": Bad(sampling(repetition_penalty=-1.0)),
    "an infinite repetition penalty": Bad(sampling(repetition_penalty=INF)),
    "a repetition penalty of NaN": Bad(sampling(repetition_penalty=NAN)),
    "the smallest repetition penalty": Bad(sampling(repetition_penalty=0.01, temperature=2.0), None),
    "the largest repetition penalty": Bad(sampling(repetition_penalty=100.0, temperature=1.0), None),
    "a negative temperature": Bad(sampling(temperature=-1.0), message="temperature is -1.0; it must be from 0 to 2"),
    "an infinite temperature": Bad(sampling(temperature=INF)),
    "a temperature of NaN": Bad(sampling(temperature=NAN)),
    "a temperature that is no normal number": Bad(sampling(temperature=5e-324), None),
    "a temperature next to greedy": Bad(sampling(temperature=1.0001e-5, top_p=0.5), None),
    "a top_p of 0": Bad(sampling(top_p=0.0, temperature=1.0)),
    "a top_p of NaN": Bad(sampling(top_p=NAN, temperature=1.0)),
    "a top_p above 1": Bad(sampling(top_p=1.5, temperature=1.0)),
    "the smallest top_p": Bad(sampling(top_p=5e-324, temperature=1.0), None),
    "a min_p of 1": Bad(sampling(min_p=1.0, temperature=1.0)),
    "a min_p of NaN": Bad(sampling(min_p=NAN, temperature=1.0)),
    "a min_p next to 1": Bad(sampling(min_p=1 - 2**-53, temperature=1.0), None),
    "a negative top_k": Bad(sampling(top_k=-5, temperature=1.0)),
    "a huge top_k": Bad(sampling(top_k=2**70, temperature=1.0), None),
    "an infinite presence penalty": Bad(sampling(presence_penalty=-INF)),
    "a frequency penalty of NaN": Bad(sampling(frequency_penalty=NAN)),
    "a frequency penalty beyond its bounds": Bad(sampling(frequency_penalty=3e38)),
    "the largest biases": Bad(sampling(logit_bias=((5, 100.0), (6, -100.0), (5, 100.0)), temperature=1.0), None),
    "a bias beyond its bounds": Bad(sampling(logit_bias=((5, 100.1),)), message="logit_bias of the token 5 is 100.1"),
    "an infinite bias": Bad(sampling(logit_bias=((5, INF),))),
    "a bias of NaN": Bad(sampling(logit_bias=((5, NAN),))),
    "a bias of a token that does not exist": Bad(sampling(logit_bias=((10**9, 1.0),))),
    "a bias of a negative token": Bad(sampling(logit_bias=((-1, 1.0),))),
    "too many biases": Bad(sampling(logit_bias=tuple((5, 0.1) for _ in range(301)))),
    "a seed beyond 64 bits": Bad(sampling(seed=2**64, temperature=1.0), message="seed is 18446744073709551616"),
    "a seed below 64 bits": Bad(sampling(seed=-(2**63) - 1, temperature=1.0)),
    "the largest seed": Bad(sampling(seed=2**63 - 1, temperature=1.0), None),
    "the smallest seed": Bad(sampling(seed=-(2**63), temperature=1.0), None),
    "negative logprobs": Bad(sampling(logprobs=-1)),
    "too many logprobs": Bad(sampling(logprobs=10**9)),
    "fewer tokens than none": Bad(sampling(max_tokens=-1), message="max_tokens is -1; it must be 0 or more"),
    "more tokens at least than at most": Bad(
        sampling(min_tokens=25), message="min_tokens is 25; it must be from 0 to 24"
    ),
    "a token that does not exist": Bad({"prompt": (5, 10**6)}, message="prompt names the token 1000000"),
    "a grammar that is none": Bad(sampling(grammar="nonsense"), message="The grammar cannot be followed"),
    "more tokens than any context": Bad(sampling(max_tokens=2**70)),
    "a deadline of NaN": Bad({"deadline_s": NAN}, message="deadline_s is nan"),
    "an infinite deadline": Bad({"deadline_s": INF}),
    "a deadline of 0": Bad({"deadline_s": 0.0}, None),
    "a negative deadline": Bad({"deadline_s": -1.0}, None),
    "a piece every 0 tokens": Bad({"stream_interval": 0}),
    # Texts.
    "an empty prompt": Bad({"prompt": ""}, None),  # this model's texts begin with a token of their own
    "a prompt of special tokens alone": Bad({"prompt": "<eos><pad><bos>"}, None),
    "a prompt with half a character": Bad({"prompt": "cut \ud83d"}, message="prompt has half a character"),
    "a prompt beyond the context": Bad({"prompt": "word " * 1000}),
    "an empty stop string": Bad(sampling(stop=("", "")), None),
    "a stop string of NUL and halves": Bad(sampling(stop=("\0", "\udc00"))),
    "a stop string longer than any answer": Bad(sampling(stop=("x" * 100_000,)), None),
    "a schema that is no JSON": Bad(schema("{")),
    "a schema that is no schema": Bad(schema({"type": "nonsense"})),
    "a schema that nothing follows": Bad(schema({"type": "integer", "minimum": 2, "maximum": 1})),
    "a schema with half a character": Bad(schema('{"enum": ["\ud83d"]}')),
    "an adapter that is not there": Bad({"adapter": "gone:1"}, ModelNotFound),
}


class Fault(RuntimeError):
    """What a test injects."""


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TorchEngine:
    # A prompt takes two steps: some requests generate while others' prompts are computed.
    return TorchEngine(tiny_model, dtype="float32", max_batch_size=6, max_step_tokens=24)


async def said(engine: TorchEngine, request: GenerationRequest) -> str | Exception:
    try:
        return "".join([delta.text async for delta in engine.generate(request)])
    except Exception as error:
        return error


@pytest.fixture(scope="module")
def undisturbed(engine: TorchEngine) -> Sequence[str | Exception]:
    texts = [asyncio.run(said(engine, request)) for request in GOOD]
    assert len(set(texts)) == len(GOOD)
    return texts


async def beside(
    engine: TorchEngine, expected: Sequence[str | Exception], *bad: GenerationRequest
) -> list[str | Exception]:
    """What bad requests get, while good ones get the texts that they get without them."""
    first, *texts = await asyncio.gather(
        said(engine, GOOD[0]), *(said(engine, request) for request in (*bad, *GOOD[1:]))
    )
    ends, others = texts[: len(bad)], texts[len(bad) :]
    assert [first, *others] == expected
    assert engine._loop.pool.free == engine._loop.pool.size
    assert not engine._loop.rows
    return ends


@pytest.mark.parametrize("some", [list(KINDS)[start::6] for start in range(6)], ids=str)
async def test_bad_requests_end_alone(
    engine: TorchEngine, undisturbed: Sequence[str | Exception], some: list[str]
) -> None:
    good = GenerationRequest(BAD_PROMPT, Sampling(max_tokens=24, ignore_eos=True))
    ends = await beside(engine, undisturbed, *(replace(good, **KINDS[kind].change) for kind in some))
    for kind, end in zip(some, ends, strict=True):
        expected = KINDS[kind]
        assert isinstance(end, str) if expected.error is None else type(end) is expected.error, (kind, end)
        assert expected.message in str(end)


def test_there_are_fifty_kinds() -> None:
    assert len(KINDS) >= 50


# Faults inside the engine.

BAD = GenerationRequest(BAD_PROMPT, Sampling(max_tokens=24, temperature=1.0, seed=3, ignore_eos=True))


@pytest.mark.parametrize("step", [0, 1, 7])
async def test_a_sampler_that_raises_ends_its_request(
    engine: TorchEngine, undisturbed: Sequence[str | Exception], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    choose = Sampler.next_token

    def faulty(self: Sampler, logits: Tensor) -> int:
        if self._sampling is BAD.sampling and self._counts.total() == step:
            raise Fault("no token")
        return choose(self, logits)

    monkeypatch.setattr(Sampler, "next_token", faulty)
    assert [str(end) for end in await beside(engine, undisturbed, BAD, BAD)] == ["no token"] * 2


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("step", [0, 5])
async def test_logits_that_are_not_finite_end_their_request(
    engine: TorchEngine,
    undisturbed: Sequence[str | Exception],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    value: float,
) -> None:
    choices = engine._runner._choices

    def broken(hidden: Tensor, rows: Sequence[Row]) -> Any:
        hidden = hidden.clone()
        hidden[[row.request is BAD and row._generated == step for row in rows]] = value
        return choices(hidden, rows)

    monkeypatch.setattr(engine._runner, "_choices", broken)
    for end in await beside(engine, undisturbed, BAD, BAD):
        assert isinstance(end, NotFinite)


@pytest.mark.parametrize("step", [0, 1, 7])
async def test_a_step_that_raises_is_done_again_without_the_request_at_fault(
    engine: TorchEngine, undisturbed: Sequence[str | Exception], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    compute = engine._runner._compute

    def faulty(parts: Any) -> Any:
        found = compute(parts)  # nothing of it may be kept, or counted twice
        if any(row.request is BAD and row._generated == step for row, _ in parts):
            raise Fault("does not work with this row")
        return found

    monkeypatch.setattr(engine._runner, "_compute", faulty)
    assert [type(end) for end in await beside(engine, undisturbed, BAD, BAD)] == [Fault] * 2


async def test_a_step_that_is_too_large_is_done_in_parts(
    engine: TorchEngine,
    undisturbed: Sequence[str | Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    compute = engine._runner._compute

    def small_only(parts: Any) -> Any:
        if len(parts) > 2:
            raise torch.OutOfMemoryError("no memory for so many")
        return compute(parts)

    monkeypatch.setattr(engine._runner, "_compute", small_only)
    assert all(isinstance(end, str) for end in await beside(engine, undisturbed, BAD, BAD))
    assert "requests failed (no memory for so many); it is done again in parts" in caplog.text


async def test_when_every_step_raises_all_requests_are_told_and_the_engine_goes_on(
    engine: TorchEngine, undisturbed: Sequence[str | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def broken(parts: Any) -> Any:
        calls.append(len(parts))
        raise Fault("the device is gone")

    with monkeypatch.context() as patch:
        patch.setattr(engine._runner, "_compute", broken)
        ends = await asyncio.gather(*(said(engine, request) for request in GOOD))
    assert [type(end) for end in ends] == [Fault] * 3
    assert sum(size == 1 for size in calls) == len(GOOD)
    assert len(calls) <= 2 * len(GOOD)
    await beside(engine, undisturbed, BAD, BAD)


async def test_a_request_that_is_cancelled_in_the_middle_of_a_step_disturbs_nobody(
    engine: TorchEngine, undisturbed: Sequence[str | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, left = engine._runner._compute, threading.Event()

    def waiting(parts: Any) -> Any:
        if any(row.request is BAD and row._generated == 3 for row, _ in parts):
            assert left.wait(10)
        return compute(parts)

    async def leave() -> None:
        async with aclosing(engine.generate(BAD)) as stream:
            async for delta in stream:
                if delta.generated_tokens == 3:
                    break
        left.set()

    monkeypatch.setattr(engine._runner, "_compute", waiting)
    *texts, _ = await asyncio.gather(*(said(engine, request) for request in GOOD), leave())
    assert texts == undisturbed
    while engine._loop.rows:
        await asyncio.sleep(0.01)
    assert engine._loop.pool.free == engine._loop.pool.size


async def test_text_that_cannot_be_made_ends_its_request(
    engine: TorchEngine, undisturbed: Sequence[str | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    push = TextStream.push

    def faulty(self: TextStream, token: int, may_stop: bool = True) -> str:
        if len(self._stops.depth) == len("the bad one") + 1:
            raise Fault("no text")
        return push(self, token, may_stop)

    monkeypatch.setattr(TextStream, "push", faulty)
    request = replace(BAD, sampling=replace(BAD.sampling, stop=("the bad one",)))
    assert [str(end) for end in await beside(engine, undisturbed, request, request)] == ["no text"] * 2


async def test_a_prompt_without_tokens_is_refused(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.prompts, "_tokenizer", WithoutBeginning(engine.tokenizer))
    for prompt in ("", "\u200b"):
        end = await said(engine, GenerationRequest(prompt, Sampling(max_tokens=2)))
        assert isinstance(end, InvalidInput)
        assert str(end) == "The prompt has no tokens. Send a text for the model to continue."


class WithoutBeginning:
    """A tokenizer whose texts begin with no token of their own, and that drops what it does not know."""

    bos_token = None

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self.eos_token_id = tokenizer, tokenizer.eos_token_id

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text.replace("\u200b", ""), add_special_tokens=False)
        return ids
