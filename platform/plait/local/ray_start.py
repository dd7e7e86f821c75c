"""`ray start` without the commands of Ray Serve, and without Ray's client server.

Ray's command line imports Ray Serve, and with it pandas and FastAPI, to offer `serve` as well. That takes 1.0 of the
1.6 s of CPU until the head begins to start, and 105 MB of memory as long as it runs. Ray leaves the commands out when
their import fails. It starts a server for `ray://` addresses unless a library is missing for that, and no
option says otherwise. Nothing here uses such an address on this machine; the server takes 1.1 s of CPU and 50 MB.
"""

import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Run Ray's command line with this process's arguments."""
    modules: Any = sys.modules
    modules["ray.serve"] = None  # what Python takes for a failed import
    commands: Any = import_module("ray.scripts.scripts")
    commands.get_ray_client_dependency_error = lambda: ImportError("Plait needs no client server.")
    commands.main()


if __name__ == "__main__":
    main()
