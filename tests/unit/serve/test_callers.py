"""Who may ask the API for what: every route, with every kind of key, before anything behind the API is asked."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from changed_settings import changed_settings
from described import description
from fastapi.testclient import TestClient

from plait import api_keys
from plait.documents.uploads import made_collections
from plait.scope import Scope
from plait.serve.api.services import Deployments, deployments
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments, RetrievalArguments
from plait.serve.messages.calls import Call, Collection, Event, Retrieved
from plait.serve.messages.protocol import ModelCard
from plait.settings import settings

INFER, DOCUMENTS, JOBS, ADMIN = Scope.INFER, Scope.DOCUMENTS, Scope.JOBS, Scope.ADMIN
ADMIN_KEY, MODELS, FILES = "secret-key", "/v1/models", "/v1/files"
TOOK = {"total": 1.0}
CHAT = {"model": "base", "messages": [{"role": "user", "content": "x"}]}
ROUTES = [(method.upper(), path) for path, methods in description()["paths"].items() for method in methods]
PROBES = [("GET", path) for path in ("/healthz", "/readyz", "/health", "/version")]
ALIASES = [("POST", path) for path in ("/rerank", "/score", "/tokenize", "/detokenize")]
ALIASES += [("GET", "/tokenizer_info")]  # none of these is in the description
STORES = [r for r in ROUTES if r[1].startswith("/v1/vector_stores")]
FINDING = [r for r in STORES if r[1].endswith("/search") or (r[0] == "GET" and "{store_id}/file" not in r[1])]
WRITING = [r for r in ROUTES if r[1].startswith(("/v1/files", "/v1/uploads")) or (r in STORES and r not in FINDING)]
ADMINISTERING = [r for r in ROUTES if r[1].startswith("/v1/adapters") or r[1].endswith("load_lora_adapter")]
ORDERING = [r for r in ROUTES if r[1].startswith(("/v1/fine_tuning", "/v1/batches"))]
LOOKING_UP = [("GET", "/v1/lineage/{id}")]  # for every scope, each what it may know
ASKING = [r for r in ROUTES if r not in PROBES + FINDING + WRITING + ADMINISTERING + ORDERING + LOOKING_UP] + ALIASES


class Remote:
    """A method of a deployment that notes what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._answer = answer

    async def remote(self, *arguments: Any) -> Any:
        self.asked.append(arguments)
        return self._answer(*arguments)


class Generate:
    """Answers every call with a letter; keeps the calls."""

    def __init__(self) -> None:
        self.asked: list[Call] = []

    async def remote(self, call: Call) -> AsyncGenerator[Event]:
        self.asked.append(call)
        yield Event("y", 1, 1, "stop", "base")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[None]:
    with changed_settings(home=tmp_path):
        yield


@pytest.fixture
def retriever() -> SimpleNamespace:
    return SimpleNamespace(
        retrieve=Remote(lambda question, asked, traceparent: Retrieved((), asked.named or ("docs",), asked, TOOK)),
        collection=Remote(lambda name, tenant: Collection(name, "model", 4, 1)),
    )


@pytest.fixture
def llm() -> SimpleNamespace:
    cards = [ModelCard(id=name, created=0, root="r") for name in ("base", "support:1", "sales")]
    generate = Generate()
    return SimpleNamespace(
        generate=generate,
        options=lambda stream, _by_reference: SimpleNamespace(generate=generate),
        models=Remote(lambda: cards),
    )


@pytest.fixture
def client(home: None, llm: SimpleNamespace, retriever: SimpleNamespace) -> TestClient:
    retrieval = RetrievalArguments(collection="docs", more_collections=("secret",), no_context="answer")
    api = build_api()
    api.dependency_overrides[deployments] = lambda: Deployments(
        llm, retriever, arguments=AppArguments(retrieval=retrieval)
    )
    return TestClient(api, raise_server_exceptions=False)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def made(*scopes: Scope, **bounds: Any) -> dict[str, str]:
    _, secret = api_keys.create("a test", frozenset(scopes), **bounds)
    return bearer(secret)


