"""The admin routes without a cluster: who may use them, and how what replicas say becomes one list."""

from collections.abc import Iterator

import pytest
from changed_settings import changed_settings
from fastapi import FastAPI
from fastapi.testclient import TestClient

from plait.serve.adapters.lifecycle import Residency
from plait.serve.adapters.report import ReplicaAdapters, merged
from plait.serve.api import adapters, files, vector_store_files
from plait.serve.api.errors import install
from plait.settings import settings

ROUTES = [
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("GET", "/v1/adapters"),
    ("POST", "/v1/adapters/support/pin"),
    ("POST", "/v1/adapters/support@champion/unpin"),
    ("POST", "/v1/files"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/file-1/content"),
    ("DELETE", "/v1/files/file-1"),
    ("POST", "/v1/vector_stores/docs/files"),
    ("GET", "/v1/vector_stores/docs/files"),
    ("DELETE", "/v1/vector_stores/docs/files/file-1"),
]


@pytest.fixture
def client() -> TestClient:
    api = FastAPI()
    install(api)
    for noun in (adapters, files, vector_store_files):
        api.include_router(noun.routes)
    return TestClient(api)


@pytest.fixture
def admin_key() -> Iterator[str]:
    with changed_settings(admin_key="secret-key"):
        yield "secret-key"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_an_admin_key_every_admin_route_is_off(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, headers={"Authorization": "Bearer "}, json={})
    assert answer.status_code == 403
    assert "Set PLAIT_ADMIN_KEY" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("given", [None, "Bearer wrong", "secret-key", "Basic secret-key", "Bearer "])
def test_a_missing_or_wrong_key_is_refused(
    client: TestClient, admin_key: str, method: str, path: str, given: str | None
) -> None:
    answer = client.request(method, path, headers={"Authorization": given} if given else {}, json={})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"


def test_the_right_key_gets_to_the_request_itself(client: TestClient, admin_key: str) -> None:
    headers = {"Authorization": f"Bearer {admin_key}"}
    answer = client.post("/v1/load_lora_adapter", headers=headers, json={"lora_name": "x"})
    assert answer.status_code == 400
    assert "lora_path" in answer.json()["error"]["message"]


def test_the_key_is_not_shown_when_settings_are_printed(admin_key: str) -> None:
    assert admin_key not in repr(settings())


def test_one_card_for_each_set_of_weights_says_where_it_is() -> None:
    def held(tier: str, **more: object) -> Residency:
        return Residency.model_validate(
            {"key": "a:1", "name": "a", "root": "/a", "tier": tier, "is_pinned": False} | more
        )

    reports = [
        ReplicaAdapters(replica="two", adapters=[held("disk")]),
        ReplicaAdapters(replica="one", adapters=[held("batch", rank=8, memory_bytes=64, is_pinned=True, requests=3)]),
    ]
    (card,) = merged(reports).data
    assert (card.id, card.rank, card.memory_bytes, card.pinned) == ("a:1", 8, 64, True)
    assert [(r.replica, r.tier, r.requests) for r in card.replicas] == [("one", "batch", 3), ("two", "disk", 0)]
