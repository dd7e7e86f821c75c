import pytest
from fastapi.testclient import TestClient

from plait.serve.api.services import deployments, services
from plait.serve.ingress import build_api
from serve_api.fakes import Fakes


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def client(fakes: Fakes) -> TestClient:
    api = build_api()
    api.dependency_overrides |= {services: lambda: fakes, deployments: lambda: fakes}
    return TestClient(api, raise_server_exceptions=False)
