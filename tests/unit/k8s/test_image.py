"""The Dockerfile, what Docker is sent, and the compose file, without Docker."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml

from plait.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def rehearsal() -> Any:
    spec = spec_from_file_location("rehearse_image", ROOT / "k8s/rehearse_image.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text((ROOT / "Dockerfile").read_text(encoding="utf-8") + "\nRUN cd /tmp && pip install ray\n")
    hadolint = Path(sys.executable).parent / "hadolint"
    assert subprocess.run([hadolint, bad], capture_output=True, timeout=60, check=False).returncode == 1


def test_images_end_without_root_and_with_what_probes_call(rehearsal: Any) -> None:
    steps = rehearsal.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    run = [(word, rest) for stage, word, rest in steps if stage == "run"]
    assert [rest for word, rest in run if word == "USER"] == ["1000"]
    assert {"curl", "wget", "gcc"} <= set(" ".join(rest for word, rest in run if word == "RUN").split())
    assert [rest for stage, word, rest in steps if word == "FROM" and stage in ("cpu", "cuda")] == [
        "run AS cpu",
        "run AS cuda",
    ]


def test_every_installation_is_pinned(rehearsal: Any) -> None:
    steps = rehearsal.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    installs = [c for _, word, rest in steps if word == "RUN" for c in rest.split("&&") if "pip install" in c]
    assert installs
    assert all("--constraint constraints.txt" in c or "constraints.txt" in c for c in installs)


def test_docker_is_sent_the_sources_and_nothing_else(rehearsal: Any) -> None:
    sent = {str(p) for p in rehearsal.context((ROOT / ".dockerignore").read_text(encoding="utf-8"))}
    assert {
        "pyproject.toml",
        "constraints.txt",
        ".ci/install-torch",
        "platform/plait/engines/torch/kernels/linear.c",
    } <= sent
    assert {"platform/plait/native/product.h", "platform/plait/models/encoders/bert/encoder.c"} <= sent
    assert {"platform/plait/py.typed", "jobs/recipes/lora.yaml", "serve/config/cluster.yaml"} <= sent
    assert not [p for p in sent if p.startswith(("tests/", "docs/", ".git", "k8s/", ".ci/run", "benchmarks/"))]


def test_compose_opens_ports_to_this_host_only_and_sets_what_plait_reads() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"plait", "milvus", "mlflow", "prometheus", "grafana"}
    ports = [p for s in services.values() for p in s.get("ports", [])]
    assert all(p.startswith("127.0.0.1:") for p in ports)
    variables = services["plait"]["environment"]
    assert {v.removeprefix("PLAIT_").lower() for v in variables} <= set(Settings.model_fields)
    for uri in (variables["PLAIT_MILVUS_URI"], variables["PLAIT_TRACKING_URI"]):
        host, port = re.fullmatch(r"http://(\w+):(\d+)", uri).groups()  # type: ignore[union-attr]
        assert host in services
        assert host != "mlflow" or f"--port={port}" in services["mlflow"]["command"]


def test_prometheus_of_compose_scrapes_ports_that_plait_opens() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load(compose["configs"]["prometheus"]["content"])
    targets = {t for job in config["scrape_configs"] for s in job["static_configs"] for t in s["targets"]}
    defaults = Settings.model_fields
    assert {f"plait:{defaults['metrics_port'].default}", f"plait:{defaults['ray_metrics_port'].default}"} <= targets
    assert {target.partition(":")[0] for target in targets} <= set(compose["services"])
