"""All processes of ours on this machine, for `plait status` and `plait stop`."""

from collections.abc import Iterator

from plait.local import exporter, job_queue, milvus, ray_head
from plait.local.process import WATCHER
from plait.local.running import Running
from plait.local.state import find_remains, find_running, stop
from plait.settings import settings

# In the order in which they are stopped: who starts others again goes first, then who uses others.
_NAMES = (WATCHER, job_queue.NAME, ray_head.NAME, milvus.NAME, exporter.NAME)


def running() -> list[Running]:
    """Those that are alive."""
    return [process for name in _NAMES if (process := find_running(name)) is not None]


def stop_each() -> Iterator[Running]:
    """End every process that Plait started under this PLAIT_HOME, with what it started; yields each once it has ended.

    One that was killed is ended too, when it has left others behind.
    """
    for name in _NAMES:
        found = find_remains(name)
        if found is not None:
            stop(found)
            yield found


def stop_all() -> list[Running]:
    """The same, at once."""
    return list(stop_each())


def metrics_addresses() -> dict[str, str]:
    """Where this node's metrics are, host:port by Prometheus job: as the running processes have it, else the settings.

    The metrics of a cluster that is not ours (`PLAIT_RAY_ADDRESS`) are left to whoever runs it.
    """
    found, current = find_running(exporter.NAME), settings()
    addresses = {"plait": found.address if found else f"{current.bind}:{current.metrics_port}"}
    if current.ray_address is None:
        head = find_running(ray_head.NAME)
        port = head.settings.get("ray_metrics_port") if head else None
        addresses["ray"] = f"127.0.0.1:{port or current.ray_metrics_port}"
    return addresses
