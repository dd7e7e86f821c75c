"""The torch engine: a decoder of our own on any hardware, every adapter method, all of them in one batch.

One thread owns the model. Requests join and leave at every step; prompts are computed in chunks beside those that
generate already, and what prompts have in common is computed once. A request that makes a step fail ends alone.
"""

import asyncio
import logging
import queue
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plait.engines.admission import (
    cannot_be_loaded,
    check_adapter,
    check_length,
    check_queue,
    check_request,
    not_loaded,
)
from plait.engines.engine import EngineLoad, GenerationDelta, GenerationRequest, LoadedAdapter
from plait.engines.json_grammar import JsonGrammar, JsonGrammars
from plait.engines.prompts import PromptReader
from plait.engines.sampling import largest, not_finite
from plait.engines.torch.adapter_bank import AdapterBank
from plait.engines.torch.adapter_weights import AdapterWeights, read_adapter
from plait.engines.torch.apart import together_or_apart
from plait.engines.torch.decode_graphs import SPARE_BLOCKS, DecodeGraphs, can_capture
from plait.engines.torch.decoder import Decoder
from plait.engines.torch.kv_cache import BlockPool
from plait.engines.torch.projection import Adaptation
from plait.engines.torch.row import Outbox, Row
from plait.engines.torch.scheduler import Scheduler, TokenSequence
from plait.engines.torch.step import Span, pack
from plait.engines.vocabulary import Vocabulary
from plait.errors import PlaitError
from plait.model_ids import BASE
from plait.models.fingerprint import model_sha256
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer
from plait.observability import metrics

_BLOCK_SIZE = 16
"""Tokens of a cache block: prompts share what they have in common in such units."""
_STEP_TOKENS = 256
_log = logging.getLogger(__name__)


