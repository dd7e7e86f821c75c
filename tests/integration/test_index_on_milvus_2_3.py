"""The index on a real Milvus 2.3.5, the binary of the package `milvus`: vectors work, and what is missing is said.

That server binds many ports on all interfaces and lives through SIGTERM. So it runs in network and process namespaces
of its own, together with the script that talks to it; when their first process is killed, the kernel ends them all.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_NAMESPACES = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
_SCRIPT = """
import json, sys, time
from pathlib import Path

import milvus
import numpy as np
import pyarrow as pa

from plait.errors import PlaitError
from plait.documents.chunk import Chunk, chunk_table
from plait.index.collection import Index
from plait.index.filters import read_filter
from plait.index.document_state import DocumentVersion
from plait.index.search import Search
from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.store import MilvusStore

server = milvus.MilvusServer(debug=False)
server.set_base_dir(sys.argv[1])
server.start()
store = MilvusStore(Milvus(f"http://127.0.0.1:{server.listen_port}", ""))
said = {}


def refusal(action):
    try:
        action()
    except PlaitError as error:
        return str(error)


index = Index.open_or_create("old", store, embedding_model="model-a", dimension=8)
chunks = [
    Chunk(f"{tenant}-{i}", f"{i}.md", "T", "", f"text {i}", 0, 0, 6, 1, "h", 1, tenant, {"number": i})
    for tenant in ("default", "other")
    for i in range(4)
]
vectors = np.eye(8, dtype=np.float32)
table = chunk_table(chunks).append_column(
    "dense", pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate([vectors[:4], vectors[:4]]).reshape(-1)), 8)
)
index.upsert(table)
index.upsert(table)
index.flush()
again = Index.open("old", store)


def found(filter=""):
    (hits,) = again.search(Search(9, condition=read_filter(filter)), vectors=vectors[1:2])
    return [hit.passage.chunk_id for hit in hits]


said["dense"] = found()[:1]
said["all"] = sorted(found())
said["filtered"] = found('metadata["number"] > 2')
said["no such key"] = sorted(found('not (exists metadata["x"]) or not (metadata["x"] == 1)'))
said["another number"] = sorted(found('not (exists metadata["number"]) or not (metadata["number"] == 1)'))
said["one of"] = found('metadata["number"] in [1, 7] or source in ["3.md"]')
said["no truth"] = found("1 == 2 or position == 7")
for mode in ("bm25", "hybrid"):
    said[mode] = refusal(lambda: again.search(Search(3, mode=mode), ["text"], vectors[:1]))
said["documents"] = index.stats().documents_by_tenant
index.delete_stale("default", "0.md", keep=DocumentVersion("new", 1))
index.delete_documents("default", ["1.md"])
deadline = time.monotonic() + 20  # what was deleted is seen for a moment
while sorted(index.document_states("default")) != ["2.md", "3.md"] and time.monotonic() < deadline:
    time.sleep(0.1)
said["left"] = sorted(index.document_states("default"))
index.drop()
Path(sys.argv[2]).write_text(json.dumps(said))
"""


@pytest.mark.skipif(importlib.util.find_spec("milvus") is None, reason="needs the package milvus")
def test_vectors_work_and_what_is_missing_is_said_before_anything_is_written(tmp_path: Path) -> None:
    if subprocess.run([*_NAMESPACES, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs namespaces of its own")
    script, result = tmp_path / "script.py", tmp_path / "result.json"
    script.write_text(_SCRIPT)
    command = f'ip link set lo up && exec "{sys.executable}" "{script}" "{tmp_path / "data"}" "{result}"'
    # The server needs more than a second for some calls right after its start.
    environment = os.environ | {"PLAIT_MILVUS_TIMEOUT_S": "60"}
    confined = subprocess.Popen(
        [*_NAMESPACES, "bash", "-c", command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = confined.communicate(timeout=150)
    finally:
        confined.kill()
        confined.wait()
    assert confined.returncode == 0, output
    assert "Milvus v2.3.5-lite has no BM25: collection 'old' can be searched by vectors only" in output
    said = json.loads(result.read_text())
    assert said["dense"] == ["default-1"]
    assert said["all"] == [f"default-{i}" for i in range(4)]
    assert said["filtered"] == ["default-3"]
    assert said["no such key"] == said["all"]
    assert said["another number"] == ["default-0", "default-2", "default-3"]
    assert sorted(said["one of"]) == ["default-1", "default-3"]
    assert said["no truth"] == []
    for mode in ("bm25", "hybrid"):
        assert said[mode] == (
            f"Milvus v2.3.5-lite has no BM25, so collection 'old' cannot be searched by {mode}. "
            "Use mode: dense, or ingest into Milvus 2.5 or newer."
        )
    assert said["documents"] == {"default": 4, "other": 4}
    assert said["left"] == ["2.md", "3.md"]
