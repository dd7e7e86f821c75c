"""The torch engine: a decoder of our own on any hardware, every adapter method, all of them in one batch.

Requests join and leave at every step; prompts are computed in chunks beside those that generate already, and what
prompts have in common is computed once. `EngineLoop` has the thread that computes; here is what clients see of it.
"""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from plait.engines.admission import (
    cannot_be_loaded,
    check_adapter,
    check_length,
    check_request,
    check_tokens,
    fitted,
    not_loaded,
    tokens_to_keep,
)
from plait.engines.context_size import bearable_bytes_of_machine, bytes_of_a_token, context_size
from plait.engines.engine import EngineLoad, GenerationDelta, GenerationRequest, LoadedAdapter
from plait.engines.grammar import Grammar, Grammars
from plait.engines.prompts import Prompt, PromptReader
from plait.engines.settings import DEFAULTS
from plait.engines.torch.adapter_weights import AdapterWeights, read_adapter
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.engine_loop import EngineLoop
from plait.engines.torch.kv_cache import BlockPool
from plait.engines.torch.model_runner import BLOCK_SIZE, ModelRunner
from plait.engines.torch.row import Row
from plait.engines.torch.scheduler import Scheduler
from plait.engines.vocabulary import Vocabulary
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer

_STEP_TOKENS = 256


