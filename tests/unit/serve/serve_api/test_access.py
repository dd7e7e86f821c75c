"""Every route with every kind of key: who is answered, who is refused, and what reaches the deployments."""

import logging
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient

from plait import api_keys
from plait.api_keys import ApiKey
from plait.documents.uploads.reach import Reach
from plait.retrieval.request import Retrieval
from plait.scope import Scope
from plait.serve.api import adapters
from plait.serve.api.services import deployments
from plait.serve.ingress import build_api
from plait.serve.messages.calls import Call
from plait.settings import settings
from serve_api.every_route import (
    ADAPTER,
    ASKED,
    CANARY,
    COLLECTION,
    OWNER,
    ROUTES,
    TENANT,
    Ask,
    Behind,
    attached_file,
    send,
    sent_file,
)

pytestmark = pytest.mark.no_cover  # what every route reaches is covered by its own tests

BOUNDS: list[dict[str, Any]] = [
    {},
    {"tenant": TENANT},
    {"tenant": "other"},
    {"collections": (COLLECTION,)},
    {"collections": ("faq",)},
    {"adapters": (ADAPTER,)},
    {"adapters": ("sales",)},
    {"tenant": TENANT, "collections": ("faq",), "adapters": ("sales",)},
]
INFER, DOCUMENTS, JOBS, ADMIN = (frozenset({scope}) for scope in Scope)
EACH = (INFER, DOCUMENTS, JOBS, ADMIN)
KEYS = [*((scopes, {}) for scopes in EACH), *((INFER | DOCUMENTS | JOBS, bounds) for bounds in BOUNDS)]


@pytest.fixture(scope="module")
def behind() -> Behind:
    return Behind()


@pytest.fixture(scope="module")
def client(behind: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    api = build_api()
    api.dependency_overrides[deployments] = lambda: behind.deployments
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, changed_settings(home=home, admin_key="an-admin-key"):
        patch.setattr(adapters, "_llm", lambda: behind.llm)
        patch.setattr(logging.getLogger("ray.serve"), "disabled", True)  # a line a request, a thousand of them
        with TestClient(api, raise_server_exceptions=False) as client:
            yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def strangers(client: TestClient) -> list[dict[str, str]]:
    """Headers of those who have no valid key, where there are keys."""
    _, kept = api_keys.create("kept", ADMIN)
    _, expired = api_keys.create("expired", ADMIN, days=0)
    gone, revoked = api_keys.create("revoked", ADMIN)
    api_keys.revoke(gone.id)
    wrong = ["wrong", "", kept[:-1], kept + "x", kept.swapcase(), expired, revoked, "an-admin-ke"]
    return [{}, {"Authorization": kept}, {"Authorization": f"Basic {kept}"}, *map(bearer, wrong)]


@pytest.fixture(scope="module")
def holders(client: TestClient) -> list[tuple[ApiKey, dict[str, str]]]:
    made = [api_keys.create("a test", scopes, **bounds) for scopes, bounds in KEYS]
    return [(key, bearer(secret)) for key, secret in made]


def is_for(key: ApiKey, named: str) -> bool:
    """Whether what the requests name, which is all of one owner, is for a key."""
    return {
        "adapter": key.adapters is None or ADAPTER in key.adapters,
        "collection": key.collections is None or COLLECTION in key.collections,
        "tenant": key.tenant in (None, TENANT),
        "any collection": key.collections is None,
        "file": Reach(tenant=key.tenant, collections=key.collections).holds(OWNER),
    }[named]


def expected(ask: Ask, key: ApiKey) -> int:
    if not ask.scopes:
        return 200
    if not {*ask.scopes, Scope.ADMIN} & key.scopes:
        return 403
    refused = [status for named, status in ask.names.items() if not is_for(key, named) and status != 200]
    return refused[0] if refused else 200


def tenants_in(argument: Any) -> Iterator[str | None]:
    """Whose documents an argument of a deployment is about."""
    if isinstance(argument, Reach):
        yield argument.tenant
    if isinstance(argument, Retrieval):
        yield argument.tenant
    if isinstance(argument, Call) and argument.retrieval is not None:
        yield argument.retrieval.tenant


def test_every_route_has_a_rule() -> None:
    assert {ask.route for ask in ASKED} == set(ROUTES)


@pytest.mark.parametrize("ask", ASKED, ids=str)
def test_whoever_has_no_valid_key_is_refused_and_reaches_nothing(
    client: TestClient, behind: Behind, strangers: list[dict[str, str]], ask: Ask
) -> None:
    behind.asked.clear()
    for headers in strangers:
        answer = send(client, ask, headers, file_id="file-" + "0" * 32)
        assert answer.status_code == (401 if ask.scopes else 200), headers
    assert not ask.scopes or behind.asked == []
    assert not (settings().root / "uploads").exists()


@pytest.mark.parametrize("ask", ASKED, ids=str)
def test_a_key_is_answered_within_its_scope_and_bounds(
    client: TestClient, behind: Behind, holders: list[tuple[ApiKey, dict[str, str]]], ask: Ask
) -> None:
    # A file that a collection holds for somebody else besides could not be deleted by its owner.
    a_file = sent_file if ask.route == ("DELETE", "/v1/files/{file_id}") else attached_file
    for key, headers in holders:
        try:
            file_id = a_file()
            folder = settings().root / "uploads" / file_id
            before = sorted(folder.iterdir())
            behind.asked.clear()
            answer = send(client, ask, headers, file_id)
            status = expected(ask, key)
            assert answer.status_code == status, (key, answer.text)
            if status in (401, 403):
                assert behind.asked == []
            if status != 200:
                assert sorted(folder.iterdir()) == before
            is_owner = status == 200 and all(is_for(key, named) for named in ask.names)
            assert is_owner or CANARY not in answer.text, key
            if is_owner and 200 in ask.names.values():
                assert CANARY in answer.text, key
            if key.tenant is not None:
                about = [tenant for _, arguments in behind.asked for one in arguments for tenant in tenants_in(one)]
                assert set(about) <= {key.tenant}, (key, behind.asked)
        finally:
            for kept in ("uploads", "collections", "fine_tuning", "batches"):
                shutil.rmtree(settings().root / kept, ignore_errors=True)


def test_the_admin_key_of_the_server_opens_every_route(client: TestClient) -> None:
    for ask in ASKED:
        a_file = sent_file if ask.method == "DELETE" and ask.path.startswith("/v1/files") else attached_file
        answer = send(client, ask, bearer("an-admin-key"), a_file())
        assert answer.status_code == 200, (str(ask), answer.text)
    for kept in ("uploads", "fine_tuning", "batches"):
        shutil.rmtree(settings().root / kept)
