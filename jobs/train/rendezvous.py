"""Where workers meet: on the network through which Ray joins their nodes.

Left to itself, gloo listens at the address that a machine finds for its own host name: often a loopback address, which
no other machine reaches. It is told the interface of the node's address before the process group is made.
"""

import os
from dataclasses import dataclass

import psutil
import ray.util
from ray.train.backend import Backend
from ray.train.torch import TorchConfig

_GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"


@dataclass
class NodeTorchConfig(TorchConfig):  # type: ignore[misc]  # ray ships no types
    """Ray Train's set-up of torch, whose workers talk through their nodes' addresses."""

    @property
    def backend_cls(self) -> type[Backend]:
        inherited: type[Backend] = super().backend_cls

        class NodeBackend(inherited):  # type: ignore[misc]
            def on_start(self, worker_group: object, backend_config: TorchConfig) -> None:
                worker_group.execute(use_nodes_interface)  # type: ignore[attr-defined]
                super().on_start(worker_group, backend_config)

        return NodeBackend


def use_nodes_interface() -> None:
    """Let gloo use the interface that has this node's address; one that was chosen for it stays."""
    interface = interface_of(ray.util.get_node_ip_address())
    if interface is not None:
        os.environ.setdefault(_GLOO_INTERFACE, interface)


def interface_of(address: str) -> str | None:
    """The name of this machine's network interface that has an address."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address == address for found in addresses):
            return name
    return None
