"""The torch engine on a tiny model: same text in any company, clean ends, adapters that differ."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from plait.adapters.metadata import AdapterMetadata
from plait.engines.engine import GenerationDelta, GenerationRequest, Sampling
from plait.engines.text_stream import TextStream
from plait.engines.torch.engine import TorchEngine
from plait.errors import InvalidInput, ModelNotFound, Overloaded
from plait.models.chat import FORMATS
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer

PROMPTS = ["Question: which version?\nAnswer:", "short", "a much longer prompt than the other two, with more words"]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TorchEngine:
    return TorchEngine(tiny_model, dtype="float32", max_batch_size=4, max_waiting=8)


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters with weights far from zero, so that their texts really differ."""
    from peft import LoraConfig, get_peft_model

    folders = {}
    for seed, name in enumerate(("one.a:1", "two:1"), start=1):
        torch.manual_seed(seed)
        model = get_peft_model(
            load_causal_lm(tiny_model, "float32"), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        )
        folders[name] = tmp_path_factory.mktemp(f"adapter{seed}")
        model.save_pretrained(folders[name])
        metadata(tiny_model).write(folders[name])
    return folders


def metadata(base: Path, **changes: str) -> AdapterMetadata:
    fields: dict[str, Any] = {
        "base_model": str(base),
        "base_sha256": model_sha256(base),
        "dataset_sha256": "0",
        "method": "lora",
        "recipe": {},
        "chat_format": FORMATS["plain"],
        "run_id": "r",
        "run_key": "k",
        "plait_version": "0",
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return AdapterMetadata.model_validate(fields | changes)


async def collect(engine: TorchEngine, **request: Any) -> list[GenerationDelta]:
    return [d async for d in engine.generate(request_of(**request))]


def request_of(
    prompt: str,
    adapter: str | None = None,
    deadline_s: float | None = None,
    stream_interval: int = 1,
    **sampling: Any,
) -> GenerationRequest:
    return GenerationRequest(prompt, Sampling(**{"max_tokens": 12, **sampling}), adapter, deadline_s, stream_interval)


async def text_of(engine: TorchEngine, **request: Any) -> str:
    return "".join(delta.text for delta in await collect(engine, **request))


def greedy_reference(base: Path, prompt: str, adapter: Path | None = None, steps: int = 12) -> str:
    """The text by transformers' own generate, alone in its batch."""
    tokenizer = load_tokenizer(base)
    model = load_causal_lm(base, "float32")
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    ids = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**ids, max_new_tokens=steps, do_sample=False)
    text = str(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
    return text.rstrip("\ufffd")  # a stream leaves out the bytes of a character that never became whole


async def test_greedy_text_equals_transformers_generate_in_a_batch_of_unequal_prompts(
    engine: TorchEngine, tiny_model: Path
) -> None:
    texts = await asyncio.gather(*(text_of(engine, prompt=prompt) for prompt in PROMPTS))
    assert texts == [greedy_reference(tiny_model, prompt) for prompt in PROMPTS]


async def test_rows_that_end_early_do_not_disturb_the_others(engine: TorchEngine, tiny_model: Path) -> None:
    lengths = [1, 12, 5]
    texts = await asyncio.gather(
        *(text_of(engine, prompt=p, max_tokens=n) for p, n in zip(PROMPTS, lengths, strict=True))
    )
    assert texts == [greedy_reference(tiny_model, p, steps=n) for p, n in zip(PROMPTS, lengths, strict=True)]


async def test_counts_and_the_reason_of_the_end_are_told(engine: TorchEngine) -> None:
    deltas = await collect(engine, prompt="short", max_tokens=3)
    assert [d.generated_tokens for d in deltas] == [1, 2, 3]
    assert [d.finish_reason for d in deltas] == [None, None, "length"]
    assert deltas[-1].prompt_tokens == engine.count_tokens("short") + 1  # BOS


async def test_pieces_come_every_few_tokens_the_first_token_and_the_end_at_once(engine: TorchEngine) -> None:
    whole = await text_of(engine, prompt="short")
    deltas = await collect(engine, prompt="short", stream_interval=5)
    assert [d.generated_tokens for d in deltas] == [1, 6, 11, 12]
    assert "".join(d.text for d in deltas) == whole


async def test_a_stop_string_ends_the_text_and_stays_out_of_it(engine: TorchEngine) -> None:
    whole = await text_of(engine, prompt="short")
    stop = whole[3:5]
    deltas = await collect(engine, prompt="short", stop=(stop,))
    assert "".join(d.text for d in deltas) == whole[: whole.index(stop)]
    assert deltas[-1].finish_reason == "stop"


async def test_log_probabilities_have_the_bytes_of_the_text(engine: TorchEngine) -> None:
    for seed in range(4):
        deltas = await collect(engine, prompt="short", max_tokens=40, temperature=2.0, seed=seed, logprobs=3)
        told = [logprob for delta in deltas for logprob in delta.logprobs]
        text = "".join(delta.text for delta in deltas)
        said = b"".join(logprob.utf8 for logprob in told)
        assert any(len(logprob.token.encode()) != len(logprob.utf8) for logprob in told)  # parts of characters
        for special in ("<pad>", "<eos>", "<bos>"):
            said = said.replace(special.encode(), b"")
        assert said.decode(errors="replace").rstrip("\ufffd") == text.rstrip("\ufffd")


async def test_a_seed_gives_the_same_text_whatever_shares_the_batch(engine: TorchEngine) -> None:
    seeded = {"prompt": "short", "temperature": 1.0, "top_p": 0.9, "seed": 7}
    alone = await text_of(engine, **seeded)
    together, *_ = await asyncio.gather(
        text_of(engine, **seeded), *(text_of(engine, prompt=p, temperature=2.0) for p in PROMPTS)
    )
    assert together == alone
    assert await text_of(engine, **{**seeded, "seed": 8}) != alone


async def test_a_seed_holds_with_penalties_and_top_k_and_when_the_answer_is_computed_anew(tiny_model: Path) -> None:
    seeded = {
        "prompt": "short",
        "max_tokens": 40,
        "temperature": 1.2,
        "top_k": 20,
        "min_p": 0.01,
        "repetition_penalty": 1.4,
        "frequency_penalty": 0.7,
        "seed": 7,
    }
    roomy = TorchEngine(tiny_model, dtype="float32")
    alone = await text_of(roomy, **seeded)
    # Three answers do not fit: the newest, which is the seeded one, gives its blocks back on the way.
    tight = TorchEngine(tiny_model, dtype="float32", kv_cache_tokens=112)
    *_, together = await asyncio.gather(
        *(text_of(tight, prompt=p, max_tokens=40, temperature=2.0) for p in PROMPTS[:2]), text_of(tight, **seeded)
    )
    assert together == alone
    assert await text_of(roomy, **{**seeded, "frequency_penalty": 0.0}) != alone


async def test_each_adapter_answers_as_peft_alone_would(
    engine: TorchEngine, tiny_model: Path, adapters: dict[str, Path]
) -> None:
    for key, folder in adapters.items():
        await engine.load_adapter(key, folder)
    keys: Sequence[str | None] = [None, *adapters]
    texts = await asyncio.gather(*(text_of(engine, prompt="short", adapter=key) for key in keys))
    expected = [greedy_reference(tiny_model, "short", adapters[key] if key else None) for key in keys]
    assert texts == expected
    assert len(set(texts)) == 3


async def test_a_prefix_adapter_answers_as_peft_alone_would_the_second_time_too(
    tiny_model: Path, tmp_path: Path
) -> None:
    from peft import PrefixTuningConfig, get_peft_model

    config = PrefixTuningConfig(num_virtual_tokens=20, task_type="CAUSAL_LM")
    model = get_peft_model(load_causal_lm(tiny_model, "float32"), config)
    torch.nn.init.normal_(model.prompt_encoder["default"].embedding.weight)
    model.save_pretrained(tmp_path)
    metadata(tiny_model, method="prefix").write(tmp_path)
    engine = TorchEngine(tiny_model, dtype="float32")
    await engine.load_adapter("prefix:1", tmp_path)
    expected = greedy_reference(tiny_model, PROMPTS[0], tmp_path)
    # The first computes what the second finds in the cache: the adapter's blocks and the prompt's.
    for _ in range(2):
        deltas = await collect(engine, prompt=PROMPTS[0], adapter="prefix:1")
        assert "".join(d.text for d in deltas) == expected
        assert deltas[-1].prompt_tokens == engine.count_tokens(PROMPTS[0]) + 1
    assert await text_of(engine, prompt=PROMPTS[0]) == greedy_reference(tiny_model, PROMPTS[0])


async def test_a_base_in_4_bits_answers_as_transformers_does_with_it(
    tiny_model: Path, adapters: dict[str, Path]
) -> None:
    engine = TorchEngine(tiny_model, dtype="float32", quantization="nf4")
    tokenizer, model = load_tokenizer(tiny_model), load_causal_lm(tiny_model, "float32", "nf4")
    ids = tokenizer(PROMPTS[0], return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert await text_of(engine, prompt=PROMPTS[0]) == tokenizer.decode(out, skip_special_tokens=True).rstrip("\ufffd")
    await engine.load_adapter("two:1", adapters["two:1"])
    assert await text_of(engine, prompt=PROMPTS[0], adapter="two:1") != await text_of(engine, prompt=PROMPTS[0])


async def test_little_memory_makes_requests_wait_and_changes_no_text(tiny_model: Path) -> None:
    engine = TorchEngine(tiny_model, dtype="float32", kv_cache_tokens=112, max_step_tokens=7)
    texts = await asyncio.gather(*(text_of(engine, prompt=prompt, max_tokens=40) for prompt in PROMPTS * 2))
    assert texts == [greedy_reference(tiny_model, prompt, steps=40) for prompt in PROMPTS * 2]


async def test_a_request_that_the_cache_could_never_hold_is_refused(tiny_model: Path) -> None:
    engine = TorchEngine(tiny_model, dtype="float32", kv_cache_tokens=64)
    with pytest.raises(InvalidInput, match="together exceed the context of 64 tokens"):
        await collect(engine, prompt="short", max_tokens=64)


async def test_a_request_joins_those_that_run(engine: TorchEngine) -> None:
    long = engine.generate(request_of(prompt="short", max_tokens=400))
    await anext(long)
    short = await collect(engine, prompt="another", max_tokens=3)
    assert len(short) == 3
    so_far = await anext(long)
    assert so_far.finish_reason is None  # the long one was under way all the time
    assert so_far.generated_tokens < 400
    await long.aclose()  # type: ignore[attr-defined]


async def test_after_its_deadline_an_answer_ends_with_what_there_is(engine: TorchEngine) -> None:
    deltas = await collect(engine, prompt="short", max_tokens=450, ignore_eos=True, deadline_s=0.2)
    assert deltas[-1].finish_reason == "deadline"
    assert 0 < deltas[-1].generated_tokens < 450
    assert engine.load().running == 0


async def test_an_adapter_is_unloaded_once_no_request_uses_it(
    engine: TorchEngine, tiny_model: Path, adapters: dict[str, Path]
) -> None:
    await engine.load_adapter("leaving:1", adapters["two:1"])
    expected = greedy_reference(tiny_model, "short", adapters["two:1"])
    running = engine.generate(request_of(prompt="short", adapter="leaving:1"))
    said = (await anext(running)).text
    assert engine.adapters()["leaving:1"].requests == 1
    unloading = asyncio.create_task(engine.unload_adapter("leaving:1"))
    await asyncio.sleep(0)
    with pytest.raises(ModelNotFound, match="'leaving:1' is not loaded"):
        await collect(engine, prompt="short", adapter="leaving:1")
    assert said + "".join([delta.text async for delta in running]) == expected
    await unloading
    assert "leaving:1" not in engine.adapters()


async def test_other_weights_under_a_key_find_nothing_of_the_earlier_ones_in_the_cache(
    engine: TorchEngine, tiny_model: Path, adapters: dict[str, Path]
) -> None:
    prompt = PROMPTS[2]
    for folder in (adapters["one.a:1"], adapters["two:1"]):
        await engine.load_adapter("same", folder)
        assert await text_of(engine, prompt=prompt, adapter="same") == greedy_reference(tiny_model, prompt, folder)
        await engine.unload_adapter("same")


async def test_tokens_that_were_computed_for_another_request_are_counted(engine: TorchEngine) -> None:
    prompt = "a beginning of more than sixteen tokens that no other test has"
    first, second = [(await collect(engine, prompt=prompt))[-1].cached_tokens for _ in range(2)]
    assert first == 0
    assert second == (engine.count_tokens(prompt) // 16) * 16 > 0


async def test_an_adapter_that_is_not_loaded_is_named(engine: TorchEngine) -> None:
    with pytest.raises(ModelNotFound, match="'none:1' is not loaded"):
        await collect(engine, prompt="x", adapter="none:1")


async def test_an_adapter_of_another_base_model_is_refused(
    engine: TorchEngine, adapters: dict[str, Path], tmp_path: Path, tiny_model: Path
) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(adapters["two:1"], foreign)
    metadata(tiny_model, base_sha256="other", base_model="org/other").write(foreign)
    with pytest.raises(InvalidInput, match=r"trained on another base model \(org/other\)"):
        await engine.load_adapter("foreign:1", foreign)


@pytest.mark.parametrize("damage", ["no weights", "weights of another rank", "one NaN", "alpha is NaN"])
async def test_weights_that_do_not_load_cost_neither_the_base_model_nor_other_adapters(
    damage: str, tiny_model: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    broken, sound = tmp_path / "broken", adapters["two:1"]
    shutil.copytree(sound, broken)
    if damage == "no weights":
        (broken / "adapter_model.safetensors").write_bytes(b"no weights")
    elif damage == "one NaN":
        weights = load_file(broken / "adapter_model.safetensors")
        weights[min(weights)][0, 0] = float("nan")
        save_file(weights, broken / "adapter_model.safetensors")
    else:
        config = json.loads((broken / "adapter_config.json").read_text())
        changes = {"r": 8} if damage == "weights of another rank" else {"lora_alpha": float("nan")}
        (broken / "adapter_config.json").write_text(json.dumps(config | changes))
    fresh = TorchEngine(tiny_model, dtype="float32")
    base_text = await text_of(fresh, prompt="short")
    for _ in ("as the first adapter", "beside another"):
        with pytest.raises(InvalidInput, match=r"'broken:1' cannot be loaded|is no valid JSON"):
            await fresh.load_adapter("broken:1", broken)
        assert not fresh.has_adapter("broken:1")
        assert await text_of(fresh, prompt="short") == base_text
        await fresh.load_adapter("two:1", sound)
        assert await text_of(fresh, prompt="short", adapter="two:1") == greedy_reference(tiny_model, "short", sound)


async def test_a_prefix_that_leaves_no_context_is_refused(
    engine: TorchEngine, tiny_model: Path, tmp_path: Path
) -> None:
    from peft import PrefixTuningConfig, get_peft_model

    settings = PrefixTuningConfig(num_virtual_tokens=engine.max_context_tokens, task_type="CAUSAL_LM")
    get_peft_model(load_causal_lm(tiny_model, "float32"), settings).save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=r"its prefix of .* tokens leaves none of the context"):
        await engine.load_adapter("long:1", tmp_path)


async def test_a_pickled_adapter_is_refused(engine: TorchEngine, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(InvalidInput, match="pickled weights"):
        await engine.load_adapter("bad:1", tmp_path)


async def test_a_prompt_beyond_the_context_is_refused_with_its_length(engine: TorchEngine) -> None:
    with pytest.raises(InvalidInput, match=r"The prompt \(\d+ tokens\) and max_tokens \(600\) together exceed"):
        await collect(engine, prompt="x", max_tokens=600)


async def test_a_full_queue_refuses_and_recovers(engine: TorchEngine) -> None:
    outcomes = await asyncio.gather(
        *(text_of(engine, prompt="short", max_tokens=40) for _ in range(30)), return_exceptions=True
    )
    refused = [o for o in outcomes if isinstance(o, Overloaded)]
    assert refused
    assert all(isinstance(o, str | Overloaded) for o in outcomes)
    assert await text_of(engine, prompt="short")


async def test_a_client_that_leaves_frees_its_row(engine: TorchEngine) -> None:
    stream = engine.generate(request_of(prompt="short", max_tokens=400))
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    started = asyncio.get_running_loop().time()
    await text_of(engine, prompt="short", max_tokens=2)
    waited = asyncio.get_running_loop().time() - started
    started = asyncio.get_running_loop().time()
    await text_of(engine, prompt="short", max_tokens=400)
    assert waited < (asyncio.get_running_loop().time() - started) / 4


async def test_a_batch_that_fails_tells_its_requests_and_the_engine_goes_on(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("plait.engines.torch.model_runner.pack", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            await text_of(engine, prompt="short")
    assert await text_of(engine, prompt="short")


@given(st.text(min_size=1, max_size=40), st.lists(st.text(min_size=1, max_size=3), max_size=3))
def test_streamed_text_is_the_text_up_to_the_first_stop(text: str, stop: list[str]) -> None:
    tokenizer = _byte_tokenizer()
    stream = TextStream(tokenizer, stop)
    ids = tokenizer.backend_tokenizer.encode(text).ids
    streamed = "".join(stream.push(token) for token in ids) + stream.end()
    ends = [(text.index(s) + len(s), text.index(s)) for s in stop if s in text]
    assert streamed == text[: min(ends)[1] if ends else len(text)]  # of those that end first, the longest


class _byte_tokenizer:
    """A tokenizer of single bytes: every character beyond ASCII comes in parts."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        self.backend_tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
        self.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self.backend_tokenizer.decoder = decoders.ByteLevel()