def refusal(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


# ------------------------------------------------------------ who may use which route


def test_the_routes_are_told_apart() -> None:
    assert [len(routes) for routes in (FINDING, WRITING, ADMINISTERING, ORDERING, ASKING)] == [4, 22, 5, 10, 26]


def test_where_there_are_keys_nothing_but_the_probes_answers_without(client: TestClient) -> None:
    made(ADMIN)
    for method, path in FINDING + WRITING + ADMINISTERING + ORDERING + LOOKING_UP + ASKING:
        for given in ({}, bearer("wrong"), bearer(""), {"Authorization": "Basic plait-x"}):
            answer = client.request(method, path, headers=given, json={})
            assert "API key is missing or wrong" in refusal(answer, 401)
    assert [client.get(path).status_code for path in ("/healthz", "/version")] == [200, 200]


def test_without_any_key_what_changes_the_server_is_off(client: TestClient) -> None:
    for method, path in WRITING + ADMINISTERING + ORDERING:
        assert "plait keys create" in refusal(client.request(method, path, json={}), 403)


def test_with_an_admin_key_alone_anybody_asks_and_its_holder_changes(client: TestClient) -> None:
    with changed_settings(home=settings().home, admin_key=ADMIN_KEY):
        for given in ({}, bearer("wrong"), bearer(""), {"Authorization": ADMIN_KEY}):
            assert client.get(MODELS, headers=given).status_code == 200
            for method, path in WRITING + ADMINISTERING:
                answer = client.request(method, path, headers=given, json={})
                assert "admin key is missing or wrong" in refusal(answer, 401)
        answer = client.post("/v1/load_lora_adapter", headers=bearer(ADMIN_KEY), json={"lora_name": "x"})
        assert "lora_path" in refusal(answer, 400)
        assert ADMIN_KEY not in repr(settings())


def test_the_admin_key_opens_what_keys_have_closed(client: TestClient) -> None:
    made(INFER)
    with changed_settings(home=settings().home, admin_key=ADMIN_KEY):
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers=bearer(ADMIN_KEY)).status_code == 200


def test_a_key_has_its_scope_and_no_other(client: TestClient) -> None:
    changing = ADMINISTERING + ORDERING
    for scope, routes in ((INFER, WRITING + changing), (DOCUMENTS, ASKING + changing), (JOBS, WRITING + ASKING)):
        key = made(scope)
        for method, path in routes:
            assert "has not the scope" in refusal(client.request(method, path, headers=key, json={}), 403)


def test_scopes_let_through(client: TestClient) -> None:
    for scope, path in (
        ("infer", "/v1/models"),
        ("documents", "/v1/files"),
        ("documents", "/v1/vector_stores"),
        ("infer", "/v1/vector_stores"),
        ("admin", "/v1/models"),
        ("admin", "/v1/files"),
    ):
        assert client.get(path, headers=made(scope)).status_code == 200
    both = made(INFER, DOCUMENTS)
    assert [client.get(path, headers=both).status_code for path in (MODELS, FILES)] == [200, 200]


def test_anthropics_header_holds_a_key_where_there_is_no_other(client: TestClient) -> None:
    secret = made(INFER)["Authorization"].removeprefix("Bearer ")
    ask = CHAT | {"max_tokens": 9}
    for given, status in ((secret, 200), ("wrong", 401), ("", 401)):
        assert client.post("/v1/messages", json=ask, headers={"X-Api-Key": given}).status_code == status
    refused = client.post("/v1/messages", json=ask, headers={"x-api-key": secret} | bearer("wrong"))
    assert (refused.status_code, refused.json()["type"]) == (401, "error")
    assert refused.json()["error"]["type"] == "authentication_error"


def test_a_key_that_expired_or_was_revoked_is_refused_at_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, secret = api_keys.create("short", frozenset({INFER}), days=1)
    assert client.get("/v1/models", headers=bearer(secret)).status_code == 200
    with monkeypatch.context() as later:
        later.setattr("plait.api_keys.time.time", lambda: float(kept.expires_at or 0))
        assert "has expired" in refusal(client.get("/v1/models", headers=bearer(secret)), 401)
    api_keys.revoke(kept.id)
    # The last key is gone, and the server is not open again.
    assert "missing or wrong" in refusal(client.get("/v1/models", headers=bearer(secret)), 401)
    assert "missing or wrong" in refusal(client.get("/v1/models"), 401)


# ------------------------------------------------------------ what a key is bound to


