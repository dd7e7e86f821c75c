"""The vllm engine: vLLM's AsyncLLM behind the interface of engines, for GPUs and for LoRA only.

In: prompts as tokens, adapters as folders. Out: text as it comes. vLLM's own process computes; requests and adapters
are counted here. Nothing imports this module without vLLM: `choose` says what is missing.
"""

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from vllm import TokensPrompt
from vllm.config import StructuredOutputsConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.loggers import StatLoggerBase

from plait.engines.admission import (
    cannot_be_loaded,
    check_adapter,
    check_length,
    check_queue,
    check_request,
    check_tokens,
    closed,
    fitted,
    not_loaded,
    tokens_to_keep,
)
from plait.engines.constraint_check import ConstraintCheck
from plait.engines.context_size import bearable_bytes_of_machine, bytes_of_a_token, context_size
from plait.engines.engine import EngineLoad, GenerationDelta, GenerationRequest, LoadedAdapter
from plait.engines.prompts import Prompt, PromptReader
from plait.engines.settings import DEFAULTS
from plait.engines.vllm.adapters import check_lora
from plait.engines.vllm.messages import next_delta, only_read, sampling_params
from plait.engines.vocabulary import Vocabulary
from plait.errors import InvalidInput, Unavailable, first_line
from plait.model_ids import BASE
from plait.models.fingerprint import model_sha256
from plait.models.tokenizer import load_tokenizer
from plait.observability import metrics

_TOKENS_TO_SPARE = 256
"""A request's keys and values end in a block that is not full: vLLM's largest, on CPUs, has 128 tokens."""

_USED_OF_A_GPU = 0.9  # vLLM's default is 0.92


@dataclass(frozen=True)
class _Adapter:
    lora: LoRARequest
    rank: int
    memory_bytes: int


