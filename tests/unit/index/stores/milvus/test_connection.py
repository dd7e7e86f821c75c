import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from plait.errors import InvalidInput, Unavailable
from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.store import MilvusStore


def test_a_server_travels_as_its_address_and_its_token_which_no_log_shows() -> None:
    store = MilvusStore(Milvus("http://127.0.0.1:1", "root:secret"))
    vars(store.milvus)["client"] = threading.Lock()  # which cannot be pickled, as a connection
    sent = pickle.loads(pickle.dumps(store))
    assert sent == store
    assert vars(sent.milvus) == {"uri": "http://127.0.0.1:1", "token": "root:secret"}
    assert "secret" not in repr(store)


def test_a_server_that_is_not_there_is_named_at_once() -> None:
    for _ in range(2):  # the first one imports pymilvus, too
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"No Milvus answers at http://127\.0\.0\.1:1 "):
            MilvusStore(Milvus("http://127.0.0.1:1", "")).collections()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("uri", ["milvus.db", "ftp://host", ""])
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match="no address of a Milvus server"):
        MilvusStore(Milvus(uri, "")).collections()


def test_logs_of_others_are_written_on(tmp_path: Path) -> None:
    # pymilvus sets logging up when it is imported, and closes the handlers of every log that is there.
    script = f"""
import logging
log = logging.getLogger("ray.serve")
log.addHandler(logging.FileHandler({str(tmp_path / "log")!r}, mode="w"))
from plait.index.stores.milvus.connection import Milvus
Milvus("http://127.0.0.1:1", "")
from pymilvus.exceptions import MilvusException
log.warning("still here")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert (tmp_path / "log").read_text() == "still here\n"