def test_a_tenant_is_the_keys_whatever_the_request_says(
    client: TestClient, retriever: SimpleNamespace, llm: SimpleNamespace
) -> None:
    acme = made(INFER, tenant="acme")
    rag = CHAT | {"model": "rag/base"}
    assert client.post("/v1/retrieve", json={"query": "x"}, headers=acme).status_code == 200
    assert client.post("/v1/retrieve", json={"query": "x", "tenant": "acme"}, headers=acme).status_code == 200
    assert client.post("/v1/vector_stores/docs/search", json={"query": "x"}, headers=acme).status_code == 200
    assert client.post("/v1/chat/completions", json=rag, headers=acme).status_code == 200
    assert client.post("/v1/rag/query", json={"query": "x", "retrieval": {"top_k": 2}}, headers=acme).status_code == 200
    assert client.post("/v1/messages", json=rag | {"max_tokens": 9}, headers=acme).status_code == 200
    assert [asked[1].tenant for asked in retriever.retrieve.asked] == ["acme"] * 6
    assert [call.cache_salt for call in llm.generate.asked] == ["acme"] * 3
    assert retriever.retrieve.asked[4][1].top_k == 2
    assert client.get("/v1/vector_stores", headers=acme).status_code == 200
    assert retriever.collection.asked == [("docs", "acme"), ("secret", "acme")]
    before = len(retriever.retrieve.asked), len(llm.generate.asked)
    for path, body in (
        ("/v1/retrieve", {"query": "x", "tenant": "other"}),
        ("/v1/rag/query", {"query": "x", "retrieval": {"tenant": "other"}}),
        ("/v1/chat/completions", rag | {"retrieval": {"tenant": "other"}}),
        ("/v1/chat/completions", rag | {"stream": True, "retrieval": {"tenant": "default"}}),
    ):
        assert "for the tenant 'acme' only" in refusal(client.post(path, json=body, headers=acme), 403)
    assert before == (len(retriever.retrieve.asked), len(llm.generate.asked))


def test_a_key_without_a_tenant_may_name_any(client: TestClient, retriever: SimpleNamespace) -> None:
    key = made(INFER)
    assert client.post("/v1/retrieve", json={"query": "x", "tenant": "other"}, headers=key).status_code == 200
    assert client.post("/v1/retrieve", json={"query": "x"}, headers=key).status_code == 200
    assert [asked[1].model_fields_set for asked in retriever.retrieve.asked] == [{"tenant"}, set()]


def test_collections_are_those_of_the_key(client: TestClient, retriever: SimpleNamespace) -> None:
    key = made(INFER, DOCUMENTS, collections=("docs", "faq"))
    assert client.post("/v1/retrieve", json={"query": "x"}, headers=key).status_code == 200
    assert client.post("/v1/retrieve", json={"query": "x", "collection": "faq"}, headers=key).status_code == 200
    assert [asked[1].collection for asked in retriever.retrieve.asked] == ["docs", "faq"]
    assert [store["id"] for store in client.get("/v1/vector_stores", headers=key).json()["data"]] == ["docs"]
    for method, path, body in (
        ("POST", "/v1/retrieve", {"query": "x", "collection": "secret"}),
        ("POST", "/v1/retrieve", {"query": "x", "collection": ["docs", "secret"]}),
        ("POST", "/v1/chat/completions", CHAT | {"model": "rag/base", "retrieval": {"collection": "secret"}}),
        ("GET", "/v1/vector_stores/secret", {}),
        ("POST", "/v1/vector_stores/secret/search", {"query": "x"}),
        ("POST", "/v1/vector_stores/secret/files", {"file_id": "file-1"}),
        ("GET", "/v1/vector_stores/secret/files", {}),
        ("GET", "/v1/vector_stores/secret/files/file-1", {}),
        ("DELETE", "/v1/vector_stores/secret/files/file-1", {}),
    ):
        answer = client.request(method, path, json=body, headers=key)
        assert "may not use the collection 'secret'" in refusal(answer, 403)
    nowhere = made(INFER, collections=("gone",))
    assert client.get("/v1/vector_stores", headers=nowhere).json()["data"] == []


def test_a_collection_that_clients_of_another_tenant_made_is_not_there(client: TestClient) -> None:
    store = made_collections.new_id()
    made_collections.write(made_collections.MadeCollection(id=store, name="a", tenant="acme", created_at=1))
    rag = CHAT | {"model": "rag/base", "retrieval": {"collection": store}}
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/v1/retrieve", {"query": "x", "collection": store}),
        ("POST", "/v1/chat/completions", rag),
        ("POST", "/v1/rag/query", {"query": "x", "retrieval": {"collection": store}}),
        ("GET", f"/v1/vector_stores/{store}", None),
        ("POST", f"/v1/vector_stores/{store}/search", {"query": "x"}),
    ]
    for bounds, status in (({"tenant": "acme"}, 200), ({}, 200), ({"tenant": "other"}, 404)):
        key = made(INFER, **bounds)
        for method, path, body in asked:
            answer = client.request(method, path, json=body, headers=key)
            assert answer.status_code == status, (bounds, path, answer.text)
        listed = [one["id"] for one in client.get("/v1/vector_stores", headers=key).json()["data"]]
        assert (store in listed) == (status == 200)
    bound = made(INFER, tenant="other", collections=(store,))
    assert "no collection" in refusal(client.post("/v1/retrieve", json={"query": "x"}, headers=bound), 404)


