"""`ray start` without the commands of Ray Serve.

Ray's command line imports Ray Serve, and with it pandas and FastAPI, to offer `serve` as well. That takes 1.0 of the
1.6 s of CPU until the head begins to start, and 105 MB of memory as long as it runs. Ray leaves the commands out when
their import fails.
"""

import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Run Ray's command line with this process's arguments."""
    modules: Any = sys.modules
    modules["ray.serve"] = None  # what Python takes for a failed import
    import_module("ray.scripts.scripts").main()


if __name__ == "__main__":
    main()
