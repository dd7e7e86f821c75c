"""The machines of the Ray cluster that this process has joined, where it matters that there is more than one."""

from typing import Any

from plait.errors import InvalidInput
from plait.settings import settings


def start_beside_driver(kind: type, *arguments: Any) -> Any:
    """An object in a Ray actor that neither outlives this process nor ends before it: on the same machine. It ends when
    its handle does."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=here).remote(*arguments)


def check_all_reach_milvus() -> None:
    """Refuse the embedded Milvus where other machines work too: it listens on loopback, and theirs would be another.

    Raises:
        InvalidInput: before anything is started there.
    """
    if settings().milvus_uri is not None:
        return
    import ray

    machines = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if len(machines) > 1:
        raise InvalidInput(
            f"The Ray cluster has {len(machines)} machines, but only this one reaches the embedded Milvus.",
            "Set PLAIT_MILVUS_URI to a server that all of them reach.",
        )
