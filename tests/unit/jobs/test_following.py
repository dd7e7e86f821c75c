"""A run is shown until it has ended, and at its end."""

import threading
from collections.abc import Callable

import pytest
from rich.console import Console

from plait.jobs.following import following


@pytest.mark.parametrize(("is_terminal", "where"), [(True, "terminal"), (False, "lines")])
def test_a_run_is_followed_to_its_end(is_terminal: bool, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.jobs.following.Console", lambda: Console(force_terminal=is_terminal))
    seen: list[tuple[str, bool]] = []
    begun = threading.Event()

    def follow(how: str) -> Callable[[Console, threading.Event], None]:
        def look(console: Console, stopped: threading.Event) -> None:
            seen.append((how, stopped.is_set()))
            begun.set()
            stopped.wait()
            seen.append((how, stopped.is_set()))

        return look

    with following(follow("terminal"), follow("lines")):
        assert begun.wait(10)
    assert seen == [(where, False), (where, True)]
