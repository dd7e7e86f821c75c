"""What the processes of one home take of memory and of the CPUs, whoever started them.

In: a value of PLAIT_HOME, which every process inherits from the command that began it. Out: figures by process. Memory
is the proportional set size of Linux: pages that n processes share count one n-th in each, so a sum counts them once.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_NAMES = {
    "ServeController": "Ray Serve's controller",
    "ProxyActor": "Ray Serve's HTTP proxy",
    "ray::IDLE": "a worker of Ray's without work",
    "gcs_server": "Ray's control store",
    "raylet/raylet": "Ray's node manager",
    "ray.scripts.scripts": "`ray start`",
    "DashboardAgent": "Ray's agent",
    "ray.dashboard": "Ray's dashboard",
    "dashboard/dashboard": "Ray's dashboard",
    "autoscaler": "Ray's autoscaler",
    "log_monitor": "Ray's log monitor",
    "util.client": "Ray's client server",
    "embedded_milvus": "Milvus",
    "plait.local.watcher": "Plait's watcher",
    "plait.observability.exporter": "Plait's exporter",
    "empty_serve": "the script that starts it",
}
_REPLICA = "ServeReplica:"


@dataclass(frozen=True)
class ProcessUse:
    """What one process takes."""

    name: str
    memory_bytes: int
    cpu_s: float
    """Since it started."""


def processes_of(home: Path) -> list[ProcessUse]:
    """The processes of a home, this one left out; the largest first."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("PLAIT_HOME") == str(home):
                times = process.cpu_times()
                name = _name(" ".join(process.cmdline()))
                found.append(ProcessUse(name, process.memory_full_info().pss, times.user + times.system))
        except psutil.Error:
            continue  # it has just ended, or is another user's
    return sorted(found, key=lambda use: -use.memory_bytes)


def memory_by_name(processes: list[ProcessUse]) -> dict[str, int]:
    """Bytes by name, the largest first."""
    bytes_of: dict[str, int] = {}
    for process in processes:
        bytes_of[process.name] = bytes_of.get(process.name, 0) + process.memory_bytes
    return dict(sorted(bytes_of.items(), key=lambda item: -item[1]))


def cores_used(home: Path, seconds: float) -> float:
    """How much of a core the processes of a home use from now on; those that end meanwhile are left out."""
    started, before = time.perf_counter(), sum(process.cpu_s for process in processes_of(home))
    time.sleep(seconds)
    after = sum(process.cpu_s for process in processes_of(home))
    return max(0.0, after - before) / (time.perf_counter() - started)


def _name(command: str) -> str:
    """
    >>> _name("ray::ServeReplica:plait:LLM.generate"), _name("/usr/lib/ray/core/src/ray/gcs/gcs_server --log_dir=/tmp")
    ("the LLM's replica", "Ray's control store")
    """
    if _REPLICA in command:
        return f"the {command.partition(_REPLICA)[2].split(':')[1].split('.')[0].split()[0]}'s replica"
    return next((name for part, name in _NAMES.items() if part in command), "others")
