"""The LLM deployment: model names and conversations in, text out; adapters loaded when first asked for.

It joins an engine (which knows only prompts and keys) with the registry and the chat formats. An adapter that fails to
load costs only the requests that asked for it.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace

from plait.adapters.registry import AdapterVersion, Registry
from plait.model_ids import BASE, AdapterRef
from plait.models.chat import ChatFormat, chat_format_for
from plait.models.source import resolve_model
from plait.observability import metrics
from plait.retrieval.context import with_passages
from plait.retrieval.passage import Passage
from plait.serve.arguments import LLMArguments
from plait.serve.calls import Call, Event
from plait.serve.engines.engine import GenerationRequest
from plait.serve.engines.torch_engine import TorchEngine
from plait.serve.protocol import ModelCard


class LLM:
    """One base model and the adapters on it."""

    def __init__(self, arguments: LLMArguments, context_budget_tokens: int) -> None:
        self._arguments = arguments
        self._budget = context_budget_tokens
        self._engine = TorchEngine(
            resolve_model(arguments.model),
            dtype=arguments.dtype,
            quantization=arguments.quantization,
            max_batch_size=arguments.max_batch_size,
            max_waiting=arguments.max_waiting,
            max_context_tokens=arguments.max_context_tokens,
            max_step_tokens=arguments.max_step_tokens,
            kv_cache_tokens=arguments.kv_cache_tokens,
            # Ray gives a worker one OpenMP thread unless it reserves more CPUs; the engine may use them all.
            threads=None if arguments.num_gpus else os.cpu_count(),
        )
        self._base_format = chat_format_for(self._engine.tokenizer, arguments.chat_format)
        self._registry = Registry()
        self._loading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def generate(self, call: Call) -> AsyncIterator[Event]:
        """Answer a call; the stream of it is cancelled with the request.

        Raises:
            ModelNotFound: for an adapter that the registry does not have.
            InvalidInput: for a prompt that is too long, or an adapter that does not fit this base model.
            Overloaded: when the engine's queue is full.
        """
        version = await self._adapter(call.model.adapter) if call.model.adapter else None
        prompt, passages, stop = self._prompt(call, version.metadata.chat_format if version else self._base_format)
        request = GenerationRequest(
            prompt=prompt,
            sampling=replace(call.sampling, stop=stop),
            adapter=version.key if version else None,
        )
        answered_by = version.key if version else BASE
        async for delta in self._engine.generate(request):
            yield Event(
                text=delta.text,
                prompt_tokens=delta.prompt_tokens,
                generated_tokens=delta.generated_tokens,
                finish_reason=delta.finish_reason,
                answered_by=answered_by,
                passages=passages if delta.generated_tokens == 1 else (),
            )

    def _prompt(self, call: Call, chat_format: ChatFormat) -> tuple[str, tuple[Passage, ...], tuple[str, ...]]:
        """The text to continue, the passages in it, and where the answer stops."""
        if call.messages is None:
            return call.prompt, (), call.sampling.stop
        grounded = with_passages(call.messages, call.passages, self._budget, self._engine.count_tokens)
        return chat_format.render(grounded.messages), grounded.passages, (*call.sampling.stop, *chat_format.stop)

    async def _adapter(self, ref: AdapterRef) -> AdapterVersion:
        """The version that a name means now, loaded into the engine; concurrent first requests cause one load."""
        version = await asyncio.to_thread(self._registry.resolve, ref)
        if self._engine.has_adapter(version.key):
            return version
        async with self._loading[version.key]:
            if not self._engine.has_adapter(version.key):
                outcome = "failed"
                try:
                    await self._engine.load_adapter(version.key, version.path)
                    outcome = "loaded"
                finally:
                    metrics.ADAPTER_LOADS.labels(adapter=version.name, outcome=outcome).inc()
        return version

    async def models(self) -> list[ModelCard]:
        """The base model and every adapter of it in the registry, by name and by pinned version."""
        versions = await asyncio.to_thread(self._registry.list)
        cards = [ModelCard(id=BASE, created=0, root=self._arguments.model)]
        named: set[str] = set()
        for version in versions:
            if version.metadata.base_model != self._arguments.model:
                continue
            ids = [version.key, *(f"{version.name}@{alias}" for alias in version.aliases)]
            if version.name not in named:
                named.add(version.name)
                ids.insert(0, version.name)
            created = int(version.created_at.timestamp())
            cards += [ModelCard(id=i, created=created, root=str(version.path), parent=BASE) for i in ids]
        return cards

    async def is_ready(self) -> bool:
        """Answers when the model is loaded: a replica takes no call before that."""
        return True
