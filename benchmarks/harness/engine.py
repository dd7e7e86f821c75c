"""Completions of an engine in this process."""

import time

from harness.load import Completion, Timing
from plait.engines.engine import Engine, GenerationRequest, Sampling


class EngineClient:
    """Completions of an `Engine` in this process; the model `base` is the one without an adapter."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def complete(self, completion: Completion) -> Timing:
        sent, first, tokens = time.perf_counter(), 0.0, 0
        sampling = Sampling(max_tokens=completion.tokens, ignore_eos=True)
        adapter = None if completion.model == "base" else completion.model
        async for delta in self._engine.generate(GenerationRequest(completion.prompt, sampling, adapter)):
            first = first or time.perf_counter() - sent
            tokens = delta.generated_tokens
        return Timing(tokens, first)
