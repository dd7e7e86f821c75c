"""Ctrl-C or SIGTERM while the workers train: they are asked to save a checkpoint and end."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from plait import interruption
from plait.errors import Interrupted

T = TypeVar("T")

# Of the 120 s that pods have, and the 100 s of a job that is stopped (docs/kubernetes.md): the rest is for the way out.
TERMINATED_WITHIN_S = 90.0


def run_interruptibly(call: Callable[[], T], ask: Callable[[], object]) -> T:
    """Run `call` in a thread of its own, and give back what it gives.

    Args:
        call: what takes long.
        ask: asks `call` to end soon; called at the first signal, if this is the main thread.

    Raises:
        Interrupted: when `call` goes on for 90 s after SIGTERM, as it does while no worker can be started.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    outcome: Future[T] = Future()

    def interrupt() -> None:
        ask()
        is_terminated = interruption.received() == signal.SIGTERM
        again = "" if is_terminated else " (Ctrl-C again: stop at once)"
        print(f"stopping after this step; a checkpoint is being saved{again}", flush=True)
        if is_terminated:
            timer = threading.Timer(TERMINATED_WITHIN_S, _give_up, [outcome])
            timer.daemon = True
            timer.start()

    with interruption.on_interrupt(interrupt):
        _start(call, outcome)
        return outcome.result()


def _give_up(outcome: "Future[T]") -> None:
    error = Interrupted(
        f"Training did not come to the end of a step within {TERMINATED_WITHIN_S:.0f} s.",
        "Run the same command again to go on from the last checkpoint.",
    )
    if not outcome.done():
        outcome.set_exception(error)


def _start(call: Callable[[], T], outcome: "Future[T]") -> None:
    """Not in an executor's thread: the interpreter would wait for that one before it ends."""

    def run() -> None:
        try:
            result = call()
        except BaseException as error:
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(result)

    threading.Thread(target=run, daemon=True).start()
