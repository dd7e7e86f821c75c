"""Show how far a run is while it works: a bar on a terminal, lines elsewhere. It knows no run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Follow = Callable[[Console, threading.Event], None]
"""Shows a run until the event is set, and once more then."""


@contextmanager
def following(on_terminal: Follow, in_lines: Follow) -> Iterator[None]:
    """Have a thread follow a run while the block runs: by `on_terminal` where there is one, else by `in_lines`."""
    console = Console()
    stopped = threading.Event()
    follow = on_terminal if console.is_terminal else in_lines
    thread = threading.Thread(target=follow, args=(console, stopped), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
