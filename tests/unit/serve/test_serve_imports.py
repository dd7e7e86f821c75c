"""What a process of the server brings into memory: the libraries that compute, only where something is computed."""

import subprocess
import sys

_SCRIPT = """
import importlib, sys
for name in ("ingress", "deployments.indexer", "deployments.retriever"):
    importlib.import_module(f"plait.serve.{name}")
print(*sorted({"torch", "transformers", "accelerate", "scipy"} & set(sys.modules)))
"""


def test_replicas_that_compute_nothing_import_neither_torch_nor_transformers() -> None:
    # Each of them would take 180 MB and two seconds more.
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
