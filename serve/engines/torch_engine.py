"""The torch engine: transformers and PEFT on any hardware, every adapter kind that PEFT has.

One thread owns the model. Requests that wait for the same adapter share a batch; a row leaves it as soon as its answer
ends or its client goes. Limits for now: a request that comes while a batch runs waits for it, and adapters stay loaded.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from plait.adapters.metadata import check_adapter_folder
from plait.errors import InvalidInput, ModelNotFound, Overloaded
from plait.models.fingerprint import model_sha256
from plait.models.load import encode_prompt, load_causal_lm, load_tokenizer
from plait.observability import metrics
from plait.serve.engines.batch import Batch
from plait.serve.engines.engine import FinishReason, GenerationDelta, GenerationRequest
from plait.serve.engines.sampling import Sampler, next_tokens
from plait.serve.engines.text_stream import TextStream

# Requests sent together arrive some milliseconds apart; the first of them, started alone, would make the others wait
# for its whole answer.
_GATHER_S = 0.01


class TorchEngine:
    """An `Engine` on a base model's folder.

    Args:
        base: folder of the base model.
        dtype: type that it computes in.
        quantization: `nf4` holds linear layers in 4 bits.
        max_batch_size: rows of a batch.
        max_waiting: requests that may wait; one more is refused.
        max_context_tokens: prompt and answer together; no more than the model was made for.
        threads: torch threads; None leaves torch's choice.
    """

    def __init__(
        self,
        base: Path,
        dtype: Any = "bfloat16",
        quantization: Any = "none",
        max_batch_size: int = 8,
        max_waiting: int = 64,
        max_context_tokens: int = 4096,
        threads: int | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.tokenizer = load_tokenizer(base)
        self._base_sha256 = model_sha256(base)
        self._model = load_causal_lm(base, dtype, quantization)
        self._end_ids = _end_ids(self._model, self.tokenizer)
        self._max_batch_size, self._max_waiting = max_batch_size, max_waiting
        self.max_context_tokens = min(max_context_tokens, self._model.config.max_position_embeddings)
        # PEFT registers adapters as module names, which must not contain dots.
        self._adapters: dict[str, str] = {}
        self._waiting: deque[_Row] = deque()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="torch-engine", daemon=True).start()

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def has_adapter(self, key: str) -> bool:
        return key in self._adapters

    async def generate(self, request: GenerationRequest) -> AsyncIterator[GenerationDelta]:
        if request.adapter is not None and not self.has_adapter(request.adapter):
            raise ModelNotFound(f"The adapter '{request.adapter}' is not loaded.")
        row = _Row(request, self.tokenizer, self._end_ids)
        total = len(row.prompt) + request.max_tokens
        if total > self.max_context_tokens:
            raise InvalidInput(
                f"The prompt ({len(row.prompt)} tokens) and max_tokens ({request.max_tokens}) together exceed the "
                f"context of {self.max_context_tokens} tokens.",
                "Shorten the prompt or lower max_tokens.",
            )
        with self._wake:
            if len(self._waiting) >= self._max_waiting:
                raise Overloaded(f"{len(self._waiting)} requests are waiting already.", "Try again in a moment.")
            self._waiting.append(row)
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

    async def load_adapter(self, key: str, folder: Path) -> None:
        metadata = check_adapter_folder(folder)
        if metadata.method in ("full", "prefix", "bottleneck"):
            raise InvalidInput(
                f"'{key}' cannot be served as an adapter yet: it is of method {metadata.method}.",
                f"Serve it as a base model: llm.model={folder}." if metadata.method == "full" else "Use lora or ia3.",
            )
        if metadata.base_sha256 != self._base_sha256:
            raise InvalidInput(
                f"The adapter '{key}' was trained on another base model ({metadata.base_model}).",
                "Serve that base model, or train the adapter anew on this one.",
            )
        await self._in_engine_thread(lambda: self._load(key, folder))

    def _load(self, key: str, folder: Path) -> None:
        if self.has_adapter(key):
            return
        from peft import PeftConfig, PeftModel, get_peft_model

        name = f"adapter_{len(self._adapters)}"
        try:
            if not self._adapters:
                self._model = get_peft_model(self._model, PeftConfig.from_pretrained(folder), adapter_name=name)
            loaded = self._model.load_adapter(folder, adapter_name=name)
            if loaded.missing_keys or loaded.unexpected_keys:
                raise ValueError("its weights do not match its configuration")
        except Exception as error:  # PEFT raises anything; whatever it is, no half of an adapter may stay in the model
            if isinstance(self._model, PeftModel) and name in self._model.peft_config:
                self._model = self._without(name)
            reason = " ".join(str(error).split())[:200]
            raise InvalidInput(f"The adapter '{key}' cannot be loaded ({reason}).", "Train it anew.") from error
        self._model.eval()
        self._adapters[key] = name

    def _without(self, name: str) -> Any:
        """The model after an adapter of it is taken out; PEFT cannot be left without any."""
        if not self._adapters:
            return self._model.unload()
        self._model.delete_adapter(name)
        return self._model

    async def _in_engine_thread(self, call: Callable[[], None]) -> None:
        """Run something on the model between two batches."""
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

    def _run(self) -> None:
        while True:
            with self._wake:
                is_idle = not self._waiting
                while not self._waiting and self._calls.empty():
                    self._wake.wait()
            if is_idle:
                time.sleep(_GATHER_S)
            with self._wake:
                rows = self._next_batch()
            while not self._calls.empty():
                self._calls.get()()
            if not rows:
                continue
            try:
                self._answer(rows)
            except Exception as error:
                # The engine must outlive a batch that fails: its requests get the error, later ones a fresh start.
                for row in rows:
                    row.fail(error)

    def _next_batch(self) -> list["_Row"]:
        """The oldest waiting request and those after it for the same adapter, up to a batch."""
        while self._waiting and self._waiting[0].is_cancelled:
            self._waiting.popleft()
        if not self._waiting:
            return []
        adapter = self._waiting[0].request.adapter
        chosen = [row for row in self._waiting if row.request.adapter == adapter][: self._max_batch_size]
        self._waiting = deque(row for row in self._waiting if row not in chosen)
        return chosen

    @torch.inference_mode()
    def _answer(self, rows: list["_Row"]) -> None:
        """Run a batch until every row has ended or was cancelled."""
        with self._adapter_of(rows[0].request.adapter):
            batch = Batch(self._model, [row.prompt for row in rows], self.tokenizer.pad_token_id)
            while rows:
                metrics.BATCH_SIZE.observe(len(rows))
                tokens = next_tokens(batch.step(), [row.sampler for row in rows])
                going_on = [i for i, row in enumerate(rows) if row.push(tokens[i]) and not row.is_cancelled]
                if going_on:
                    batch.advance(tokens, keep=going_on)
                rows = [rows[i] for i in going_on]

    def _adapter_of(self, key: str | None) -> Any:
        if key is not None:
            self._model.set_adapter(self._adapters[key])
            return nullcontext()
        return self._model.disable_adapter() if self._adapters else nullcontext()


class _Row:
    """A request inside the engine: its tokens, its text, and the way back to its client's event loop."""

    def __init__(self, request: GenerationRequest, tokenizer: Any, end_ids: frozenset[int]) -> None:
        self.request = request
        self.prompt = encode_prompt(tokenizer, request.prompt)
        self.sampler = Sampler(request.temperature, request.top_p, request.seed)
        self.is_cancelled = False
        self.deltas: asyncio.Queue[GenerationDelta | BaseException] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._text = TextStream(tokenizer, request.stop)
        self._end_ids = end_ids
        self._generated = 0

    def push(self, token: int) -> bool:
        """Take the next token; says whether the answer goes on."""
        self._generated += 1
        finish: FinishReason | None = None
        text = ""
        if token in self._end_ids:
            finish = "stop"
        else:
            text = self._text.push(token)
            if self._text.is_stopped:
                finish = "stop"
            elif self._generated >= self.request.max_tokens:
                finish = "length"
        if finish:
            text += self._text.end()
        self._send(GenerationDelta(text, len(self.prompt), self._generated, finish))
        return finish is None

    def fail(self, error: BaseException) -> None:
        self._send(error)

    def _send(self, delta: GenerationDelta | BaseException) -> None:
        self._loop.call_soon_threadsafe(self.deltas.put_nowait, delta)


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer: the tokenizer's, and those that the model's generation settings name."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)


def _settle(done: "asyncio.Future[None]", error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
