"""What a worker of Ray Serve's on the local head does first: it imports Ray Serve without pandas.

Ray Serve imports pandas to answer with data frames, which nothing here does, and goes without it where the import
fails. pandas takes 28 MB and 0.35 s of CPU in each of the processes of an application.
"""

import sys
from importlib import import_module
from typing import Any

SETUP_HOOK = "plait.local.serve_worker.import_serve"
"""`worker_process_setup_hook` of a runtime environment."""


def import_serve() -> None:
    """Import Ray Serve; whoever imports pandas afterwards gets it."""
    modules: Any = sys.modules
    if "pandas" in modules:
        import_module("ray.serve")
        return
    modules["pandas"] = None  # what Python takes for a failed import
    try:
        import_module("ray.serve")
    finally:
        del modules["pandas"]
