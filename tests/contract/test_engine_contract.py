"""What every engine must do, in the same words for all: `PLAIT_TEST_ENGINE=vllm` runs it against vLLM."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_under_test import ENGINE, MAX_BATCH_SIZE, MAX_WAITING, make_engine

from plait.engines.engine import Engine, GenerationDelta, GenerationRequest, Sampling
from plait.errors import InvalidInput, ModelNotFound, NotFinite, Overloaded, Unavailable
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer

# An engine may live on one event loop: all tests share it.
pytestmark = pytest.mark.asyncio(loop_scope="session")
PROMPTS = ["Question: which version?\nAnswer:", "short", "a much longer prompt than the other two, with more words"]


def request_of(prompt: str, adapter: str | None = None, deadline_s: float | None = None, **sampling: Any) -> Any:
    return GenerationRequest(prompt, Sampling(**{"max_tokens": 12, **sampling}), adapter, deadline_s)


async def collect(engine: Engine, **request: Any) -> list[GenerationDelta]:
    return [d async for d in engine.generate(request_of(**request))]


async def text_of(engine: Engine, **request: Any) -> str:
    return "".join(delta.text for delta in await collect(engine, **request))


@pytest.fixture(scope="session")
def reference(tiny_llama: Path, loras: dict[str, Path]) -> Callable[..., str]:
    """The text by transformers' own generate (with PEFT, for an adapter), alone in its batch."""
    tokenizer = load_tokenizer(tiny_llama)
    models: dict[str | None, Any] = {None: load_causal_lm(tiny_llama, "float32")}

    def text(prompt: str, adapter: str | None = None, steps: int = 12) -> str:
        if adapter not in models:
            from peft import PeftModel

            models[adapter] = PeftModel.from_pretrained(load_causal_lm(tiny_llama, "float32"), loras[str(adapter)])
        ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(models[adapter].device)
        with torch.no_grad():
            out = models[adapter].generate(**ids, max_new_tokens=steps, do_sample=False)
        made = str(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
        return made.rstrip("\ufffd")  # a stream may leave out the bytes of a character that never became whole

    return text


async def whole_text(engine: Engine, **request: Any) -> str:
    return (await text_of(engine, **request)).rstrip("\ufffd")


async def test_greedy_text_equals_transformers_generate_in_a_batch_of_unequal_prompts(
    engine: Engine, reference: Callable[..., str]
) -> None:
    texts = await asyncio.gather(*(whole_text(engine, prompt=prompt) for prompt in PROMPTS))
    assert texts == [reference(prompt) for prompt in PROMPTS]
    assert len(set(texts)) == len(PROMPTS)


async def test_many_at_once_with_unequal_lengths_are_each_what_they_are_alone(
    engine: Engine, reference: Callable[..., str]
) -> None:
    wanted = [(prompt, steps) for prompt in PROMPTS for steps in (1, 5, 12, 30)]
    texts = await asyncio.gather(*(whole_text(engine, prompt=p, max_tokens=n) for p, n in wanted))
    assert texts == [reference(p, steps=n) for p, n in wanted]


async def test_counts_and_the_reason_of_the_end_are_told(engine: Engine) -> None:
    deltas = await collect(engine, prompt="short", max_tokens=3, ignore_eos=True)
    counts = [d.generated_tokens for d in deltas]
    assert counts == sorted(counts)
    assert counts[-1] == 3
    assert [d.finish_reason for d in deltas] == [None] * (len(deltas) - 1) + ["length"]
    assert deltas[-1].prompt_tokens == engine.count_tokens("short") + 1  # BOS
    assert 0 <= deltas[-1].queue_s < 30


async def test_a_stop_string_ends_the_text_and_stays_out_of_it(engine: Engine) -> None:
    whole = await text_of(engine, prompt=PROMPTS[0])
    stop = whole[3:5]
    deltas = await collect(engine, prompt=PROMPTS[0], stop=(stop,))
    assert "".join(d.text for d in deltas) == whole[: whole.index(stop)]
    assert [delta.stop_string for delta in deltas] == [""] * (len(deltas) - 1) + [stop]
    assert deltas[-1].finish_reason == "stop"


async def test_an_answer_may_be_as_long_as_its_prompt_leaves_room_where_that_is_asked_for(engine: Engine) -> None:
    asked = request_of("short", max_tokens=10**6, ignore_eos=True)
    with pytest.raises(InvalidInput, match="together exceed"):
        await anext(engine.generate(asked))
    last = [delta async for delta in engine.generate(replace(asked, fits_answer=True))][-1]
    assert last.finish_reason == "length"
    assert last.prompt_tokens + last.generated_tokens == engine.max_context_tokens


async def test_a_seed_gives_the_same_text_whatever_shares_the_batch(engine: Engine) -> None:
    seeded = {"prompt": "short", "temperature": 1.0, "top_p": 0.9, "seed": 7}
    alone = await text_of(engine, **seeded)
    together, *_ = await asyncio.gather(
        text_of(engine, **seeded), *(text_of(engine, prompt=p, temperature=2.0) for p in PROMPTS)
    )
    assert together == alone
    assert await text_of(engine, **{**seeded, "seed": 8}) != alone


async def test_a_banned_token_is_not_in_the_text(engine: Engine, tiny_llama: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    question = {"prompt": PROMPTS[1], "max_tokens": 1}
    first = await text_of(engine, **question)
    (token,) = tokenizer.encode(first, add_special_tokens=False)
    assert await text_of(engine, **question, logit_bias=((token, -100.0),)) != first


async def test_logprobs_are_those_of_the_model(engine: Engine, tiny_llama: Path) -> None:
    deltas = await collect(engine, prompt="short", max_tokens=4, logprobs=2, ignore_eos=True)
    told = [logprob for delta in deltas for logprob in delta.logprobs]
    assert len(told) == 4
    tokenizer, model = load_tokenizer(tiny_llama), load_causal_lm(tiny_llama, "float32")
    with torch.no_grad():
        logits = model(tokenizer("short", return_tensors="pt")["input_ids"].to(model.device)).logits[0, -1]
    best = torch.log_softmax(logits, dim=-1).topk(2)
    assert told[0].logprob == pytest.approx(float(best.values[0]), abs=1e-3)
    assert [top.logprob for top in told[0].top] == pytest.approx(best.values.tolist(), abs=1e-3)
    assert told[0].token == tokenizer.decode(best.indices[0])


async def test_an_answer_follows_its_json_schema(engine: Engine) -> None:
    schema = {"type": "object", "properties": {"ok": {"enum": [True, False]}}, "required": ["ok"]}
    text = await text_of(
        engine, prompt="short", max_tokens=60, json_schema=json.dumps(schema | {"additionalProperties": False})
    )
    assert set(json.loads(text)) == {"ok"}


async def test_adapters_of_different_ranks_in_one_batch_each_answer_as_peft_alone_would(
    engine: Engine, loras: dict[str, Path], reference: Callable[..., str]
) -> None:
    for key, folder in loras.items():
        await engine.load_adapter(key, folder)
    keys: Sequence[str | None] = [None, *loras]
    texts = await asyncio.gather(*(whole_text(engine, prompt=p, adapter=k) for p in PROMPTS for k in keys))
    assert texts == [reference(p, k) for p in PROMPTS for k in keys]
    assert len(set(texts[:4])) == 4
    assert all(engine.has_adapter(key) for key in loras)
    assert {key: engine.adapters()[key].rank for key in loras} == {"one.a:1": 4, "two:1": 16, "three:2": 8}


async def test_the_base_model_is_itself_beside_more_adapters_than_have_a_place_in_a_batch(
    engine: Engine, loras: dict[str, Path], reference: Callable[..., str]
) -> None:
    folders = {f"place-{number}:1": key for number, key in enumerate(["one.a:1", "two:1", "three:2"] * 2)}
    for key, same in folders.items():
        await engine.load_adapter(key, loras[same])
    for key, same in folders.items():
        texts = await asyncio.gather(
            *(whole_text(engine, prompt=prompt) for prompt in PROMPTS),
            whole_text(engine, prompt=PROMPTS[0], adapter=key),
        )
        assert texts == [*map(reference, PROMPTS), reference(PROMPTS[0], same)]
    for key in folders:
        await engine.unload_adapter(key)


async def test_an_adapter_is_unloaded_once_no_request_uses_it(
    engine: Engine, loras: dict[str, Path], reference: Callable[..., str]
) -> None:
    loras["leaving:1"] = loras["two:1"]
    await engine.load_adapter("leaving:1", loras["leaving:1"])
    running = engine.generate(request_of(prompt="short", adapter="leaving:1", max_tokens=40))
    said = (await anext(running)).text
    assert engine.adapters()["leaving:1"].requests == 1
    unloading = asyncio.create_task(engine.unload_adapter("leaving:1"))
    await asyncio.sleep(0)
    with pytest.raises(ModelNotFound, match="'leaving:1' is not loaded"):
        await collect(engine, prompt="short", adapter="leaving:1")
    said += "".join([delta.text async for delta in running])
    assert said.rstrip("\ufffd") == reference("short", "leaving:1", steps=40)
    await unloading
    assert not engine.has_adapter("leaving:1")
    assert "leaving:1" not in engine.adapters()


async def test_other_weights_under_a_key_find_nothing_of_the_earlier_ones_in_the_cache(
    engine: Engine, loras: dict[str, Path], reference: Callable[..., str]
) -> None:
    for key in ("one.a:1", "two:1"):
        await engine.load_adapter("same", loras[key])
        for _ in range(2):
            assert await whole_text(engine, prompt=PROMPTS[2], adapter="same") == reference(PROMPTS[2], key)
        await engine.unload_adapter("same")


async def test_tokens_that_were_computed_for_another_request_are_counted(engine: Engine) -> None:
    # vLLM's blocks have 128 tokens on CPUs.
    prompt = "a beginning of more tokens than a block has, that no other test of engines has; " * 3
    first, second = [(await collect(engine, prompt=prompt))[-1].cached_tokens for _ in range(2)]
    assert first == 0
    assert second >= 16


async def test_what_was_computed_under_another_salt_is_neither_used_nor_counted(engine: Engine) -> None:
    prompt = "what one tenant sends must not be told to another, in whatever way a cache tells it; " * 3

    async def cached(salt: str) -> int:
        request = replace(request_of(prompt), cache_salt=salt)
        return [delta async for delta in engine.generate(request)][-1].cached_tokens

    assert await cached("acme") == 0
    assert await cached("other") == 0
    assert await cached("") == 0
    for salt in ("acme", "other", ""):
        assert await cached(salt) >= 16


@pytest.mark.parametrize("factor", [50.0, 1e12, 1e25])
async def test_an_adapter_whose_numbers_overflow_harms_nobody_beside_or_after_it(
    engine: Engine,
    loras: dict[str, Path],
    make_adapter: Callable[..., Path],
    reference: Callable[..., str],
    factor: float,
) -> None:
    from peft import LoraConfig
    from safetensors.torch import load_file, save_file

    key, overflows = f"huge:{factor:g}", factor > 1000
    huge = make_adapter(9, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    weights = load_file(huge / "adapter_model.safetensors")
    save_file({name: weight * factor for name, weight in weights.items()}, huge / "adapter_model.safetensors")
    if ENGINE == "vllm" and overflows:  # it could spread: vLLM does not look at each row's numbers
        with pytest.raises(InvalidInput, match="longer than 1000, with which sums may overflow"):
            await engine.load_adapter(key, huge)
    else:
        await engine.load_adapter(key, huge)
    await engine.load_adapter("beside:1", loras["two:1"])

    async def bad() -> None:
        refused = ModelNotFound if ENGINE == "vllm" else NotFinite
        with pytest.raises(refused) if overflows else nullcontext():
            await collect(engine, prompt=PROMPTS[0], adapter=key, logprobs=1)

    for _ in range(3):
        *texts, _, _ = await asyncio.gather(
            *(whole_text(engine, prompt=prompt) for prompt in PROMPTS),
            *(whole_text(engine, prompt=prompt, adapter="beside:1") for prompt in PROMPTS),
            bad(),
            bad(),
        )
        assert texts == [reference(prompt) for prompt in PROMPTS] + [reference(prompt, "two:1") for prompt in PROMPTS]
    await nobody_runs(engine)
    await engine.unload_adapter(key)


@pytest.mark.parametrize(
    "asked",
    [
        {"repetition_penalty": 1e-40},
        {"repetition_penalty": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"min_p": float("nan")},
        {"logit_bias": ((5, float("inf")),)},
        {"logit_bias": ((10**9, 1.0),)},
        {"seed": 2**64},
        {"logprobs": 21},
        {"max_tokens": -1},
        {"min_tokens": 13},
        {"prompt_logprobs": 21},
        {"stop_token_ids": (10**9,)},
        {"allowed_token_ids": (10**9,)},
        {"prompt": (5, 10**9)},
        {"prompt": ()},
        {"regex": "("},
        {"prompt": "cut \ud83d"},
        {"stop": ("\udc00",)},
    ],
    ids=str,
)
async def test_a_request_that_is_out_of_bounds_is_refused(engine: Engine, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await collect(engine, **{"prompt": "short", **asked})


async def test_log_probabilities_have_the_bytes_of_the_text(engine: Engine) -> None:
    deltas = await collect(engine, prompt="short", max_tokens=40, temperature=1.5, seed=1, logprobs=1, ignore_eos=True)
    said = b"".join(logprob.utf8 for delta in deltas for logprob in delta.logprobs)
    text = "".join(delta.text for delta in deltas)
    for special in ("<pad>", "<eos>", "<bos>"):
        said = said.replace(special.encode(), b"")
    assert said.decode(errors="replace").rstrip("\ufffd") == text.rstrip("\ufffd")


async def test_an_adapter_that_is_not_loaded_is_named(engine: Engine) -> None:
    with pytest.raises(ModelNotFound, match="'none:1' is not loaded"):
        await collect(engine, prompt="x", adapter="none:1")


async def test_an_adapter_of_another_base_model_is_refused(engine: Engine, make_adapter: Callable[..., Path]) -> None:
    from peft import LoraConfig

    foreign = make_adapter(9, LoraConfig(r=4), base_sha256="other", base_model="org/other")
    with pytest.raises(InvalidInput, match=r"trained on another base model \(org/other\)"):
        await engine.load_adapter("foreign:1", foreign)


async def test_weights_that_do_not_load_cost_nobody_else(
    engine: Engine, make_adapter: Callable[..., Path], reference: Callable[..., str]
) -> None:
    from peft import LoraConfig

    broken = make_adapter(9, LoraConfig(r=4))
    (broken / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InvalidInput, match="'broken:1' cannot be loaded"):
        await engine.load_adapter("broken:1", broken)
    assert not engine.has_adapter("broken:1")
    assert await whole_text(engine, prompt="short") == reference("short")


async def test_a_method_that_vllm_does_not_know_is_served_by_torch_and_refused_by_vllm(
    engine: Engine, make_adapter: Callable[..., Path]
) -> None:
    from peft import IA3Config

    folder = make_adapter(9, IA3Config(task_type="CAUSAL_LM", init_ia3_weights=False), method="ia3")
    if ENGINE == "torch":
        await engine.load_adapter("ia3:1", folder)
        assert await text_of(engine, prompt="short", adapter="ia3:1")
    else:
        with pytest.raises(InvalidInput, match=r"'ia3:1' is no LoRA.*engine 'torch' serves every method"):
            await engine.load_adapter("ia3:1", folder)


async def test_a_prompt_beyond_the_context_is_refused_with_its_length(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match=r"The prompt \(\d+ tokens\) and max_tokens \(600\) together exceed"):
        await collect(engine, prompt="x", max_tokens=600)
    with pytest.raises(InvalidInput, match=r"The prompt \(\d{4} tokens\)"):
        await collect(engine, prompt="word " * 1000, max_tokens=1)


async def test_a_full_queue_refuses_and_recovers(engine: Engine) -> None:
    outcomes = await asyncio.gather(
        *(text_of(engine, prompt="short", max_tokens=40) for _ in range(30)), return_exceptions=True
    )
    refused = [o for o in outcomes if isinstance(o, Overloaded)]
    assert refused
    assert all(isinstance(o, str | Overloaded) for o in outcomes)
    assert len(refused) < 30 - MAX_BATCH_SIZE
    assert await text_of(engine, prompt="short")


async def test_after_its_deadline_an_answer_ends_with_what_there_is(engine: Engine) -> None:
    started = time.monotonic()
    await collect(engine, prompt="short", max_tokens=20, ignore_eos=True)
    deadline_s = time.monotonic() - started  # about 20 of 450 tokens, on any machine
    deltas = await collect(engine, prompt="short", max_tokens=450, ignore_eos=True, deadline_s=deadline_s)
    assert deltas[-1].finish_reason == "deadline"
    assert 0 < deltas[-1].generated_tokens < 450
    assert "".join(d.text for d in deltas)
    await nobody_runs(engine)


async def test_a_client_that_leaves_frees_its_row(engine: Engine) -> None:
    async with aclosing(engine.generate(request_of(prompt="short", max_tokens=450, ignore_eos=True))) as stream:
        delta = await anext(stream)
        assert delta.generated_tokens < 450
    await nobody_runs(engine)


async def test_a_hundred_clients_that_leave_at_any_moment_leave_nothing_behind(
    engine: Engine, loras: dict[str, Path], reference: Callable[..., str]
) -> None:
    """Some while they wait, some before their first token, some in the middle; on the base model and on an adapter."""
    key = "two:1"
    await engine.load_adapter(key, loras[key])
    room = asyncio.Semaphore(MAX_BATCH_SIZE + MAX_WAITING)

    async def leave(number: int) -> None:
        prompt = PROMPTS[number % 3] * (1 + number % 5)
        wanted = request_of(prompt=prompt, adapter=key if number % 2 else None, max_tokens=200, ignore_eos=True)
        async with aclosing(engine.generate(wanted)) as stream:
            if number % 4 == 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(anext(stream), 0.001 * (number % 20))
            for _ in range(number % 4):
                await anext(stream)

    async def client(number: int) -> None:
        async with room:
            while True:
                try:
                    return await leave(number)
                except Overloaded:  # those that left are in the queue until the next step
                    await asyncio.sleep(0.005)

    await asyncio.gather(*(client(number) for number in range(100)))
    left = time.monotonic()
    await nobody_runs(engine)
    assert time.monotonic() - left < 1
    assert engine.load().kv_use == 0
    assert engine.adapters()[key].requests == 0
    assert await whole_text(engine, prompt="short") == reference("short")
    await engine.unload_adapter(key)
    assert not engine.has_adapter(key)


async def test_a_request_joins_those_that_run(engine: Engine) -> None:
    async with aclosing(engine.generate(request_of(prompt="short", max_tokens=450, ignore_eos=True))) as long:
        await anext(long)
        await collect(engine, prompt="another", max_tokens=3)
        so_far = await anext(long)
        assert so_far.finish_reason is None  # the long one was under way all the time
        assert so_far.generated_tokens < 450
    await nobody_runs(engine)


async def nobody_runs(engine: Engine) -> None:
    """An engine may take a step to see that a client has left."""
    async with asyncio.timeout(5):
        while engine.load().running or engine.load().waiting:
            await asyncio.sleep(0.02)


async def test_pieces_come_every_few_tokens_the_first_token_and_the_end_at_once(engine: Engine) -> None:
    whole = await text_of(engine, prompt="short", ignore_eos=True)
    request = replace(request_of("short", ignore_eos=True), stream_interval=5)
    deltas = [delta async for delta in engine.generate(request)]
    assert [d.generated_tokens for d in deltas] == [1, 6, 11, 12]
    assert "".join(d.text for d in deltas) == whole


async def test_a_closed_engine_ends_its_requests_and_takes_no_more(tiny_llama: Path) -> None:
    engine = make_engine(tiny_llama)
    running = engine.generate(request_of(prompt="short", max_tokens=400, ignore_eos=True))
    await anext(running)
    engine.close()
    with pytest.raises(Unavailable):
        async for _ in running:
            pass
    with pytest.raises(Unavailable):
        await collect(engine, prompt="short")
    engine.close()  # again changes nothing
