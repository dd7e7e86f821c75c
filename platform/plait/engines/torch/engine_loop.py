"""The thread that owns the model: it takes rows in, computes step after step, and sends what they say.

In: rows, and work to do between two steps. Out: pieces of answers, by each row's outbox. It knows neither prompts nor
files. Rows join and leave at every step; the thread outlives a step that fails.
"""

import asyncio
import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

import torch
from torch import Tensor

from plait.engines.admission import check_queue, closed, not_loaded
from plait.engines.engine import EngineLoad
from plait.engines.torch.kv_cache import BlockPool
from plait.engines.torch.model_runner import ModelRunner
from plait.engines.torch.row import Outbox, Row
from plait.engines.torch.scheduler import Scheduler, TokenSequence
from plait.errors import PlaitError
from plait.model_ids import BASE
from plait.observability import metrics

_log = logging.getLogger(__name__)


class EngineLoop:
    """Rows that run and that wait, and the thread that computes them.

    Args:
        runner: computes the steps.
        pool: the cache's blocks.
        scheduler: says which rows are in the next step.
        max_running: rows that share a step.
        max_waiting: rows that may wait; one more is refused.

    Attributes:
        outbox: takes what rows say to their clients.
        rows: those that are not at their end.
    """

    def __init__(
        self, runner: ModelRunner, pool: BlockPool, scheduler: Scheduler, max_running: int, max_waiting: int
    ) -> None:
        self._runner, self._scheduler, self.pool = runner, scheduler, pool
        self._max_running, self._max_waiting = max_running, max_waiting
        self.outbox = Outbox()
        self.rows: dict[TokenSequence, Row] = {}
        self._arrived: list[Row] = []
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._retiring: dict[str, Future[None]] = {}  # adapters to forget once no request uses them
        self._is_closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="torch-engine", daemon=True)
        self._thread.start()

    def add(self, row: Row) -> None:
        """Take a row in.

        Raises:
            Overloaded: when the queue is full.
            ModelNotFound: when its adapter is not loaded.
            Unavailable: when the loop is closed.
        """
        with self._wake:
            self.check_open()
            # Those for whom there is a place do not wait, they have only just come.
            places = self._max_running - len(self._scheduler.running)
            check_queue(len(self._arrived) + len(self._scheduler.waiting) - places, self._max_waiting)
            if row.request.adapter is not None and not self.has_adapter(row.request.adapter):
                raise not_loaded(row.request.adapter)
            self._arrived.append(row)
            self._wake.notify()

    def has_adapter(self, key: str) -> bool:
        """Whether rows may use an adapter."""
        return key in self._runner.adapters and key not in self._retiring

    def retire(self, key: str) -> "Future[None]":
        """Forget an adapter once no row uses it; rows that come from now on do not find it."""
        with self._wake:
            self.check_open()
            gone = self._retiring.setdefault(key, Future())
            self._wake.notify()
        return gone

    def retiring(self, key: str) -> "Future[None] | None":
        """What is done when an adapter that retires is gone; None when it does not retire."""
        return self._retiring.get(key)

    def requests(self) -> Counter[str | None]:
        """How many rows use each adapter."""
        return Counter(row.request.adapter for row in list(self.rows.values()))

    def load(self) -> EngineLoad:
        """What there is to do now."""
        waiting = len(self._arrived) + len(self._scheduler.waiting)
        return EngineLoad(len(self._scheduler.running), waiting, 1 - self.pool.free / self.pool.size)

    async def call(self, work: Callable[[], None]) -> None:
        """Do some work on the model between two steps.

        Raises:
            Exception: what the work raises.
            Unavailable: when the loop is closed.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            error: BaseException | None = None
            try:
                work()
            except Exception as raised:
                error = raised
            loop.call_soon_threadsafe(_settle, done, error)

        with self._wake:
            self.check_open()
            self._calls.put(run)
            self._wake.notify()
        await done

    def check_open(self) -> None:
        """Refuse to go on after `close`.

        Raises:
            Unavailable: when the loop is closed.
        """
        if self._is_closed:
            raise closed()

    def close(self) -> None:
        """End the thread after its step; rows that are not at their end get `Unavailable`."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while not self._is_closed:
            with self._wake:
                while not (self._arrived or self.rows or self._retiring or self._is_closed) and self._calls.empty():
                    self._wake.wait()
                self._admit()
            while not self._calls.empty():
                self._calls.get()()
            try:
                self._end_those_that_left()
                self.outbox.flush()
                self._forget_retired()
                self._step()
                self._measure()
            except Exception as error:
                # The engine must outlive a step that fails: its requests get the error, later ones a fresh start.
                for row in list(self.rows.values()):
                    self._fail(row, error)
            self.outbox.flush()
        self._end_all()

    def _admit(self) -> None:
        arrived, self._arrived = self._arrived, []
        for row in arrived:
            self.rows[row.sequence] = row
            self._scheduler.add(row.sequence)

    def _end_all(self) -> None:
        """What nobody will compute any more: nobody may wait for it."""
        self._admit()
        for row in list(self.rows.values()):
            self._fail(row, closed())
        self.outbox.flush()
        while not self._calls.empty():
            self._calls.get()()
        self._forget_retired()

    def _measure(self) -> None:
        load = self.load()
        metrics.ENGINE_RUNNING.labels(BASE).set(load.running)
        metrics.ENGINE_WAITING.labels(BASE).set(load.waiting)
        metrics.KV_CACHE_USE.labels(BASE).set(load.kv_use)

    def _end_those_that_left(self) -> None:
        for row in list(self.rows.values()):
            if row.is_cancelled:
                self._end(row)
            elif row.is_late:
                self._end(row)
                row.finish("deadline")

    def _step(self) -> None:
        """Compute the next tokens of all that run, and send what they say."""
        plan = self._scheduler.plan()
        if not plan:
            return
        self._runner.cache.clear(self.pool.uncleared())
        rows = [self.rows[sequence] for sequence, _ in plan]
        for row in rows:
            row.start()
        metrics.BATCH_SIZE.observe(len(rows))
        metrics.BATCH_ADAPTERS.observe(len({row.request.adapter for row in rows} - {None}))
        parts = [(row, span) for row, (_, span) in zip(rows, plan, strict=True)]
        for (row, span), found in zip(parts, self._runner.run(parts), strict=True):
            if isinstance(found, Exception):
                self._fail(row, found)
                continue
            self._scheduler.complete(row.sequence, span)
            if found is not None:
                self._push(row, found)

    def _push(self, row: Row, found: int | Tensor) -> None:
        if row.is_only_read:
            self._end(row)
            row.finish("length")
            return
        try:
            goes_on = row.push(row.sampler.next_token(found) if isinstance(found, Tensor) else found)
        except Exception as error:  # of this row: the others go on
            self._fail(row, error)
        else:
            if not goes_on:
                self._end(row)

    def _fail(self, row: Row, error: Exception) -> None:
        """End a row with an error."""
        code = error.code if isinstance(error, PlaitError) else PlaitError.code
        metrics.FAILED_ROWS.labels(BASE, code).inc()
        _log.warning("A request (adapter: %s) has ended: %s", row.request.adapter or "none", error)
        row.fail(error)
        self._end(row)

    def _end(self, row: Row) -> None:
        del self.rows[row.sequence]
        self._scheduler.remove(row.sequence)

    def _forget_retired(self) -> None:
        with self._wake:
            used = {row.request.adapter for row in (*self.rows.values(), *self._arrived)}
            for key in [key for key in self._retiring if key not in used]:
                self._runner.adapters.remove(key)
                self._retiring.pop(key).set_result(None)


def _settle(done: "asyncio.Future[None]", error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
