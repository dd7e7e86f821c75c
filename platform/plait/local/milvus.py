"""Where Milvus is: the configured server, or an embedded `milvus-lite server` on loopback.

The server mode is used because the file mode of Milvus Lite locks every second process out.
"""

import shutil
import sys
from pathlib import Path

from plait.errors import Unavailable
from plait.local.process import LocalProcess, answers, free_port, is_free
from plait.settings import settings

NAME = "milvus"


def milvus_uri() -> str:
    """The URI of the Milvus server to use; starts the embedded one if none is configured.

    Raises:
        Unavailable: when a configured server does not answer, or the embedded one does not start.
    """
    configured = settings().milvus_uri
    if configured is None:
        return "http://" + _embedded().ensure().address
    _check_answers(configured)
    return configured


def _embedded() -> LocalProcess:
    data = settings().local_dir / "milvus-data"
    executable = Path(sys.executable).parent / "milvus-lite"
    command = str(executable) if executable.exists() else shutil.which("milvus-lite") or "milvus-lite"
    return LocalProcess(
        name=NAME,
        make_address=lambda: f"127.0.0.1:{_port()}",
        command=lambda address: [
            *(command, "server", "--data-dir", str(data)),
            *("--host", "127.0.0.1", "--port", address.rpartition(":")[2]),
        ],
        is_ready=lambda address: answers("127.0.0.1", int(address.rpartition(":")[2])),
        environment={},
    )


def _port() -> int:
    """A free port, the same as last time if it still is free: clients that hold on to the address find it again."""
    note = settings().local_dir / "milvus-port"
    if note.is_file() and is_free(int(note.read_text(encoding="utf-8")), "127.0.0.1"):
        return int(note.read_text(encoding="utf-8"))
    port = free_port()
    note.write_text(str(port), encoding="utf-8")
    return port


def _check_answers(uri: str) -> None:
    from urllib.parse import urlparse

    parts = urlparse(uri)
    port = parts.port or (443 if parts.scheme == "https" else 19530)
    if not parts.hostname or not answers(parts.hostname, port):
        raise Unavailable(
            f"Milvus at {uri} does not answer.",
            "Start it, correct PLAIT_MILVUS_URI, or unset it to use the embedded server.",
        )
