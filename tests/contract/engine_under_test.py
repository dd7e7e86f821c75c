"""The engine that PLAIT_TEST_ENGINE names."""

import os
from pathlib import Path

from plait.engines.engine import Engine

ENGINE = os.environ.get("PLAIT_TEST_ENGINE", "torch")
MAX_BATCH_SIZE, MAX_WAITING, MAX_CONTEXT_TOKENS = 4, 16, 512


def make_engine(base: Path) -> Engine:
    """An engine of this kind on the tiny model's folder."""
    if ENGINE == "torch":
        from plait.engines.torch.engine import TorchEngine

        return TorchEngine(
            base,
            dtype="float32",
            max_batch_size=MAX_BATCH_SIZE,
            max_waiting=MAX_WAITING,
            max_context_tokens=MAX_CONTEXT_TOKENS,
        )
    if ENGINE == "vllm":
        from plait.engines.vllm.engine import VLLMEngine

        return VLLMEngine(
            base,
            dtype="float32",
            max_batch_size=MAX_BATCH_SIZE,
            max_waiting=MAX_WAITING,
            max_context_tokens=MAX_CONTEXT_TOKENS,
            max_loras=4,
            max_lora_rank=16,
            kv_cache_tokens=4096,
        )
    raise ValueError(f"PLAIT_TEST_ENGINE is '{ENGINE}': there are torch and vllm")
