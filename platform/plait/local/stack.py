"""All processes of ours on this machine, for `plait status` and `plait stop`."""

from plait.local import exporter, milvus, ray_head
from plait.local.process import Running, find_running, stop

# In the order in which they are stopped: who uses others goes first.
_NAMES = (ray_head.NAME, milvus.NAME, exporter.NAME)


def running() -> list[Running]:
    """Those that are alive."""
    return [process for name in _NAMES if (process := find_running(name)) is not None]


def stop_all() -> list[Running]:
    """End every process that Plait started under this PLAIT_HOME; returns those that were alive."""
    alive = running()
    for process in alive:
        stop(process)
    return alive
