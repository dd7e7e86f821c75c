"""Which engine runs a base model: the arguments of the LLM deployment in, an engine out.

Engines are imported only when they are asked for: each brings libraries along that the other does not need.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from joblib import cpu_count

from plait.engines.engine import Engine
from plait.errors import InvalidInput
from plait.native.heap import return_freed_memory
from plait.serve.messages.arguments import LLMArguments


def check_engine(arguments: LLMArguments) -> None:
    """Refuse an engine that is not installed, or arguments that it does not know.

    Raises:
        InvalidInput: with what to install or change.
    """
    if arguments.engine != "vllm":
        return
    if find_spec("vllm") is None:
        raise InvalidInput("The engine 'vllm' is not installed.", "Run: pip install 'plait[vllm]'.")
    if arguments.quantization != "none":
        raise InvalidInput(
            f"llm.quantization={arguments.quantization} is the torch engine's.",
            "vLLM serves a base model that is quantised already; or: llm.engine=torch.",
        )


def make_engine(arguments: LLMArguments, base: Path) -> Engine:
    """The engine on the base model's folder.

    Raises:
        InvalidInput: when it is not installed, or the model cannot be served.
    """
    check_engine(arguments)
    with _without_collection():
        return _load(arguments, base)


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


def _load(arguments: LLMArguments, base: Path) -> Engine:
    if arguments.engine == "vllm":
        from plait.engines.vllm.engine import VLLMEngine

        return VLLMEngine(
            base,
            dtype=arguments.dtype,
            max_batch_size=arguments.max_batch_size,
            max_waiting=arguments.max_waiting,
            max_context_tokens=arguments.max_context_tokens,
            kv_cache_tokens=arguments.kv_cache_tokens,
            max_loras=arguments.max_loras,
            max_lora_rank=arguments.max_lora_rank,
            max_loaded_loras=arguments.max_loaded_adapters,
        )
    from plait.engines.torch.engine import TorchEngine

    return TorchEngine(
        base,
        dtype=arguments.dtype,
        quantization=arguments.quantization,
        max_batch_size=arguments.max_batch_size,
        max_waiting=arguments.max_waiting,
        max_context_tokens=arguments.max_context_tokens,
        max_step_tokens=arguments.max_step_tokens,
        kv_cache_tokens=arguments.kv_cache_tokens,
        # Ray gives a worker one OpenMP thread unless it reserves more CPUs; the engine may use them all.
        threads=None if arguments.num_gpus else cpu_count(),
    )
