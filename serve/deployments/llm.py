"""The LLM deployment: model names and conversations in, text out; adapters loaded when first asked for.

It joins an engine (which knows only prompts and keys) with the adapters' lifecycle and the chat formats. An adapter
that fails to load costs only the requests that asked for it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from ray import serve
from ray.serve.handle import DeploymentHandle

from plait.adapters.registry import AdapterVersion
from plait.engines.engine import GenerationRequest
from plait.engines.registry import make_engine
from plait.errors import InvalidInput, Unavailable
from plait.lineage.adapters import adapter_lineage, weights_lineage
from plait.lineage.node import LineageNode
from plait.model_ids import BASE, AdapterRef
from plait.models.chat import chat_format_for
from plait.models.source import resolve_model
from plait.observability import metrics, tracing
from plait.serve.adapters.lifecycle import AdapterLifecycle
from plait.serve.adapters.names import Adapter
from plait.serve.adapters.report import ReplicaAdapters
from plait.serve.deployments.call_prompts import CallPrompts
from plait.serve.deployments.canary import answered
from plait.serve.deployments.outcome_reports import OutcomeReports
from plait.serve.messages.arguments import LLMArguments
from plait.serve.messages.calls import Call, Event, TokenizerInfo, Tokens
from plait.serve.messages.protocol import ModelCard
from plait.serve.messages.request_log import log_expected_errors_in_one_line, logged
from plait.settings import settings

_log = logging.getLogger("ray.serve")


class LLM:
    """One base model and the adapters on it."""

    # Serve awaits it: a replica takes no request before its adapters are loaded.
    async def __init__(  # type: ignore[misc]
        self, arguments: LLMArguments, context_budget_tokens: int, rollouts: DeploymentHandle | None = None
    ) -> None:
        log_expected_errors_in_one_line()
        tracing.configure("llm")
        self._arguments = arguments
        self._engine = make_engine(arguments, resolve_model(arguments.model))
        self._prompts = CallPrompts(self._engine, context_budget_tokens)
        self._base_format = chat_format_for(self._engine.tokenizer, arguments.chat_format)
        self._adapters = AdapterLifecycle(self._engine, arguments)
        self._outcomes = OutcomeReports(rollouts)
        self._registered: list[AdapterVersion] = []
        await self._adapters.start()
        # It imports MLflow, which takes two seconds: better before somebody asks for the models.
        self._first_look = asyncio.create_task(self._versions())
        metrics.LLM_REPLICAS.set(1)
        metrics.REPLICA_HOUR_PRICE.set(settings().replica_hour_price)

    async def generate(self, call: Call) -> AsyncIterator[Event]:
        """Answer a call; the stream of it is cancelled with the request.

        Raises:
            ModelNotFound: for an adapter that the registry does not have.
            InvalidInput: for a prompt that is too long, or an adapter that does not fit this base model.
            Overloaded: when the engine's queue is full.
        """
        adapter = call.model.adapter
        attributes = {"plait.request_id": call.request_id, "plait.adapter": adapter.name if adapter else ""}
        with tracing.span(f"generate {call.model}", call.traceparent, attributes) as step:
            last: Event | None = None
            async with aclosing(logged("llm", call, self._generate(call))) as events:
                async for event in events:
                    if last is None:
                        step.span.add_event("first_token", {"plait.queue_s": event.queue_s})
                    last = event
                    yield event
            if last is not None:
                step.span.set_attributes(
                    {
                        "gen_ai.response.model": last.answered_by,
                        "plait.queue_s": last.queue_s,
                        "plait.prompt_tokens": last.prompt_tokens,
                        "plait.cached_tokens": last.cached_tokens,
                        "plait.generated_tokens": last.generated_tokens,
                    }
                )

    async def _generate(self, call: Call) -> AsyncGenerator[Event]:
        started = time.perf_counter()
        async with aclosing(await self._events(call, started)) as events:
            async for event in events:
                yield event

    async def _events(self, call: Call, started: float) -> AsyncGenerator[Event]:
        """Those of the weights that the call means; `started`: when its deadline began to run."""
        if call.model.adapter is None:
            return self._answered_by(None, call, started)
        drawn = await self._adapters.draw(call.model.adapter, call.session or call.request_id)
        part = drawn.part or call.shadow_of
        if part is None:
            return self._answered_by(drawn.adapter, call, started)
        return answered(drawn, part, lambda adapter: self._answered_by(adapter, call, started), self._outcomes)

    async def _answered_by(self, adapter: Adapter | None, call: Call, started: float) -> AsyncGenerator[Event]:
        async with AsyncExitStack() as leases:
            held = await leases.enter_async_context(self._adapters.lease_of(adapter)) if adapter else None
            chat_format = (held.chat_format if held else None) or self._base_format
            prompt = await self._prompts.make(call, chat_format)
            passages = prompt.passages
            key = held.adapter.key if held else None
            location = held.adapter.location if held and held.adapter.location != key else ""
            left_s = None if call.deadline_s is None else max(0.0, call.deadline_s - (time.perf_counter() - started))
            interval = self._arguments.stream_interval if call.is_streamed else max(1, call.sampling.max_tokens)
            sampling = replace(call.sampling, stop=prompt.stop)
            request = GenerationRequest(
                prompt.text,
                sampling,
                adapter=key,
                deadline_s=left_s,
                stream_interval=interval,
                cache_salt=call.cache_salt,
                truncate_prompt_tokens=call.truncate_prompt_tokens,
                is_echoed=call.is_echoed,
                fits_answer=call.fits_answer,
            )
            # Closed before the lease ends: the engine must not go on with an adapter that may be evicted.
            deltas = await leases.enter_async_context(aclosing(self._engine.generate(request)))
            async for delta in deltas:
                yield Event(
                    text=delta.text,
                    prompt_tokens=delta.prompt_tokens,
                    generated_tokens=delta.generated_tokens,
                    finish_reason=delta.finish_reason,
                    answered_by=key or BASE,
                    passages=passages,
                    cached_tokens=delta.cached_tokens,
                    queue_s=delta.queue_s,
                    logprobs=delta.logprobs,
                    prompt_logprobs=delta.prompt_logprobs,
                    prompt_text=delta.prompt_text,
                    stop_string=delta.stop_string,
                    location=location,
                )
                passages, location = (), ""  # said once

    async def tokenize(self, call: Call, add_special_tokens: bool) -> Tokens:
        """The tokens of a call's prompt, in the base model's chat format."""
        prompts = self._engine.prompts
        text = (await self._prompts.make(call, self._base_format)).text
        if call.messages is None and not add_special_tokens and isinstance(text, str):
            prompts.check_length(len(text))
            ids = await prompts.beside_the_loop(
                len(text), self._engine.tokenizer.encode, text, add_special_tokens=False
            )
        else:
            ids = (await prompts.read(text)).tokens
        return Tokens(tuple(ids), self._engine.max_context_tokens)

    async def detokenize(self, tokens: list[int]) -> str:
        """The text of tokens, special ones included.

        Raises:
            InvalidInput: for a number that is no token.
        """
        text: str = await self._engine.prompts.beside_the_loop(len(tokens), self._detokenize, tokens)
        return text

    async def tokenizer_info(self) -> TokenizerInfo:
        """What the base model's tokenizer is."""
        tokenizer = self._engine.tokenizer
        template = tokenizer.chat_template  # several, by their names, are no template for one who asks for none of them
        return TokenizerInfo(
            tokenizer_class=type(tokenizer).__name__,
            bos_token=tokenizer.bos_token,
            eos_token=tokenizer.eos_token,
            pad_token=tokenizer.pad_token,
            unk_token=tokenizer.unk_token,
            chat_template=template if isinstance(template, str) else None,
        )

    def _detokenize(self, tokens: list[int]) -> str:
        size = len(self._engine.tokenizer)
        for token in (min(tokens, default=0), max(tokens, default=0)):
            if not 0 <= token < size:
                raise InvalidInput(f"{token} is no token.", f"Tokens are 0 to {size - 1}.")
        text: str = self._engine.tokenizer.decode(tokens)
        return text

    async def models(self) -> list[ModelCard]:
        """The base model and every adapter of it: those of the admin API, and the registry's by name and by version."""
        cards = [ModelCard(id=BASE, created=0, root=self._arguments.model)]
        cards += [ModelCard(id=a.name, created=0, root=a.location, parent=BASE) for a in self._adapters.served()]
        named = {card.id for card in cards}
        for version in await self._versions():
            if version.metadata.base_model != self._arguments.model:
                continue
            ids = [version.key, *(f"{version.name}@{alias}" for alias in version.aliases)]
            if version.name not in named:
                named.add(version.name)
                ids.insert(0, version.name)
            created = int(version.created_at.timestamp())
            cards += [ModelCard(id=i, created=created, root=str(version.path), parent=BASE) for i in ids]
        return cards

    async def _versions(self) -> list[AdapterVersion]:
        """What the registry holds, or held when it last answered."""
        try:
            self._registered = await asyncio.to_thread(self._adapters.registry.list)
        except Exception as error:  # a tracking server that is down must not hide the base model
            _log.warning("the registry cannot be listed (%s)", error)
        return self._registered

    async def adapter_lineage(self, ref: AdapterRef) -> LineageNode:
        """What a version of the registry was made from.

        Raises:
            ModelNotFound: when there is none.
        """
        return await asyncio.to_thread(lambda: adapter_lineage(self._adapters.registry.open(), ref))

    async def weights_lineage(self, answered_by: str, location: str, base_model: str) -> LineageNode:
        """What the weights of an answer were made from."""
        return await asyncio.to_thread(
            lambda: weights_lineage(self._adapters.registry.open(), answered_by, location, base_model)
        )

    async def load_adapter(self, name: str, location: str, in_place: bool) -> None:
        """Serve an adapter under a name, in every replica."""
        await self._adapters.load(name, location, in_place)

    async def unload_adapter(self, name: str) -> None:
        """Serve it no longer, in any replica."""
        await self._adapters.unload(name)

    async def pin_adapter(self, name: str, is_pinned: bool) -> None:
        """Keep an adapter in memory, or no longer, in every replica."""
        await self._adapters.pin(name, is_pinned)

    async def adapters(self) -> ReplicaAdapters:
        """Which adapters this replica has, and where."""
        replica = serve.get_replica_context().replica_id.unique_id
        return ReplicaAdapters(replica=replica, adapters=self._adapters.residency())

    async def check_health(self) -> None:
        """Serve asks regularly, and starts a replica anew that raises.

        Raises:
            Unavailable: when the served set is no longer followed.
        """
        if not self._adapters.is_kept_up:
            raise Unavailable("This replica no longer follows the served adapters.")

    async def is_ready(self) -> bool:
        """Answers when the model is loaded: a replica takes no call before that."""
        return True
