"""What Ray's daemons tell every driver ("8 PYTHON worker processes have been started"): for a log, not for the user.

Ray prints them on standard output and has no switch for it, so this touches a private function. They tell of causes
that come to us as errors as well, or that Ray mends itself.
"""

import sys
from importlib import import_module
from typing import Any


def send_to_standard_error() -> None:
    """Write the messages that come from now on to standard error, which commands set aside (`library_output`)."""
    worker: Any = import_module("ray._private.worker")
    worker.print_to_stdstream = _write


def _write(data: dict[str, Any], ignore_prefix: bool) -> None:
    for line in data["lines"]:
        print(f"({data['pid']}) {line}", file=sys.stderr, flush=True)
