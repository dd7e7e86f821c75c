"""An engine that Plait does not have, in one file: it says the end of its prompt once more, for docs/extending.md."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from plait.engines.engine import EngineLoad, GenerationDelta, GenerationRequest, LoadedAdapter
from plait.engines.prompts import PromptReader
from plait.engines.registry import ENGINES, EngineKind
from plait.engines.settings import EngineSettings
from plait.errors import ModelNotFound
from plait.models.tokenizer import load_tokenizer


class EchoEngine:
    """Answers a request with the last `max_tokens` tokens of its prompt."""

    def __init__(self, settings: EngineSettings, base: Path) -> None:
        self.max_context_tokens = settings.max_context_tokens or 4096
        self.tokenizer = load_tokenizer(base)
        self.prompts = PromptReader(self.tokenizer, self.max_context_tokens)
        self._adapters: dict[str, LoadedAdapter] = {}
        self._running = 0

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta]:
        if request.adapter is not None and request.adapter not in self._adapters:
            raise ModelNotFound(f"The adapter '{request.adapter}' is not loaded.")
        prompt = (await self.prompts.read(request.prompt)).tokens
        self._running += 1
        try:
            answer = prompt[-request.sampling.max_tokens :]
            for count, token in enumerate(answer, start=1):
                finish_reason = "length" if count == len(answer) else None
                yield GenerationDelta(self.tokenizer.decode([token]), len(prompt), count, finish_reason)
        finally:
            self._running -= 1

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    async def load_adapter(self, key: str, folder: Path) -> None:
        self._adapters[key] = LoadedAdapter(rank=0, memory_bytes=0, in_batch=False, requests=0)

    async def unload_adapter(self, key: str) -> None:
        self._adapters.pop(key, None)

    def has_adapter(self, key: str) -> bool:
        return key in self._adapters

    def adapters(self) -> Mapping[str, LoadedAdapter]:
        return self._adapters

    def load(self) -> EngineLoad:
        return EngineLoad(running=self._running, waiting=0, kv_use=0.0)

    def close(self) -> None:
        self.prompts.close()


ENGINES["echo"] = EngineKind(EchoEngine)
