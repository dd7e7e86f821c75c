"""`plait serve` with a collection of a few documents, on Ray and Milvus as users have it, for trials that need them.

In: the folder of a model. Out: where the server is, as long as it is needed.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from environments import ENVIRONMENTS, HERE

from plait.local.process import free_port

_PORTS = ("HTTP_PORT", "METRICS_PORT", "RAY_METRICS_PORT", "RAY_DASHBOARD_PORT")


@contextmanager
def serving_documents(model: Path) -> Iterator[dict[str, str]]:
    """What trials are told of a server with this model and the collection `handbook`, as variables."""
    ports = {f"PLAIT_{name}": str(free_port()) for name in _PORTS}
    environment = os.environ | ports | {"PLAIT_HOME": str(ENVIRONMENTS / "home-with-documents")}

    def plait(*arguments: str) -> None:
        command = [Path(sys.executable).with_name("plait"), *arguments]
        subprocess.run(command, env=environment, stdout=sys.stderr, check=True)

    try:
        plait("ingest", str(HERE / "documents"), "collection=handbook")
        # Open WebUI cuts what is uploaded by characters, and a piece may be longer than the embedding model reads.
        options = ("retrieval.collection=handbook", f"llm.model={model}", "embedding.long_texts=mean")
        plait("serve", "local", *options, "--detach")
        yield {
            "PLAIT_URL": f"http://127.0.0.1:{ports['PLAIT_HTTP_PORT']}/v1",
            "PLAIT_METRICS_URL": f"http://127.0.0.1:{ports['PLAIT_METRICS_PORT']}/metrics",
        }
    finally:
        plait("stop")
