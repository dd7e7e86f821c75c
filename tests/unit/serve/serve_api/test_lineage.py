"""/v1/lineage: what an id names for whom, and what is said where something cannot be looked up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from changed_settings import changed_settings
from described import strict_description, validator
from fastapi.testclient import TestClient

from plait import api_keys
from plait.errors import CollectionNotFound, ModelNotFound, NotFound, Unavailable
from plait.evaluation.live.answer import KeptAnswer, LivePassage
from plait.lineage.node import LineageNode
from plait.model_ids import AdapterRef
from plait.scope import Scope
from plait.serve.api.caller import Caller
from plait.serve.api.reviews import Reviews
from plait.serve.api.services import Deployments, deployments
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments

INFER, DOCUMENTS, ADMIN = (frozenset({scope}) for scope in (Scope.INFER, Scope.DOCUMENTS, Scope.ADMIN))
PASSAGE = LivePassage("Cats sleep.", "cats.md", "c1", collection="support", content_hash="h1")
ANSWER = KeptAnswer(
    request_id="job-7",
    trace_id="tr-1",
    model="rag/support",
    adapter="support",
    answered_by="support:3",
    location="",
    base_model="package:tiny",
    collections=("support",),
    generations={"support": 2},
    tenant="acme",
    question="when do cats sleep?",
    passages=(PASSAGE,),
    started_ms=0,
    said={"rating": 1.0},
)


class Behind:
    """An answer of one owner, an adapter `support` and a collection `support`; `asked`: of the retriever."""

    def __init__(self, folder: Path, owner: str = "anybody") -> None:
        self._folder, self._owner = folder, owner
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        for name in ("find", "adapter_lineage", "weights_lineage", "searched_lineage", "lineage"):
            setattr(self, name, SimpleNamespace(remote=getattr(self, f"_{name}")))

    async def _find(self, request_id: str, owner: str | None) -> KeptAnswer:
        if self.error is not None:
            raise self.error
        if request_id != "job-7" or owner not in (None, self._owner):
            raise NotFound("There is no answer.")
        return ANSWER

    async def _adapter_lineage(self, ref: AdapterRef) -> LineageNode:
        if ref.name != "support":
            raise ModelNotFound("There is none.")
        data = LineageNode("data", f"{self._folder}/rows.jsonl", {"sha256": "da7a"})
        return LineageNode("adapter", "support:3", children=(data,))

    async def _weights_lineage(self, answered_by: str, location: str, base_model: str) -> LineageNode:
        return await self._adapter_lineage(AdapterRef.parse(answered_by))

    async def _searched_lineage(self, *asked: Any) -> LineageNode:
        self.asked.append(asked)
        return LineageNode("collection", asked[0], {"generation": asked[1]})

    async def _lineage(self, name: str, tenant: str | None, documents: int) -> LineageNode:
        self.asked.append((name, tenant, documents))
        if name != "support":
            raise CollectionNotFound("There is none.")
        return LineageNode("collection", name)


def served(behind: Any, **arguments: Any) -> TestClient:
    made = AppArguments.model_validate({"retrieval": {"collection": "support"}, "answers": {"keep": "all"}} | arguments)
    api = build_api()
    reviews = Reviews(behind, made) if made.reviews_answers else None
    api.dependency_overrides[deployments] = lambda: Deployments(behind, behind, arguments=made, reviews=reviews)
    return TestClient(api, raise_server_exceptions=False)


def kinds(client: TestClient, path: str, secret: str = "") -> list[str] | int:
    """What an id names, or the status of the refusal."""
    response = client.get(f"/v1/lineage/{path}", headers={"Authorization": f"Bearer {secret}"} if secret else {})
    return [node["kind"] for node in response.json()["data"]] if response.status_code == 200 else response.status_code


@pytest.fixture
def behind(own_home: Path) -> Behind:
    return Behind(own_home)


def test_an_answer_has_its_weights_and_its_passages_below_it(behind: Behind) -> None:
    client = served(behind)
    said = client.get("/v1/lineage/job-7").json()
    document = strict_description()
    schema = document["paths"]["/v1/lineage/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    validator(document, schema).validate(said)
    (answer,) = said["data"]
    assert (answer["kind"], answer["name"], answer["note"]) == ("answer", "job-7", "")
    assert (answer["facts"]["answered_by"], answer["facts"]["rating"]) == ("support:3", 1.0)
    assert [(child["kind"], child["name"]) for child in answer["children"]] == [
        ("adapter", "support:3"),
        ("collection", "support"),
    ]
    assert behind.asked[0] == ("support", 2, "acme", [PASSAGE])


def test_one_name_may_be_that_of_an_adapter_and_of_a_collection(behind: Behind) -> None:
    client = served(behind)
    assert kinds(client, "support?documents=7&tenant=acme") == ["adapter", "collection"]
    assert behind.asked == [("support", "acme", 0)]  # who may only ask gets no names of documents
    assert kinds(client, "support:3") == kinds(client, "support@champion") == ["adapter"]


@pytest.mark.parametrize("id", ["job-8", "dogs", "base", "auto", "%27%20OR%201", "dogs:3", "%F0%9F%90%B6", "x" * 500])
def test_what_names_nothing_is_404_and_one_sentence_that_names_the_setting(behind: Behind, id: str) -> None:
    for client in (served(behind), served(behind, answers={"keep": "none"}), served(behind, retrieval=None)):
        response = client.get(f"/v1/lineage/{id}")
        assert response.status_code == 404
        assert "set answers.keep" in response.json()["error"]["message"]


def test_a_server_that_only_judges_looks_up_no_answer(behind: Behind) -> None:
    assert kinds(served(behind, answers={"keep": "none"}, judging={"share": 0.5}), "job-7") == 404


def test_what_cannot_be_looked_up_now_is_an_error_and_not_nothing(behind: Behind) -> None:
    behind.error = Unavailable("The tracking server does not answer.")
    assert kinds(served(behind), "job-7") == 503


def test_folders_of_the_server_are_named_to_administrators_alone(behind: Behind, own_home: Path) -> None:
    with changed_settings(home=own_home, admin_key="an-admin-key"):
        client = served(behind)
        for path in ("job-7", "support:3"):
            assert str(own_home) not in client.get(f"/v1/lineage/{path}").text
            headers = {"Authorization": "Bearer an-admin-key"}
            assert f"{own_home}/rows.jsonl" in client.get(f"/v1/lineage/{path}", headers=headers).text


def test_each_key_sees_its_own_answers_and_what_it_may_use(own_home: Path) -> None:
    with changed_settings(home=own_home, admin_key="an-admin-key"):
        key, own = api_keys.create("own", INFER)
        made = {
            "other": api_keys.create("other", INFER),
            "of sales": api_keys.create("of sales", INFER, adapters=("sales",), collections=("sales",)),
            "documents": api_keys.create("documents", DOCUMENTS, tenant="acme"),
            "admin": api_keys.create("admin", ADMIN),
        }
        behind = Behind(own_home, owner=Caller(key.scopes, key).owner)
        client = served(behind)
        assert kinds(client, "job-7") == 401
        secrets = {"own": own} | {name: secret for name, (_, secret) in made.items()}
        assert {name: kinds(client, "job-7", secret) for name, secret in secrets.items()} == {
            "own": ["answer"],
            "other": 404,
            "of sales": 404,
            "documents": 404,
            "admin": ["answer"],
        }
        assert {name: kinds(client, "support", secret) for name, secret in secrets.items()} == {
            "own": ["adapter", "collection"],
            "other": ["adapter", "collection"],
            "of sales": 404,
            "documents": ["collection"],
            "admin": ["adapter", "collection"],
        }
        behind.asked.clear()
        assert kinds(client, "support?tenant=other", secrets["documents"]) == 404
        assert behind.asked == []
        assert kinds(client, "support", secrets["documents"]) == ["collection"]
        assert behind.asked == [("support", "acme", 100)]


def test_an_answer_of_an_adapter_that_a_key_may_no_longer_use_says_so(own_home: Path) -> None:
    with changed_settings(home=own_home):
        key, secret = api_keys.create("narrowed", INFER, adapters=("sales",))
        client = served(Behind(own_home, owner=Caller(key.scopes, key).owner))
        (answer,) = client.get("/v1/lineage/job-7", headers={"Authorization": f"Bearer {secret}"}).json()["data"]
        assert answer["children"][0]["note"] == "This key may not use it any longer."
        assert answer["children"][0]["children"] == []
