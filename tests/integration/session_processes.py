"""Processes of this test session: others on this machine, another worker of pytest among them, may run the same."""

from collections.abc import Iterator

import psutil

from plait.settings import settings


def session_processes() -> Iterator[psutil.Process]:
    """Those that have this session's PLAIT_HOME; `info["cmdline"]` is their command."""
    home = str(settings().root)
    for process in psutil.process_iter(["cmdline", "environ"]):  # leaves out what ends meanwhile
        if (process.info["environ"] or {}).get("PLAIT_HOME") == home:
            yield process
