"""The Prometheus exporter of this machine, as a process of ours."""

import sys

from plait.local.process import LocalProcess, check_port_is_free
from plait.settings import settings

NAME = "exporter"


def exporter() -> LocalProcess:
    """The exporter, at the address that the settings say."""
    bind, port = settings().bind, settings().metrics_port

    def make_address() -> str:
        check_port_is_free(port, bind, "PLAIT_METRICS_PORT")
        return f"{bind}:{port}"

    return LocalProcess(
        name=NAME,
        make_address=make_address,
        command=lambda _: [sys.executable, "-m", "plait.observability.exporter"],
        is_watched=True,
        environment={"PLAIT_BIND": bind, "PLAIT_METRICS_PORT": str(port)},
        settings={"bind": bind, "metrics_port": port},
    )
