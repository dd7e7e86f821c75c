"""Jobs on a second cluster of this machine, which has a home, ports and a token of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from plait.local.process import free_port

pytestmark = pytest.mark.long
PLAIT = str(Path(sys.executable).parent / "plait")
_PATIENCE_S = 300


@dataclass(frozen=True)
class Cluster:
    """Where it is, its token, and the environment of a process that is at home there."""

    address: str
    token: str
    at_home: dict[str, str]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("elsewhere")
    ports = ("HTTP_PORT", "METRICS_PORT", "RAY_METRICS_PORT", "RAY_DASHBOARD_PORT")
    at_home = os.environ | {f"PLAIT_{name}": str(free_port()) for name in ports} | {"PLAIT_HOME": str(home)}
    program = "from plait.local.ray_head import ensure_head, token; print(ensure_head(), token())"
    started = subprocess.run(
        [sys.executable, "-c", program], env=at_home, check=True, capture_output=True, text=True, timeout=120
    )
    address, token = started.stdout.splitlines()[-1].split()
    yield Cluster(address, token, at_home)
    subprocess.run([PLAIT, "stop"], env=at_home, check=True, timeout=120)


def plait(*arguments: str, token: str | None, at: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and all output of a command, by default of somebody who is at home in the session's cluster."""
    environment = (at or os.environ) | ({"RAY_AUTH_TOKEN": token} if token else {})
    done = subprocess.run(
        [PLAIT, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    return done.returncode, done.stdout + done.stderr


def run(cluster: Cluster, *what: str) -> str:
    """Submit a job, follow it to its end; returns its log."""
    code, said = plait("jobs", "submit", *what, "--address", cluster.address, token=cluster.token)
    assert code == 0, said
    job = re.findall(r"^(\S+) is submitted", said, re.MULTILINE)[0]
    code, log = plait("jobs", "logs", job, "-f", "--address", cluster.address, token=cluster.token)
    assert code == 0, log
    code, listed = plait("jobs", "list", "--address", cluster.address, token=cluster.token)
    assert re.search(rf"{job}.*SUCCEEDED", listed), listed
    return log


def test_documents_and_an_adapter_are_made_on_another_cluster(
    elsewhere: Cluster, tmp_path: Path, tiny_model: Path, tiny_embedder: Path
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# Herons\n\nHerons wait.")
    fields = ("collection=far", f"embedding.model={tiny_embedder}", "chunk.max_tokens=32")
    assert "1 documents written" in run(elsewhere, "ingest", str(docs), *fields)
    data = tmp_path / "train.jsonl"
    data.write_text("".join(json.dumps({"question": str(i), "answer": str(i)}) + "\n" for i in range(20)))
    training = [
        *("name=far", f"data.train={data}", f"model.source={tiny_model}", "model.dtype=float32"),
        *("data.max_tokens=64", "train.samples=0", "train.max_steps=4", "scale.threads_per_worker=1"),
        *("data.rehearsal_share=0", "train.kl_weight=0"),
    ]
    assert "far:1" in run(elsewhere, "train", "lora", *training)
    # What they made is there, and not here.
    for environment, has_it in ((elsewhere.at_home, True), (None, False)):
        assert ("far" in plait("collections", "list", token=None, at=environment)[1]) is has_it
        assert ("far" in plait("adapters", "list", token=None, at=environment)[1]) is has_it


def test_a_wrong_token_is_a_sentence(elsewhere: Cluster) -> None:
    code, said = plait("jobs", "list", "--address", elsewhere.address, token="wrong" * 8)
    assert code != 0
    assert "RAY_AUTH_TOKEN" in said
    assert "Traceback" not in said
