"""Runs a client's features one by one and prints each as `feature<TAB>works`, or with what failed. Knows no client.

A feature that returns a text has it behind `works`.
"""

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

URL = os.environ["PLAIT_URL"]
"""Address of the server, with /v1."""
_features: list[Callable[[], Any]] = []


def feature(tried: Callable[[], Any]) -> Callable[[], Any]:
    """Registers a function whose name says what it tries; it raises when that does not work."""
    _features.append(tried)
    return tried


def run() -> None:
    """Try all features; the process exits with the number of those that failed."""
    failed = 0
    for tried in _features:
        name = tried.__name__.replace("_", " ")
        try:
            outcome = tried()
            if inspect.iscoroutine(outcome):
                outcome = asyncio.run(outcome)
            print(f"{name}\tworks{f': {outcome}' if outcome else ''}", flush=True)
        except Exception as error:
            failed += 1
            print(f"{name}\tfails: {type(error).__name__}: {' '.join(str(error).split())[:600]}", flush=True)
    sys.exit(failed)
