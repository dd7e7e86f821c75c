"""Say why a test worker died, in the report of the test that it died in: pytest-xdist says only that it did.

In: hooks of pytest, pytest-timeout and pytest-xdist. Out: the worker's exit code, the stacks of its threads and of its
asyncio tasks where it crashed or stood still until its time was over, and the last that Ray wrote. Each worker writes
its stacks into a file in the home of the process that started it.
"""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, TextIO

import pytest

from plait.settings import settings

_STACKS = pytest.StashKey[TextIO]()
_TIMER = pytest.StashKey[threading.Timer]()
_PLUMBING = ("/_pytest/", "/pluggy/", "/xdist/", "/execnet/", "/threading.py", "<string>")
_SUSPENDED = (CoroutineType, AsyncGeneratorType, GeneratorType)


# ---------------------------------------------------------------- in a worker


@pytest.hookimpl(trylast=True)  # after pytest's own, which has faults written where nobody looks
def pytest_configure(config: pytest.Config) -> None:
    path = getattr(config, "workerinput", {}).get("stacks")
    if path is not None:
        config.stash[_STACKS] = Path(path).open("a", buffering=1)  # noqa: SIM115  # as long as the process lives
        faulthandler.enable(config.stash[_STACKS])


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """In place of pytest-timeout's own timer, which writes to a terminal that workers have not. Where Python's lock is
    held for ever, and no thread of Python can end the process, faulthandler does it a little later."""
    if (stacks := item.config.stash.get(_STACKS, None)) is None:
        return None
    item.stash[_TIMER] = threading.Timer(settings.timeout, _end, [stacks])
    item.stash[_TIMER].daemon = True
    item.stash[_TIMER].start()
    faulthandler.dump_traceback_later(1.05 * settings.timeout, exit=True, file=stacks)
    return True


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    if _TIMER not in item.stash:
        return None
    item.stash[_TIMER].cancel()
    item.stash[_TIMER].join()
    faulthandler.cancel_dump_traceback_later()
    return True


def _end(stacks: TextIO) -> None:
    print("Its time was over.", file=stacks)
    try:
        write_stacks(stacks)
    finally:
        os._exit(1)


def write_stacks(to: TextIO) -> None:
    """Write where every other thread stands and what every asyncio task of this process waits for, innermost last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    where: dict[tuple[str, ...], list[str]] = {}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            where.setdefault(_lines(reversed(list(_callers(frame)))), []).append(f"thread {names.get(ident)}")
    # asyncio lists the tasks of one loop. By `type`: `__class__` of some modules imports them.
    for task in [found for found in gc.get_objects() if issubclass(type(found), asyncio.Task)]:
        if not task.done():
            where.setdefault(_lines(_awaited(task.get_coro())), []).append(f"task {task.get_name()}")
    where.pop((), None)  # threads of pytest's own
    for lines, who in where.items():
        print(", ".join(who), *lines, sep="\n    ", file=to)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _awaited(awaitable: object) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, of what it awaits, and so on."""
    while awaitable is not None:
        if isinstance(awaitable, CoroutineType):
            frame, awaitable = awaitable.cr_frame, awaitable.cr_await
        elif isinstance(awaitable, AsyncGeneratorType):
            frame, awaitable = awaitable.ag_frame, awaitable.ag_await
        elif isinstance(awaitable, GeneratorType):
            frame, awaitable = awaitable.gi_frame, awaitable.gi_yieldfrom
        else:  # a step of `async for`, or a future: only the garbage collector knows what it belongs to
            frame, awaitable = None, next((o for o in gc.get_referents(awaitable) if isinstance(o, _SUSPENDED)), None)
        if frame is not None:
            yield frame


def _lines(frames: Iterable[FrameType]) -> tuple[str, ...]:
    places = [(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname) for frame in frames]
    return tuple(
        f"{file.rpartition('site-packages/')[2]}:{line} {name}"
        for file, line, name in places
        if not any(part in file for part in _PLUMBING)
    )


# ---------------------------------------------------------------- in the process that starts the workers


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["stacks"] = str(settings().root / f"{node.gateway.id}.stacks")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    if error is not None:  # it was not asked to end
        print(f"\n{node.gateway.id}", last_words(node))


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: Any, sched: Any) -> None:
    report.longrepr = f"{report.longrepr}\nIt {last_words(report.node)}"


def last_words(node: Any) -> str:
    """How a worker ended, where its threads and tasks stood then, and the last that Ray wrote: Ray and kernels end
    processes without a word to anybody else."""
    process = node.gateway._io.popen
    code = process.wait(10)
    said = [f"ended with exit code {code}{f' ({signal.Signals(-code).name})' if code < 0 else ''}."]
    stacks = Path(node.workerinput["stacks"])
    lines = stacks.read_text(errors="replace").splitlines() if stacks.exists() else []  # it may have died before
    said += [line for line in lines if not any(part in line for part in (*_PLUMBING, "Extension modules:"))]
    for log in Path(tempfile.gettempdir()).glob(f"plait-ray-*/r/session_2*/logs/*_{process.pid}.log"):
        said += [log.name, *(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-5:])]
    return "\n".join(said)
