"""The connection to Milvus, and its failures as sentences.

In: a URI and a token. Out: a pymilvus client. Every call through `answering` that Milvus refuses or does not answer
becomes a PlaitError that names the server. It knows no collection.
"""

import logging.config
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from plait.errors import CollectionNotFound, InvalidInput, PlaitError, Unavailable
from plait.settings import settings

_COLLECTION_NOT_FOUND = 100  # Milvus's code


@dataclass(frozen=True)
class Milvus:
    """A Milvus server: where it is, and the client that is connected to it.

    It is pickled as its address and its token: a process that it is sent to connects for itself.
    """

    uri: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        _import_pymilvus()  # here, before anything that holds one imports a name of pymilvus's

    def __reduce__(self) -> tuple[type["Milvus"], tuple[str, str]]:
        return Milvus, (self.uri, self.token)

    @cached_property
    def client(self) -> Any:
        """The connection, which is made at its first use.

        Raises:
            InvalidInput: when the URI is none.
            Unavailable: when no Milvus answers there.
        """
        from pymilvus import MilvusClient
        from pymilvus.exceptions import ConnectionConfigException, MilvusException

        if not self.uri.startswith(("http://", "https://", "tcp://")):  # a path would open a file that locks others out
            raise InvalidInput(f"'{self.uri}' is no address of a Milvus server.", "Write http://HOST:19530.")
        try:
            return MilvusClient(
                self.uri,
                token=self.token,
                timeout=settings().milvus_timeout_s,
                grpc_options={
                    # pymilvus would ping an idle connection every 10 s, and Milvus Lite ends it for that.
                    "grpc.keepalive_time_ms": 300_000,
                    # gRPC would let up to two minutes pass before it looks whether a server that died is back.
                    "grpc.initial_reconnect_backoff_ms": 200,
                    "grpc.max_reconnect_backoff_ms": 1_000,
                },
            )
        except ConnectionConfigException as error:
            raise InvalidInput(f"'{self.uri}' is no address of a Milvus server ({error.message}).") from error
        except MilvusException as error:
            raise _unavailable(self.uri, error.message) from error

    @cached_property
    def version(self) -> str:
        """What the server says of its version: `v2.3.5`, `milvus_lite-3.2.2`."""
        with self.answering("say its version") as client:
            return str(client.get_server_version(timeout=settings().milvus_timeout_s))

    @property
    def is_embedded(self) -> bool:
        """The server is Milvus Lite."""
        return self.version.startswith("milvus_lite")

    @property
    def is_before_2_5(self) -> bool:
        """The server makes no BM25 weights: it takes a collection that asks for them, and fails at the first row."""
        number = re.search(r"(\d+)\.(\d+)", self.version)
        return number is not None and (int(number[1]), int(number[2])) < (2, 5)

    @contextmanager
    def answering(self, action: str) -> Iterator[Any]:
        """The client, for calls that do `action` (as in 'search'); their failures become PlaitErrors.

        Raises:
            Unavailable: when the server does not answer in time.
            CollectionNotFound: when the collection is not there.
            PlaitError: when it refuses.
        """
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            yield self.client
        except MilvusException as error:
            if _is_outage(error):
                raise _unavailable(self.uri, error.message) from error
            if error.code == _COLLECTION_NOT_FOUND:
                raise CollectionNotFound(f"Milvus at {self.uri} could not {action}: its collection is gone.") from error
            reason = error.message or "no reason given"
            raise PlaitError(f"Milvus at {self.uri} could not {action}: {reason}.") from error
        except grpc.RpcError as error:
            raise _unavailable(self.uri, str(error)) from error


def _is_outage(error: Any) -> bool:
    # pymilvus puts what gRPC said into the message; the code is 1 or 2 for outages and refusals alike.
    text = str(error)
    return any(sign in text for sign in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "Retry timeout", "Fail connecting"))


def _unavailable(uri: str, detail: str) -> Unavailable:
    reason = " ".join(detail.split())[:200].rstrip(".")
    return Unavailable(
        f"No Milvus answers at {uri} ({reason}).",
        "Start it, set PLAIT_MILVUS_URI to one that runs, or unset it to use the embedded one.",
    )


_importing = threading.Lock()


def _import_pymilvus() -> None:
    """Import it without the set-up of logging that comes with it.

    That closes the handlers of everybody's logs: a replica of Serve would log nothing any more. Nor is its own log of
    use here: it has a traceback for every call that fails, also for those whose failure we expect and explain.
    """
    with _importing:
        set_up = logging.config.dictConfig
        logging.config.dictConfig = lambda config: None
        try:
            import pymilvus  # noqa: F401
        finally:
            logging.config.dictConfig = set_up
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