class TorchEngine:
    """An `Engine` on a base model's folder.

    Args:
        base: folder of the base model.
        dtype: type that it computes in.
        quantization: `nf4` holds linear layers in 4 bits, `int8` linear layers and the vocabulary head in 8, on CPUs.
        max_batch_size: requests that share a step.
        max_waiting: requests that may wait; one more is refused.
        max_context_tokens: prompt and answer together, no more than the model was made for; None: as many as that and
            memory bear.
        max_step_tokens: tokens of a step; more compute prompts faster, fewer let answers stall less beside them; None
            is 256.
        kv_cache_tokens: tokens whose keys and values are kept; None: as `context_size` says.
        threads: torch threads; None leaves torch's choice.

    Raises:
        InvalidInput: when the model's architecture cannot be served.
    """

    def __init__(
        self,
        base: Path,
        dtype: Any = DEFAULTS.dtype,
        quantization: Any = DEFAULTS.quantization,
        max_batch_size: int = DEFAULTS.max_batch_size,
        max_waiting: int = DEFAULTS.max_waiting,
        max_context_tokens: int | None = DEFAULTS.max_context_tokens,
        max_step_tokens: int | None = None,
        kv_cache_tokens: int | None = None,
        threads: int | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        model = load_causal_lm(base, dtype, "none" if quantization == "int8" else quantization)
        bearable = _bearable_bytes(model.device) // bytes_of_a_token(model.config, model.dtype.itemsize)
        longest = model.config.max_position_embeddings
        size = context_size(longest, max_batch_size, bearable, max_context_tokens, kv_cache_tokens)
        self.max_context_tokens = size.context_tokens
        # The tokenizer holds Python's lock for seconds. Hashing and laying out weights does not. It begins after the
        # model is loaded: both import from transformers, whose modules import each other.
        with ThreadPoolExecutor(1, "tokenizer") as beside:
            reading = beside.submit(_read_vocabulary, base, model.generation_config.eos_token_id)
            self._base_sha256 = model_sha256(base)
            decoder = Decoder(model, self.max_context_tokens, "int8" if quantization == "int8" else "own")
            self.tokenizer, self._vocabulary, self._end_ids = reading.result()
        self._grammars = Grammars(self._vocabulary)
        self.prompts = PromptReader(self.tokenizer, self.max_context_tokens)
        blocks = -(-size.cache_tokens // BLOCK_SIZE)
        self._cache_tokens = blocks * BLOCK_SIZE
        self._runner = ModelRunner(decoder, blocks)
        self._adapters = self._runner.adapters
        pool = BlockPool(blocks)
        scheduler = Scheduler(pool, BLOCK_SIZE, max_batch_size, max_step_tokens or _STEP_TOKENS)
        self._loop = EngineLoop(self._runner, pool, scheduler, max_batch_size, max_waiting)

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def has_adapter(self, key: str) -> bool:
        return self._loop.has_adapter(key)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta]:
        self._loop.check_open()
        check_request(request)
        check_tokens(request, len(self._vocabulary))
        context_tokens = self._context_tokens(self._given(request.adapter)[1])
        keep = tokens_to_keep(request, context_tokens)
        prompt = await self.prompts.read(request.prompt, keep, request.is_echoed)
        request = fitted(request, len(prompt.tokens), context_tokens)
        row = self._row(request, prompt, await self._grammars.start(request.sampling.constraint))
        check_length(row.prompt_tokens, request.sampling.max_tokens, self._context_tokens(row.sequence.given))
        if row.is_only_read and request.sampling.prompt_logprobs is None:  # there is nothing to compute
            yield row.piece("length")
            return
        self._loop.add(row)
        try:
            while True:
                delta = await row.deltas.get()
                if isinstance(delta, BaseException):
                    raise delta
                yield delta
                if delta.finish_reason:
                    return
        finally:
            row.is_cancelled = True  # harmless when it has ended

    def _context_tokens(self, given: int) -> int:
        """Of prompt and answer together, where an adapter gives so many tokens."""
        tokens: int = min(self.max_context_tokens, self._cache_tokens)
        return tokens - given

    def _given(self, key: str | None) -> tuple[str, int]:
        """Of an adapter: the namespace of its computed blocks, and the tokens that it brings along."""
        if key is None:
            return "", 0
        adapter = self._adapters.get(key)
        if adapter is None:
            raise not_loaded(key)
        return adapter.namespace, adapter.virtual_tokens

    def _row(self, request: GenerationRequest, prompt: Prompt, grammar: Grammar | None) -> Row:
        namespace, given = self._given(request.adapter)
        outbox = self._loop.outbox
        return Row(request, prompt, outbox, self.tokenizer, self._vocabulary, self._end_ids, namespace, given, grammar)

    async def load_adapter(self, key: str, folder: Path) -> None:
        await asyncio.to_thread(check_adapter, key, folder, self._base_sha256)
        if retiring := self._loop.retiring(key):
            await asyncio.wrap_future(retiring)
        if self.has_adapter(key):
            return
        try:
            adapter = await asyncio.to_thread(self._read, folder)
        except ValueError as error:
            raise cannot_be_loaded(key, error) from error
        await self._loop.call(lambda: self._adapters.add(key, adapter))

    def _read(self, folder: Path) -> AdapterWeights:
        adapter = read_adapter(folder, self._runner.decoder)
        if adapter.virtual_tokens >= self.max_context_tokens:
            raise ValueError(
                f"its prefix of {adapter.virtual_tokens} tokens leaves none of the context of {self.max_context_tokens}"
            )
        self._adapters.prepare(adapter)
        return adapter

    async def unload_adapter(self, key: str) -> None:
        if key in self._adapters:
            await asyncio.shield(asyncio.wrap_future(self._loop.retire(key)))

    def adapters(self) -> dict[str, LoadedAdapter]:
        requests = self._loop.requests()
        return {
            key: LoadedAdapter(adapter.rank, adapter.memory_bytes, self._adapters.is_in_batch(key), requests[key])
            for key, adapter in self._adapters.loaded().items()
        }

    def load(self) -> EngineLoad:
        return self._loop.load()

    def close(self) -> None:
        self._loop.close()
        self._grammars.close()
        self.prompts.close()


def _bearable_bytes(device: torch.device) -> int:
    """Memory that keys and values may take; of a GPU half of what the weights leave: steps and adapters need some."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else bearable_bytes_of_machine()


def _read_vocabulary(base: Path, configured: int | list[int] | None) -> tuple[Any, Vocabulary, frozenset[int]]:
    """The tokenizer, its tokens, and every token that ends an answer: the tokenizer's, and the `configured` ones."""
    tokenizer = load_tokenizer(base)
    ids = configured if isinstance(configured, list) else [configured]
    end_ids = frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)
    return tokenizer, Vocabulary(tokenizer, end_ids), end_ids
