"""Ctrl-C while a long call runs: the first asks it to end well, the second ends it."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def run_interruptibly(call: Callable[[], T], on_interrupt: Callable[[], None]) -> T:
    """Run `call` in a thread of its own, and give back what it gives.

    Args:
        call: what takes long.
        on_interrupt: asks `call` to end soon; called at the first Ctrl-C, if this is the main thread.

    Raises:
        KeyboardInterrupt: at the second Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    pressed = 0

    def interrupt(signum: int, frame: Any) -> None:
        nonlocal pressed
        pressed += 1
        if pressed > 1:
            raise KeyboardInterrupt
        on_interrupt()
        print("stopping after this step; a checkpoint is being saved (Ctrl-C again: stop at once)", flush=True)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        return _in_a_thread(call).result()
    finally:
        signal.signal(signal.SIGINT, before)


def _in_a_thread(call: Callable[[], T]) -> Future[T]:
    """Not an executor's thread: the interpreter would wait for that one before it ends."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
