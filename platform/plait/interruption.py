"""The two signals that ask a command to end: SIGINT (Ctrl-C) and SIGTERM, which Kubernetes, Slurm and systemd send.

The first one raises KeyboardInterrupt in the main thread, so that every `finally` cleans up, or calls what
`on_interrupt` names. A second one ends the process at once. This module does not know what a command has to save.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# `timeout` and Slurm send theirs twice, to the process and to its group: what comes so soon is the same request.
_SAME_REQUEST_S = 1.0


class _Request:
    """The first signal that came, and what it called for."""

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self.at = 0.0
        self.calls: list[Callable[[], object]] = [_raise]

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.first is None:
            self.first, self.at = signal.Signals(number), time.monotonic()
            self.calls[-1]()
        elif time.monotonic() - self.at > _SAME_REQUEST_S:
            _end_at_once(number)


_request: _Request | None = None


@contextmanager
def handled() -> Iterator[None]:
    """Handle both signals while the block runs; outside the main thread, and within another such block, do nothing.

    A SIGINT that the parent process has this one ignore, as `nohup` and a shell's `&` do, stays ignored.
    """
    global _request
    if _request is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _request = _Request()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if number == signal.SIGTERM or handler is not signal.SIG_IGN:
            signal.signal(number, _request.handle)
    try:
        yield
    finally:
        _restore(before)
        _request = None


@contextmanager
def on_interrupt(call: Callable[[], object]) -> Iterator[None]:
    """While the block runs, the first signal calls `call` (in the main thread) instead of raising KeyboardInterrupt."""
    with handled():
        request = _request
        if request is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        if request.first is not None:  # a library that was at work then has swallowed the exception
            raise KeyboardInterrupt
        request.calls.append(call)
        try:
            yield
        finally:
            request.calls.pop()


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers back after `ray.init`, which puts its own in their place.

    Raises:
        KeyboardInterrupt: for a SIGTERM that came meanwhile, of which Ray's handler makes a SystemExit.
    """
    if _request is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    except SystemExit as ended:
        if ended.code != signal.SIGTERM:
            raise
        _request.handle(signal.SIGTERM, None)
        raise KeyboardInterrupt from None
    finally:
        _restore(before)


@contextmanager
def explained(what: str, remedy: str) -> Iterator[None]:
    """Turn a KeyboardInterrupt of the block into an error that says what is kept and how to go on.

    Raises:
        Interrupted: with `what` and `remedy`.
    """
    try:
        yield
    except KeyboardInterrupt:
        from plait.errors import Interrupted

        raise Interrupted(what, remedy) from None


def received() -> signal.Signals | None:
    """The signal that has asked this command to end, or None."""
    return _request.first if _request is not None else None


def exit_code() -> int:
    """The exit code of an interrupted command, as shells have it: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (received() or signal.SIGINT)


def _raise() -> None:
    raise KeyboardInterrupt


def _end_at_once(number: int) -> None:
    if os.isatty(1):
        os.write(1, b"\x1b[?25h\n")  # a progress bar has hidden the cursor
    os._exit(128 + number)  # neither handlers at exit nor libraries' threads can hold it up


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None:  # None: set by C code, which Python cannot put back
            signal.signal(number, handler)
