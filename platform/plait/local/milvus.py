"""Where Milvus is: the configured server, or an embedded one on loopback.

The server mode is used because the file mode of Milvus Lite locks every second process out.
"""

import sys
from urllib.parse import urlsplit

from plait.errors import InvalidInput, Unavailable
from plait.local.process import LocalProcess, answers, free_port, is_free
from plait.settings import settings

NAME = "milvus"
_DEFAULT_PORTS = {"http": 19530, "https": 443}
# A server far away may take longer to accept than one on this machine.
_CONNECT_TIMEOUT_S = 3.0


def milvus_uri() -> str:
    """The URI of the Milvus server to use; starts the embedded one if none is configured.

    Raises:
        InvalidInput: when PLAIT_MILVUS_URI is no http(s) address.
        Unavailable: when a configured server does not answer, or the embedded one does not start.
    """
    configured = settings().milvus_uri
    if configured is None:
        return "http://" + _embedded().ensure().address
    _check_answers(configured)
    return configured


def _embedded() -> LocalProcess:
    data = settings().local_dir / "milvus-data"
    return LocalProcess(
        name=NAME,
        is_watched=True,
        make_address=lambda: f"127.0.0.1:{_port()}",
        command=lambda address: [
            *(sys.executable, "-m", "plait.local.embedded_milvus", "server", "--data-dir", str(data)),
            *("--host", "127.0.0.1", "--port", address.rpartition(":")[2]),
        ],
    )


def _port() -> int:
    """A free port, the same as last time if it still is free: clients that hold on to the address find it again."""
    note = settings().local_dir / "milvus-port"
    last = note.read_text(encoding="ascii", errors="replace") if note.is_file() else ""
    if last.isdecimal() and 0 < int(last[:6]) < 65_536 and is_free(int(last), "127.0.0.1"):
        return int(last)
    port = free_port()
    note.write_text(str(port), encoding="utf-8")
    return port


def _check_answers(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:  # a port that is no number
        host = port = None
    if host is None or port is None:
        raise InvalidInput(
            f"PLAIT_MILVUS_URI={uri} is no address of a Milvus server.",
            "It looks like http://host:19530; unset it to use the embedded server.",
        )
    if not answers(host, port, _CONNECT_TIMEOUT_S):
        raise Unavailable(
            f"Milvus at {uri} does not answer.",
            "Start it, correct PLAIT_MILVUS_URI, or unset it to use the embedded server.",
        )
