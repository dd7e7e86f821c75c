"""The engines that there are: what each can do, and how each is made from the settings.

An engine is a folder and an entry in `ENGINES`. It is imported when it is made: each brings libraries along that the
others do not need. Settings that an engine cannot honour are refused before that.
"""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from joblib import cpu_count

from plait.engines.engine import Engine
from plait.engines.settings import EngineSettings, Quantization
from plait.errors import InvalidInput
from plait.native.heap import return_freed_memory


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine.

    Attributes:
        make: makes it on the folder of a base model.
        quantizations: what it can hold a model's weights in.
        own_settings: names of settings that it honours and other engines do not have.
        package: what must be installed besides Plait; empty: nothing.
    """

    make: Callable[[EngineSettings, Path], Engine]
    quantizations: frozenset[Quantization] = frozenset({"none"})
    own_settings: frozenset[str] = frozenset()
    package: str = ""


def check_settings(settings: EngineSettings) -> None:
    """Refuse an engine that is not installed, and settings that it cannot honour.

    A setting that has its default says nothing.

    Raises:
        InvalidInput: with what to install or change.
    """
    name, kind = settings.engine, ENGINES[settings.engine]
    if kind.package and find_spec(kind.package) is None:
        raise InvalidInput(f"The engine '{name}' is not installed.", f"Run: pip install 'plait[{kind.package}]'.")
    if settings.quantization not in kind.quantizations:
        able = [other for other, its in ENGINES.items() if settings.quantization in its.quantizations]
        raise InvalidInput(
            f"The engine '{name}' cannot do llm.quantization={settings.quantization}.",
            f"Serve a base model that is quantised already, or use {_options(able)}.",
        )
    for setting in sorted({each for its in ENGINES.values() for each in its.own_settings} - kind.own_settings):
        value = getattr(settings, setting)
        if value != EngineSettings.model_fields[setting].default:
            able = [other for other, its in ENGINES.items() if setting in its.own_settings]
            raise InvalidInput(
                f"The engine '{name}' has no llm.{setting}, which is {value}.",
                f"Leave it out, or use {_options(able)}.",
            )


def _options(engines: Iterable[str]) -> str:
    return " or ".join(f"llm.engine={name}" for name in engines)


def make_engine(settings: EngineSettings, base: Path) -> Engine:
    """The engine on the base model's folder.

    Raises:
        InvalidInput: when it is not installed, cannot honour a setting, or cannot serve the model.
    """
    check_settings(settings)
    with _without_collection():
        return ENGINES[settings.engine].make(settings, base)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python's collector from what is made here, now and later.

    Of modules and of a tokenizer's millions of strings and lists nothing is garbage: looking them through over and over
    takes more than half of the time to read a tokenizer, and later holds up the answers.
    """
    gc.disable()
    try:
        yield
        return_freed_memory()
        gc.freeze()
    finally:
        gc.enable()


def _make_torch(settings: EngineSettings, base: Path) -> Engine:
    from plait.engines.torch.engine import TorchEngine

    return TorchEngine(
        base,
        dtype=settings.dtype,
        quantization=settings.quantization,
        max_batch_size=settings.max_batch_size,
        max_waiting=settings.max_waiting,
        max_context_tokens=settings.max_context_tokens,
        max_step_tokens=settings.max_step_tokens,
        kv_cache_tokens=settings.kv_cache_tokens,
        # Ray gives a worker one OpenMP thread unless it reserves more CPUs; the engine may use them all.
        threads=None if settings.num_gpus else cpu_count(),
    )


def _make_vllm(settings: EngineSettings, base: Path) -> Engine:
    from plait.engines.vllm.engine import VLLMEngine

    return VLLMEngine(
        base,
        dtype=settings.dtype,
        max_batch_size=settings.max_batch_size,
        max_waiting=settings.max_waiting,
        max_context_tokens=settings.max_context_tokens,
        max_step_tokens=settings.max_step_tokens,
        kv_cache_tokens=settings.kv_cache_tokens,
        max_loras=settings.max_loras,
        max_lora_rank=settings.max_lora_rank,
        max_loaded_loras=settings.max_loaded_adapters,
    )


ENGINES: dict[str, EngineKind] = {
    "torch": EngineKind(_make_torch, quantizations=frozenset({"none", "nf4", "int8"})),
    "vllm": EngineKind(_make_vllm, own_settings=frozenset({"max_loras", "max_lora_rank"}), package="vllm"),
}