class TorchEngine:
    """An `Engine` on a base model's folder.

    Args:
        base: folder of the base model.
        dtype: type that it computes in.
        quantization: `nf4` holds linear layers in 4 bits, `int8` linear layers and the vocabulary head in 8, on CPUs.
        max_batch_size: requests that share a step.
        max_waiting: requests that may wait; one more is refused.
        max_context_tokens: prompt and answer together; no more than the model was made for.
        max_step_tokens: tokens of a step; more compute prompts faster, fewer let answers stall less beside them; None
            is 256.
        kv_cache_tokens: tokens whose keys and values are kept; None: enough for a full batch of the longest.
        threads: torch threads; None leaves torch's choice.

    Raises:
        InvalidInput: when the model's architecture cannot be served.
    """

    def __init__(
        self,
        base: Path,
        dtype: Any = "bfloat16",
        quantization: Any = "none",
        max_batch_size: int = 8,
        max_waiting: int = 64,
        max_context_tokens: int = 4096,
        max_step_tokens: int | None = None,
        kv_cache_tokens: int | None = None,
        threads: int | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.tokenizer = load_tokenizer(base)
        self._base_sha256 = model_sha256(base)
        model = load_causal_lm(base, dtype, "none" if quantization == "int8" else quantization)
        self._end_ids = _end_ids(model, self.tokenizer)
        self._vocabulary = Vocabulary(self.tokenizer, self._end_ids)
        self._grammars = JsonGrammars(self._vocabulary)
        self._max_batch_size, self._max_waiting = max_batch_size, max_waiting
        self.max_context_tokens = min(max_context_tokens, model.config.max_position_embeddings)
        self.prompts = PromptReader(self.tokenizer, self.max_context_tokens)
        self._decoder = Decoder(model, self.max_context_tokens, "int8" if quantization == "int8" else "own")
        blocks = -(-(kv_cache_tokens or max_batch_size * self.max_context_tokens) // _BLOCK_SIZE)
        self._cache_tokens = blocks * _BLOCK_SIZE
        self._cache = self._decoder.key_values(blocks + SPARE_BLOCKS, _BLOCK_SIZE)
        self._graphs = DecodeGraphs(self._decoder, self._cache) if can_capture(self._decoder) else None
        self._adapters = AdapterBank(self._decoder)
        self._pool = BlockPool(blocks)
        self._scheduler = Scheduler(self._pool, _BLOCK_SIZE, max_batch_size, max_step_tokens or _STEP_TOKENS)
        self._rows: dict[TokenSequence, Row] = {}
        self._arrived: list[Row] = []
        self._outbox = Outbox()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._retiring: dict[str, Future[None]] = {}  # adapters to forget once no request uses them
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="torch-engine", daemon=True).start()

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def has_adapter(self, key: str) -> bool:
        return key in self._adapters and key not in self._retiring

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta]:
        check_request(request)
        prompt = await self.prompts.read(request.prompt)
        row = self._row(request, prompt, await self._grammars.start(request.sampling.json_schema))
        given = row.sequence.given
        max_tokens = request.sampling.max_tokens
        check_length(row.prompt_tokens, max_tokens, min(self.max_context_tokens, self._cache_tokens) - given)
        with self._wake:
            # Those for whom there is a place do not wait, they have only just come.
            places = self._max_batch_size - len(self._scheduler.running)
            check_queue(len(self._arrived) + len(self._scheduler.waiting) - places, self._max_waiting)
            if request.adapter is not None and not self.has_adapter(request.adapter):
                raise not_loaded(request.adapter)
            self._arrived.append(row)
            self._wake.notify()
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

    def _row(self, request: GenerationRequest, prompt: Sequence[int], grammar: JsonGrammar | None) -> Row:
        namespace, given = "", 0
        if request.adapter is not None:
            adapter = self._adapters.get(request.adapter)
            if adapter is None:
                raise not_loaded(request.adapter)
            namespace, given = adapter.namespace, adapter.virtual_tokens
        return Row(
            request, prompt, self._outbox, self.tokenizer, self._vocabulary, self._end_ids, namespace, given, grammar
        )

    async def load_adapter(self, key: str, folder: Path) -> None:
        await asyncio.to_thread(check_adapter, key, folder, self._base_sha256)
        if key in self._retiring:
            await asyncio.wrap_future(self._retiring[key])
        if self.has_adapter(key):
            return
        try:
            adapter = await asyncio.to_thread(self._read, folder)
        except ValueError as error:
            raise cannot_be_loaded(key, error) from error
        await self._in_engine_thread(lambda: self._adapters.add(key, adapter))

    def _read(self, folder: Path) -> AdapterWeights:
        adapter = read_adapter(folder, self._decoder)
        if adapter.virtual_tokens >= self.max_context_tokens:
            raise ValueError(
                f"its prefix of {adapter.virtual_tokens} tokens leaves none of the context of {self.max_context_tokens}"
            )
        self._adapters.prepare(adapter)
        return adapter

    async def unload_adapter(self, key: str) -> None:
        if key not in self._adapters:
            return
        with self._wake:
            gone = self._retiring.setdefault(key, Future())
            self._wake.notify()
        await asyncio.shield(asyncio.wrap_future(gone))

    def adapters(self) -> dict[str, LoadedAdapter]:
        requests = Counter(row.request.adapter for row in list(self._rows.values()))
        return {
            key: LoadedAdapter(adapter.rank, adapter.memory_bytes, self._adapters.is_in_batch(key), requests[key])
            for key, adapter in self._adapters.loaded().items()
        }

    def load(self) -> EngineLoad:
        pool = self._pool
        waiting = len(self._arrived) + len(self._scheduler.waiting)
        return EngineLoad(len(self._scheduler.running), waiting, 1 - pool.free / pool.size)

    async def _in_engine_thread(self, call: Callable[[], None]) -> None:
        """Run something on the model between two steps."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            error: BaseException | None = None
            try:
                call()
            except Exception as raised:
                error = raised
            loop.call_soon_threadsafe(_settle, done, error)

        with self._wake:
            self._calls.put(run)
            self._wake.notify()
        await done

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._arrived or self._rows or self._retiring) and self._calls.empty():
                    self._wake.wait()
                arrived, self._arrived = self._arrived, []
                for row in arrived:
                    self._rows[row.sequence] = row
                    self._scheduler.add(row.sequence)
            while not self._calls.empty():
                self._calls.get()()
            try:
                self._end_those_that_left()
                self._outbox.flush()
                self._forget_retired()
                self._step()
                self._measure()
            except Exception as error:
                # The engine must outlive a step that fails: its requests get the error, later ones a fresh start.
                for row in list(self._rows.values()):
                    self._fail(row, error)
            self._outbox.flush()

    def _measure(self) -> None:
        load = self.load()
        metrics.ENGINE_RUNNING.labels(BASE).set(load.running)
        metrics.ENGINE_WAITING.labels(BASE).set(load.waiting)
        metrics.KV_CACHE_USE.labels(BASE).set(load.kv_use)

    def _end_those_that_left(self) -> None:
        for row in list(self._rows.values()):
            if row.is_cancelled:
                self._end(row)
            elif row.is_late:
                self._end(row)
                row.expire()

    def _step(self) -> None:
        """Compute the next tokens of all that run, and send what they say."""
        plan = self._scheduler.plan()
        if not plan:
            return
        self._cache.clear(self._pool.uncleared())
        rows = [self._rows[sequence] for sequence, _ in plan]
        for row in rows:
            row.start()
        metrics.BATCH_SIZE.observe(len(rows))
        metrics.BATCH_ADAPTERS.observe(len({row.request.adapter for row in rows} - {None}))
        parts = [(row, span) for row, (_, span) in zip(rows, plan, strict=True)]
        for (row, span), found in zip(parts, together_or_apart(parts, self._compute, _tell_of_failure), strict=True):
            if isinstance(found, Exception):
                self._fail(row, found)
                continue
            self._scheduler.complete(row.sequence, span)
            if found is not None:
                self._push(row, found)

    def _compute(self, parts: Sequence[tuple[Row, Span]]) -> list[int | Tensor | Exception | None]:
        """What the next token of each part of a step is chosen from, why there is none, or None where none is wanted.

        May run again for the same parts: it changes nothing but what it writes into their own blocks.
        """
        spans = [span for _, span in parts]
        for row, _ in parts:
            self._fill(row)
        hidden = self._forward(
            spans, self._adapters.adaptation([(row.request.adapter, len(span.tokens)) for row, span in parts])
        )
        is_finite = hidden.sum(-1, dtype=torch.float32).isfinite()  # infinities and NaN survive a sum
        ends = list(accumulate(len(span.tokens) for span in spans))
        wanted = [index for index, span in enumerate(spans) if span.is_wanted]
        found: list[int | Tensor | Exception | None] = [None] * len(parts)
        if wanted:
            asked = hidden if len(wanted) == len(hidden) else hidden[[ends[index] - 1 for index in wanted]]
            for index, choice in zip(wanted, self._choices(asked, [parts[i][0] for i in wanted]), strict=True):
                found[index] = choice
        finite = is_finite.tolist()  # read behind the choices: a GPU is waited for once
        for index, (start, end) in enumerate(pairwise([0, *ends])):
            if not all(finite[start:end]):
                found[index] = not_finite("the model's")
        return found

    def _push(self, row: Row, found: int | Tensor) -> None:
        try:
            goes_on = row.push(row.sampler.next_token(found) if isinstance(found, Tensor) else found)
        except Exception as error:  # of this row: the others go on
            self._fail(row, error)
        else:
            if not goes_on:
                self._end(row)

    def _forward(self, spans: Sequence[Span], adaptation: Adaptation | None) -> Tensor:
        """Hidden states [t, d] of the packed tokens."""
        hidden = self._graphs.forward(spans, adaptation) if self._graphs else None
        if hidden is not None:
            return hidden
        step = pack(spans, _BLOCK_SIZE, self._decoder.dtype, self._decoder.device)
        return self._decoder.forward(step, self._cache, adaptation)

    def _choices(self, hidden: Tensor, rows: Sequence[Row]) -> list[int | Tensor | Exception]:
        """The next token of each row, logits [v] for rows whose samplers need them, or that these are not finite."""
        needs_logits = [index for index, row in enumerate(rows) if row.sampler.needs_logits]
        likeliest = [-1] * len(rows)
        if len(needs_logits) < len(rows):
            likeliest = self._decoder.likeliest(hidden).tolist()
        choices: list[int | Tensor | Exception] = list(likeliest)
        if needs_logits:
            logits = self._decoder.logits(hidden if len(needs_logits) == len(rows) else hidden[needs_logits])
            for index, token, own in zip(needs_logits, largest(logits).tolist(), logits, strict=True):
                likeliest[index], choices[index] = token, own
        return [
            choice if token >= 0 else not_finite("the model's")
            for token, choice in zip(likeliest, choices, strict=True)
        ]

    def _fail(self, row: Row, error: Exception) -> None:
        """End a row with an error."""
        code = error.code if isinstance(error, PlaitError) else PlaitError.code
        metrics.FAILED_ROWS.labels(BASE, code).inc()
        _log.warning("A request (adapter: %s) has ended: %s", row.request.adapter or "none", error)
        row.fail(error)
        self._end(row)

    def _end(self, row: Row) -> None:
        del self._rows[row.sequence]
        self._scheduler.remove(row.sequence)

    def _forget_retired(self) -> None:
        with self._wake:
            used = {row.request.adapter for row in (*self._rows.values(), *self._arrived)}
            for key in [key for key in self._retiring if key not in used]:
                self._adapters.remove(key)
                self._retiring.pop(key).set_result(None)

    def _fill(self, row: Row) -> None:
        """Write the keys and values that an adapter of prefix tuning brings along, where they are not there yet."""
        sequence = row.sequence
        if sequence.unfilled is None:
            return
        adapter = self._adapters.get(row.request.adapter or "")
        if adapter is None or adapter.prefix is None:
            raise AssertionError("only prefix tuning gives tokens")
        positions = torch.arange(sequence.unfilled, sequence.given)
        blocks = torch.tensor(sequence.blocks)[positions // _BLOCK_SIZE]
        slots = (blocks * _BLOCK_SIZE + positions % _BLOCK_SIZE).to(self._decoder.device)
        for layer in range(self._decoder.layers):
            keys, values = adapter.prefix[layer, :, sequence.unfilled : sequence.given]
            self._cache.write(layer, slots, keys, values)


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer: the tokenizer's, and those that the model's generation settings name."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)


def _tell_of_failure(count: int, error: Exception) -> None:
    _log.warning("A step of %d requests failed (%s); it is done again in parts.", count, error)


def _settle(done: "asyncio.Future[None]", error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