class VLLMEngine:
    """An `Engine` on a base model's folder.

    Args:
        base: folder of the base model.
        dtype: type that it computes in.
        max_batch_size: requests that share a step.
        max_waiting: requests that may wait; one more is refused.
        max_context_tokens: prompt and answer together, no more than the model was made for; None: as many as that and
            memory bear.
        max_step_tokens: tokens of a step, one at least for each of its requests; None leaves vLLM's choice.
        kv_cache_tokens: tokens whose keys and values are kept; None: as `context_size` says.
        max_loras: different adapters in a step; a request of one more waits.
        max_lora_rank: the highest rank; every adapter takes the memory and time of it.
        max_loaded_loras: adapters in memory; beyond, vLLM reads the least used ones from their folders again.

    Raises:
        InvalidInput: when `max_step_tokens` is below `max_batch_size`.
    """

    def __init__(
        self,
        base: Path,
        dtype: Any = DEFAULTS.dtype,
        max_batch_size: int = DEFAULTS.max_batch_size,
        max_waiting: int = DEFAULTS.max_waiting,
        max_context_tokens: int | None = DEFAULTS.max_context_tokens,
        max_step_tokens: int | None = None,
        kv_cache_tokens: int | None = None,
        max_loras: int = DEFAULTS.max_loras,
        max_lora_rank: Any = DEFAULTS.max_lora_rank,
        max_loaded_loras: int = DEFAULTS.max_loaded_adapters,
    ) -> None:
        if max_step_tokens is not None and max_step_tokens < max_batch_size:
            raise InvalidInput(
                f"llm.max_step_tokens={max_step_tokens} is below llm.max_batch_size={max_batch_size}: "
                "a step of vLLM has a token of each of its requests.",
                "Raise the one, or lower the other.",
            )
        self.tokenizer = load_tokenizer(base)
        self._base_sha256 = model_sha256(base)
        config = AutoConfig.from_pretrained(base).get_text_config()
        self._dtype = getattr(torch, dtype)
        of_a_token = bytes_of_a_token(config, self._dtype.itemsize)
        bearable = _bearable_bytes(base) // of_a_token
        longest = config.max_position_embeddings
        size = context_size(longest, max_batch_size, bearable, max_context_tokens, kv_cache_tokens)
        self.max_context_tokens = size.context_tokens
        self.prompts = PromptReader(self.tokenizer, self.max_context_tokens)
        self._constraints = ConstraintCheck()
        self._max_batch_size, self._max_waiting = max_batch_size, max_waiting
        self._max_loras, self._max_lora_rank = max_loras, max_lora_rank
        to_spare = 0 if kv_cache_tokens else max_batch_size * _TOKENS_TO_SPARE
        if current_platform.is_cpu():
            # Left to itself vLLM keeps a core free, and takes one of two that share their units.
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", cores)
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        arguments = AsyncEngineArgs(
            model=str(base),
            dtype=dtype,
            max_model_len=self.max_context_tokens,
            max_num_seqs=max_batch_size,
            max_num_batched_tokens=max_step_tokens,
            kv_cache_memory_bytes=(size.cache_tokens + to_spare) * of_a_token,
            enable_lora=True,
            max_loras=max_loras,
            max_lora_rank=max_lora_rank,
            max_cpu_loras=max(max_loras, max_loaded_loras),
            # The torch engine's grammars too: a model that may put spaces anywhere may never stop to.
            structured_outputs_config=StructuredOutputsConfig(backend="guidance", disable_any_whitespace=True),
            worker_extension_cls="plait.engines.vllm.cpu.WorkerExtension" if current_platform.is_cpu() else "",
            disable_log_stats=True,  # its own metrics; what we record comes from _Steps
        )
        self._kv_use = 0.0
        self._llm = AsyncLLM.from_engine_args(arguments, stat_loggers=[lambda *_: _Steps(self._measure)])
        self._vocabulary = Vocabulary(self.tokenizer, [])
        self._numbers = itertools.count(1)
        self._adapters: dict[str, _Adapter] = {}  # the last used are last
        self._requests: Counter[str | None] = Counter()
        self._changed = asyncio.Condition()
        self._is_closed = False

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def has_adapter(self, key: str) -> bool:
        return key in self._adapters

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta]:
        if self._is_closed:
            raise closed()
        check_request(request)
        check_tokens(request, len(self._vocabulary))
        keep = tokens_to_keep(request, self.max_context_tokens)
        prompt = await self.prompts.read(request.prompt, keep, request.is_echoed)
        request = fitted(request, len(prompt.tokens), self.max_context_tokens)
        if (constraint := request.sampling.constraint) is not None:
            checked = await self._constraints.check(constraint)
            if checked.kind == "json_schema":
                request = replace(request, sampling=replace(request.sampling, json_schema=checked.text))
        # Even where none is wanted vLLM makes a token.
        check_length(len(prompt.tokens), max(request.sampling.max_tokens, 1), self.max_context_tokens)
        check_queue(self.load().waiting, self._max_waiting)
        adapter = self._use(request.adapter) if request.adapter is not None else None
        # What an adapter's requests are counted by: its key may mean other weights before this one ends.
        counted = adapter.lora.lora_name if adapter else None
        self._requests[counted] += 1
        try:
            async with aclosing(self._generate(request, prompt, adapter.lora if adapter else None)) as deltas:
                async for delta in deltas:
                    yield delta
        except VLLMClientError as error:
            raise InvalidInput(f"vLLM refuses the request ({first_line(error)}).") from error
        except EngineDeadError as error:
            if self._is_closed:
                raise closed() from error
            raise Unavailable("vLLM's process has ended.", "See the replica's log; restart it.") from error
        finally:
            self._requests[counted] -= 1
            self._measure_load()
            async with self._changed:
                self._changed.notify_all()

    async def _generate(
        self, request: GenerationRequest, prompt: Prompt, lora: LoRARequest | None
    ) -> AsyncGenerator[GenerationDelta]:
        loop = asyncio.get_running_loop()
        deadline = None if request.deadline_s is None else loop.time() + request.deadline_s
        so_far = GenerationDelta(text="", prompt_tokens=len(prompt.tokens), generated_tokens=0)
        stream = self._llm.generate(
            _tokens_prompt(prompt.tokens, request.cache_salt),
            sampling_params(request.sampling, request.stream_interval),
            request_id=str(next(self._numbers)),
            lora_request=lora,
        )
        async with aclosing(stream):
            while so_far.finish_reason is None:
                try:
                    async with asyncio.timeout_at(deadline):
                        output = await anext(stream)
                except TimeoutError:
                    yield replace(
                        so_far, text="", logprobs=(), prompt_logprobs=(), prompt_text="", finish_reason="deadline"
                    )
                    return
                so_far = next_delta(output, so_far, request.sampling, self._vocabulary, prompt)
                if request.sampling.max_tokens == 0:
                    so_far = only_read(so_far)
                yield so_far

    async def load_adapter(self, key: str, folder: Path) -> None:
        await asyncio.to_thread(check_adapter, key, folder, self._base_sha256)
        if self.has_adapter(key):
            return
        rank = await asyncio.to_thread(check_lora, key, folder, self._dtype, self._max_lora_rank)
        number = next(self._numbers)
        # vLLM's cache of prefixes goes by this name: other weights under the same key need another one.
        lora = LoRARequest(lora_name=f"{key}#{number}", lora_int_id=number, lora_path=str(folder))
        try:
            await self._llm.add_lora(lora)
        except EngineDeadError as error:
            raise Unavailable("vLLM's process has ended.", "See the replica's log; restart it.") from error
        except Exception as error:  # vLLM's process sends what it raised as text
            raise cannot_be_loaded(key, error) from error
        size = (folder / "adapter_model.safetensors").stat().st_size
        self._adapters[key] = _Adapter(lora, rank, size)

    async def unload_adapter(self, key: str) -> None:
        adapter = self._adapters.pop(key, None)
        if adapter is None:
            return
        async with self._changed:
            await self._changed.wait_for(lambda: not self._requests[adapter.lora.lora_name])
        del self._requests[adapter.lora.lora_name]
        await self._llm.remove_lora(adapter.lora.lora_int_id)

    def adapters(self) -> dict[str, LoadedAdapter]:
        """The loaded adapters; those in the batch's tables are, by vLLM's rule, the last used."""
        in_batch = set(list(self._adapters)[-self._max_loras :])
        return {
            key: LoadedAdapter(
                adapter.rank, adapter.memory_bytes, key in in_batch, self._requests[adapter.lora.lora_name]
            )
            for key, adapter in self._adapters.items()
        }

    def load(self) -> EngineLoad:
        requests = self._requests.total()
        running = min(requests, self._max_batch_size)
        return EngineLoad(running, requests - running, self._kv_use if running else 0.0)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._llm.output_processor.propagate_error(EngineDeadError())  # else its shutdown lets requests wait for ever
        self._llm.shutdown()
        self._constraints.close()
        self.prompts.close()

    def _use(self, key: str) -> _Adapter:
        if key not in self._adapters:
            raise not_loaded(key)
        self._adapters[key] = adapter = self._adapters.pop(key)
        return adapter

    def _measure(self, step: Any) -> None:
        """Record a step, from vLLM's SchedulerStats of it."""
        self._kv_use = step.kv_cache_usage
        metrics.BATCH_SIZE.observe(step.num_running_reqs)
        metrics.BATCH_ADAPTERS.observe(sum(count > 0 for lora, count in self._requests.items() if lora is not None))
        self._measure_load()

    def _measure_load(self) -> None:
        load = self.load()
        metrics.ENGINE_RUNNING.labels(BASE).set(load.running)
        metrics.ENGINE_WAITING.labels(BASE).set(load.waiting)
        metrics.KV_CACHE_USE.labels(BASE).set(load.kv_use)


class _Steps(StatLoggerBase):  # type: ignore[misc]  # vllm is not installed where types are checked
    """What vLLM tells of each step, passed on."""

    def __init__(self, measure: Callable[[Any], None]) -> None:
        self._measure = measure

    def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
        if scheduler_stats is not None:
            self._measure(scheduler_stats)

    def log_engine_initialized(self) -> None:
        """Nothing to say."""


def _tokens_prompt(prompt: Sequence[int], cache_salt: str) -> Any:
    """vLLM's prompt; an empty salt is none, and vLLM refuses it."""
    salted = {"cache_salt": cache_salt} if cache_salt else {}
    return TokensPrompt(prompt_token_ids=list(prompt), **salted)


def _bearable_bytes(base: Path) -> int:
    """Memory that keys and values may take; of a GPU half of what vLLM uses of it and the weights leave."""
    if current_platform.is_cpu():
        return bearable_bytes_of_machine()
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    return max(0, int(current_platform.get_device_total_memory() * _USED_OF_A_GPU) - weights) // 2
