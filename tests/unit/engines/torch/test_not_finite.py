"""Infinities and NaN: what a request did not write is never read, and a request whose numbers break ends alone."""

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from plait.adapters.metadata import AdapterMetadata
from plait.engines.engine import GenerationRequest, Sampling
from plait.engines.torch.engine import TorchEngine
from plait.engines.torch.kernels import kernels
from plait.errors import NotFinite
from plait.models.chat import FORMATS
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.observability import metrics

PROMPTS = ["Question: which version?\nAnswer:", "short", "a much longer prompt than the other two, with more words"]
KINDS = {"float32": ("float32", "none"), "bfloat16": ("bfloat16", "none"), "int8": ("bfloat16", "int8")}


@pytest.fixture(scope="module", params=KINDS)
def make_engine(request: pytest.FixtureRequest, tiny_model: Path) -> Callable[..., TorchEngine]:
    """Engines whose attention and products are torch's, our kernels', and our kernels' in 8 bits."""
    dtype, quantization = KINDS[request.param]
    if quantization == "int8" and not ((own := kernels()) and own.has_int8):
        pytest.skip("this CPU has no AVX-512 VNNI: products in 8 bits are not tested here")
    return lambda: TorchEngine(tiny_model, dtype=dtype, quantization=quantization)


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sound adapters, and LoRAs with finite weights of one module whose products overflow."""
    from peft import LoraConfig, PrefixTuningConfig

    def lora(modules: str | list[str] = "all-linear") -> Any:
        return LoraConfig(r=4, target_modules=modules, init_lora_weights=False)

    configs: dict[str, tuple[str, Any]] = {
        "lora": ("lora", lora()),
        "prefix": ("prefix", PrefixTuningConfig(num_virtual_tokens=20, task_type="CAUSAL_LM")),
        **{f"huge-{module}": ("lora", lora([module])) for module in HUGE},
    }
    return {
        name: _adapter(tiny_model, tmp_path_factory.mktemp(name), method, config, 1e30 if "huge" in name else 1)
        for name, (method, config) in configs.items()
    }


HUGE = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]


def _adapter(base: Path, folder: Path, method: str, config: Any, factor: float) -> Path:
    from peft import get_peft_model

    torch.manual_seed(1)
    get_peft_model(load_causal_lm(base, "float32"), config).save_pretrained(folder)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: weight * factor for name, weight in weights.items()}, folder / "adapter_model.safetensors")
    fields: dict[str, Any] = {
        "base_model": str(base),
        "base_sha256": model_sha256(base),
        "dataset_sha256": "0",
        "method": method,
        "recipe": {},
        "chat_format": FORMATS["plain"],
        "run_id": "r",
        "run_key": "k",
        "plait_version": "0",
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    AdapterMetadata.model_validate(fields).write(folder)
    return folder


async def answer(engine: TorchEngine, prompt: str, adapter: str | None = None, **asked: Any) -> Any:
    """The text with its log-probabilities, or the error."""
    sampling = Sampling(**{"max_tokens": 20, "logprobs": 1, "ignore_eos": True, **asked})
    try:
        deltas = [delta async for delta in engine.generate(GenerationRequest(prompt, sampling, adapter))]
    except Exception as error:
        return error
    told = [logprob.logprob for delta in deltas for logprob in delta.logprobs]
    return "".join(delta.text for delta in deltas), told


async def answers(engine: TorchEngine, keys: Sequence[str | None]) -> list[Any]:
    return await asyncio.gather(*(answer(engine, prompt, key) for key in keys for prompt in PROMPTS))


def check_same(results: list[Any], expected: list[Any]) -> None:
    for (text, logprobs), (expected_text, expected_logprobs) in zip(results, expected, strict=True):
        assert text == expected_text
        assert logprobs == pytest.approx(expected_logprobs, abs=1e-4)


def failures(code: str) -> float:
    return float(metrics.FAILED_ROWS.labels("base", code)._value.get())


async def test_what_free_blocks_hold_changes_nothing(
    make_engine: Callable[..., TorchEngine], adapters: dict[str, Path]
) -> None:
    keys = ["lora", "prefix"]
    results = []
    for left in (0.0, math.nan, math.inf):
        engine = make_engine()
        for key in keys:
            await engine.load_adapter(key, adapters[key])
        for _ in ("new blocks", "blocks that others had"):
            free = list(engine._loop.pool._empty)
            engine._runner.cache.stored[:, :, [*free, engine._loop.pool.size]] = left  # and the block of rows that pad
            results.append(await answers(engine, [None, *keys]))
    for others in results[2:]:  # in new blocks beginnings are computed, later they are there: bfloat16 rounds otherwise
        check_same(others, results.pop(0))


async def test_a_request_whose_numbers_overflow_ends_alone_and_leaves_nothing_for_others(
    make_engine: Callable[..., TorchEngine], adapters: dict[str, Path]
) -> None:
    undisturbed, engine = make_engine(), make_engine()
    await undisturbed.load_adapter("lora", adapters["lora"])
    for key, folder in adapters.items():
        await engine.load_adapter(key, folder)
    before = failures("not_finite")
    for _ in ("beginnings are computed", "beginnings are there"):
        expected = await answers(undisturbed, [None, "lora"])
        sound, errors = await asyncio.gather(
            answers(engine, [None, "lora"]),
            asyncio.gather(*(answer(engine, PROMPTS[0], f"huge-{module}") for module in HUGE)),
        )
        check_same(sound, expected)
        for error in errors:
            assert isinstance(error, NotFinite)
            assert (error.code, error.http_status) == ("not_finite", 500)
    assert failures("not_finite") == before + 2 * len(HUGE)
    kept = list(engine._loop.pool._hash_of)
    assert len(kept) == len(undisturbed._loop.pool._hash_of) > 0
    assert engine._runner.cache.stored[:, :, kept].isfinite().all()
    assert engine._loop.pool.free == engine._loop.pool.size
