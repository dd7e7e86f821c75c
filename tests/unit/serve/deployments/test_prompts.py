"""Prompts that are too long, or long, beside other requests on the same event loop."""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from plait.engines.engine import GenerationRequest, Sampling
from plait.engines.prompts import PromptReader
from plait.engines.torch.engine import TorchEngine
from plait.errors import InvalidInput
from plait.model_ids import ModelId
from plait.models.chat import FORMATS
from plait.models.message import Message
from plait.models.tools import Tool
from plait.serve.deployments.call_prompts import CallPrompts
from plait.serve.messages.calls import Call

WORDS = "word and " * 600_000  # 5.4 MB


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TorchEngine:
    return TorchEngine(tiny_model, dtype="float32")


def call(*messages: Message, tools: tuple[Tool, ...] = ()) -> Call:
    return Call(ModelId.parse("base"), Sampling(4), messages or None, tools=tools)


async def generated(engine: TorchEngine, prompt: str, **sampling: Any) -> str:
    request = GenerationRequest(prompt, Sampling(**{"max_tokens": 4} | sampling))
    return "".join([delta.text async for delta in engine.generate(request)])


async def longest_pause(task: Awaitable[Any]) -> float:
    """Seconds that the event loop answered nobody while something was done; what it raises is let go."""
    doing = asyncio.ensure_future(task)
    longest, last = 0.0, time.perf_counter()
    while not doing.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    await asyncio.gather(doing, return_exceptions=True)
    return longest


async def test_a_text_that_cannot_fit_is_refused_without_being_read(engine: TorchEngine) -> None:
    longest = max(map(len, engine.tokenizer.get_vocab()))
    most = engine.max_context_tokens * longest
    started = time.perf_counter()
    with pytest.raises(
        InvalidInput, match=f"{len(WORDS)} characters, and no more than {most} can fit into the context of"
    ):
        await generated(engine, WORDS)
    assert time.perf_counter() - started < 2  # reading it takes half a minute
    with pytest.raises(InvalidInput, match=r"The prompt \(\d+ tokens\) and max_tokens"):
        await generated(engine, WORDS[:most])


@pytest.mark.parametrize("words", ["installed", "version" * 3, "😀é中", " \n\t"])
def test_no_text_that_fits_is_refused_by_its_length(engine: TorchEngine, words: str) -> None:
    tokens = engine.tokenizer.encode(words * 50, add_special_tokens=False)
    PromptReader(engine.tokenizer, len(tokens)).check_length(len(words) * 50)


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (call(Message("user", WORDS)), "characters, and no more than"),
        (call(*[Message("user", "a")] * 100_000), "100000 messages"),
        (call(Message("user", "a"), tools=(Tool("f", WORDS),)), "characters, and no more than"),
    ],
    ids=["text", "messages", "tools"],
)
async def test_a_conversation_that_cannot_fit_is_refused_before_it_is_rendered(
    engine: TorchEngine, said: Call, refusal: str
) -> None:
    prompts = CallPrompts(engine, 100)
    with pytest.raises(InvalidInput, match=refusal):
        await prompts.make(said, FORMATS["plain"])
    assert await longest_pause(prompts.make(said, FORMATS["plain"])) < 1


async def test_long_prompts_and_many_biases_hold_nobody_else_up(engine: TorchEngine) -> None:
    prompts = CallPrompts(engine, 100)
    fitting = WORDS[: engine.prompts.max_characters - 100]
    many = call(*[Message("user", "words" * 10)] * min(engine.prompts.max_messages, 100))
    biases = tuple((token, -1.0) for token in range(len(engine.tokenizer))) * 30
    asked = asyncio.gather(
        generated(engine, WORDS),
        generated(engine, fitting),
        prompts.make(call(Message("user", fitting)), FORMATS["plain"]),
        prompts.make(many, FORMATS["plain"]),
        generated(engine, "a", logit_bias=biases),
        return_exceptions=True,
    )
    assert await longest_pause(asked) < 2
    assert await generated(engine, "a", logit_bias=biases[: len(engine.tokenizer)]) == await generated(engine, "a")
