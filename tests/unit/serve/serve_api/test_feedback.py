"""/v1/feedback: what it takes, whom it lets rate, and what it says where nothing is kept."""

from typing import Any

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient

from plait import api_keys
from plait.errors import NotFound
from plait.evaluation.live.answer import Rating
from plait.scope import Scope
from plait.serve.api.caller import Caller
from plait.serve.api.feedback import MAX_CORRECTION
from plait.serve.api.services import Deployments, deployments
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments
from serve_api.fakes import Fakes, error_of, post

FEEDBACK: dict[str, Any] = {"request_id": "job-7", "rating": "up"}


@pytest.mark.parametrize(
    ("fields", "rating"),
    [
        ({}, Rating(1.0)),
        ({"rating": "down", "correction": "It is 2.60.0.", "comment": "old"}, Rating(0.0, "It is 2.60.0.", "old")),
        ({"rating": 0.25, "correction": None}, Rating(0.25)),
        ({"rating": 1}, Rating(1.0)),
        ({"correction": "é" * MAX_CORRECTION}, Rating(1.0, "é" * MAX_CORRECTION)),
    ],
)
def test_a_rating_is_kept_with_what_was_said(
    client: TestClient, fakes: Fakes, fields: dict[str, Any], rating: Rating
) -> None:
    said = post(client, "/v1/feedback", FEEDBACK | fields)
    assert fakes.ratings == [("job-7", rating)]
    assert (said["object"], said["request_id"], said["rating"]) == ("feedback", "job-7", rating.value)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rating": "good"}, "rating"),
        ({"rating": 1.5}, "rating"),
        ({"rating": -0.1}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": None}, "rating"),
        ({"rating": ["up"]}, "rating"),
        ({"correction": ""}, "correction"),
        ({"correction": "x" * (MAX_CORRECTION + 1)}, "correction"),
        ({"correction": {"text": "x"}}, "correction"),
        ({"comment": "x" * 5000}, "comment"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "a' OR 'b"}, "request_id"),
        ({"request_id": 7}, "request_id"),
        ({"trace_id": "x"}, "trace_id"),
    ],
)
def test_a_bad_body_is_refused_by_its_field(client: TestClient, fakes: Fakes, body: dict[str, Any], field: str) -> None:
    status, error = error_of(client, "/v1/feedback", FEEDBACK | body)
    assert (status, error["param"], fakes.ratings) == (400, field, [])
    assert len(error["message"]) < 400


@pytest.mark.parametrize("rating", ["NaN", "Infinity", "1e999"])
def test_a_rating_that_is_no_finite_number_is_refused(client: TestClient, rating: str) -> None:
    body = f'{{"request_id": "job-7", "rating": {rating}}}'
    response = client.post("/v1/feedback", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text


class Reviews:
    """Answers to `job-7` of each owner are kept."""

    def __init__(self, owners: set[str]) -> None:
        self._owners = owners

    async def rate(self, request_id: str, owner: str | None, rating: Rating) -> None:
        if request_id != "job-7" or (owner is not None and owner not in self._owners):
            raise NotFound("There is no answer.")


def served(keep: str, reviews: Reviews | None) -> TestClient:
    api = build_api()
    arguments = AppArguments.model_validate({"answers": {"keep": keep}})
    behind: Any = Deployments(None, arguments=arguments, reviews=reviews)  # type: ignore[arg-type]
    api.dependency_overrides[deployments] = lambda: behind
    return TestClient(api, raise_server_exceptions=False)


def test_a_server_that_keeps_nothing_says_what_turns_it_on(own_home: Any) -> None:
    for reviews in (None, Reviews({"anybody"})):  # it may judge without keeping
        status, error = error_of(served("none", reviews), "/v1/feedback", FEEDBACK)
        assert (status, error["code"]) == (404, "not_found")
        assert "answers.keep" in error["message"]


def test_who_asked_may_rate_and_an_administrator_and_nobody_else(own_home: Any) -> None:
    with changed_settings(home=own_home, admin_key="an-admin-key"):
        client = served("all", Reviews({"anybody"}))
        assert client.post("/v1/feedback", json=FEEDBACK).status_code == 200  # there are no keys yet
        key, own = api_keys.create("own", frozenset({Scope.INFER}))
        _, other = api_keys.create("other", frozenset({Scope.INFER}))
        _, documents = api_keys.create("documents", frozenset({Scope.DOCUMENTS}))
        _, admin = api_keys.create("admin", frozenset({Scope.ADMIN}))
        client = served("all", Reviews({Caller(key.scopes, key).owner}))
        statuses = {
            name: client.post("/v1/feedback", json=FEEDBACK, headers={"Authorization": f"Bearer {secret}"}).status_code
            for name, secret in (
                ("own", own),
                ("other", other),
                ("documents", documents),
                ("admin", admin),
                ("server's admin", "an-admin-key"),
                ("none", ""),
            )
        }
        assert statuses == {
            "own": 200,
            "other": 404,
            "documents": 403,
            "admin": 200,
            "server's admin": 200,
            "none": 401,
        }