def test_adapters_are_those_of_the_key_and_the_base_is_everybodys(client: TestClient) -> None:
    key = made(INFER, adapters=("support",))
    listed = [card["id"] for card in client.get("/v1/models", headers=key).json()["data"]]
    assert listed == ["base", "support:1", "rag/base", "rag/support:1"]
    for model in ("base", "support", "support:3", "support@champion", "rag/support"):
        assert client.post("/v1/chat/completions", json=CHAT | {"model": model}, headers=key).status_code == 200
    for model in ("sales", "sales:1", "rag/sales@champion", "no-such"):
        for path, body in (("chat/completions", CHAT), ("completions", {"prompt": "x"})):
            answer = client.post(f"/v1/{path}", json=body | {"model": model}, headers=key)
            assert f"may not use '{model}'" in refusal(answer, 403)


def test_a_file_is_seen_by_its_tenant_alone(client: TestClient) -> None:
    acme, other = made(DOCUMENTS, tenant="acme"), made(DOCUMENTS, tenant="other")
    sent = client.post("/v1/files", files={"file": ("a.md", b"text")}, headers=acme).json()
    assert "of" not in sent
    assert [file["id"] for file in client.get("/v1/files", headers=acme).json()["data"]] == [sent["id"]]
    assert client.get("/v1/files", headers=other).json()["data"] == []
    for path in (f"/v1/files/{sent['id']}", f"/v1/files/{sent['id']}/content"):
        assert client.get(path, headers=acme).status_code == 200
        assert "There is no file" in refusal(client.get(path, headers=other), 404)
    assert [file["id"] for file in client.get("/v1/files", headers=made(DOCUMENTS)).json()["data"]] == [sent["id"]]


def test_a_file_is_seen_by_keys_of_the_same_collections_or_more(client: TestClient) -> None:
    def key(*collections: str) -> dict[str, str]:
        return made(DOCUMENTS, collections=collections or None)

    sent = client.post(FILES, files={"file": ("a.md", b"text")}, headers=key("docs")).json()["id"]
    everywhere = client.post(FILES, files={"file": ("a.md", b"text")}, headers=key()).json()["id"]

    def seen(by: dict[str, str]) -> set[str]:
        return {file["id"] for file in client.get(FILES, headers=by).json()["data"]}

    assert seen(key()) == {sent, everywhere}
    assert seen(key("docs")) == seen(key("faq", "docs")) == {sent}
    assert seen(key("faq")) == set()
    assert "There is no file" in refusal(client.get(f"{FILES}/{everywhere}/content", headers=key("docs")), 404)


def test_a_body_is_not_read_without_a_key(client: TestClient) -> None:
    made(INFER)
    answer = client.post("/v1/chat/completions", content=b"{")
    assert "API key is missing" in refusal(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["X-Request-Id"]
    assert answer.json()["error"]["type"] == "authentication_error"


def test_a_file_of_keys_that_is_gone_opens_nothing(client: TestClient) -> None:
    key = made(INFER)
    assert client.get(MODELS, headers=key).status_code == 200
    settings().keys_path.unlink()
    assert "cannot be checked" in refusal(client.get(MODELS, headers=key), 503)
    api_keys.create("another", frozenset({INFER}))
    assert "missing or wrong" in refusal(client.get(MODELS, headers=key), 401)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"keys": [{"id": "x"}]}', '{"keys": 3}', "\xff"])
def test_a_file_of_keys_that_cannot_be_read_is_named_in_the_log_alone(
    client: TestClient, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    key = made(INFER)
    assert client.get(MODELS, headers=key).status_code == 200
    if content is None:
        settings().keys_path.unlink()
    else:
        settings().keys_path.write_text(content, encoding="latin-1")
    for headers in (key, {}):
        assert str(settings().root) not in refusal(client.get(MODELS, headers=headers), 503)
    assert str(settings().keys_path) in caplog.text


def test_where_keys_are_required_there_is_no_answer_before_there_are_any(client: TestClient) -> None:
    with changed_settings(home=settings().home, keys_required=True):
        assert "cannot be checked" in refusal(client.get(MODELS), 503)
        assert client.get(MODELS, headers=made(INFER)).status_code == 200
