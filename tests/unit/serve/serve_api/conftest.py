from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from changed_settings import changed_settings
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


@pytest.fixture
def ai(client: TestClient) -> Any:
    """OpenAI's own client."""
    return openai.OpenAI(api_key="none", base_url="http://testserver/v1", http_client=client, max_retries=0)


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[Path]:
    """A PLAIT_HOME that holds nothing yet."""
    with changed_settings(home=tmp_path):
        yield tmp_path
