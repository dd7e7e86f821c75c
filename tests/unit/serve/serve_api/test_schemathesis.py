"""Requests that Schemathesis makes of the description: each is answered as the description says.

The seed is fixed. Some requests are malformed, have an undeclared method or no key. Behind the API are stand-ins that
answer at once. Every bound in the description is tried where there are no keys, and with them what a key changes. It
takes a minute: some thousand requests, and two APIs with all routes. What they reach is covered by other tests: their
coverage would double the time.
"""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from changed_settings import changed_settings
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from plait import api_keys
from plait.scope import Scope
from plait.serve.api import adapters
from plait.serve.api.services import deployments
from plait.serve.ingress import build_api
from serve_api.every_route import Behind, attached_file

pytestmark = pytest.mark.no_cover
BEHIND = Behind()


def api(*, asks_for_keys: bool) -> FastAPI:
    made = build_api()
    made.dependency_overrides[deployments] = lambda: BEHIND.deployments
    if not asks_for_keys:
        for operations in made.openapi()["paths"].values():
            for operation in operations.values():
                operation.pop("security", None)
    return made


def described(*, asks_for_keys: bool) -> Any:
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "generation": {"deterministic": True},
            "phases": {"coverage": {"enabled": not asks_for_keys}},
        }
    )
    return schemathesis.openapi.from_asgi("/openapi.json", api(asks_for_keys=asks_for_keys), config=config)


two_more_each = settings(
    max_examples=2,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
with_keys, without_keys = described(asks_for_keys=True), described(asks_for_keys=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, changed_settings(home=tmp_path_factory.mktemp("home")):
        patch.setattr(adapters, "_llm", lambda: BEHIND.llm)
        patch.setattr(logging.getLogger("ray.serve"), "disabled", True)  # a line a request, thousands of them
        attached_file()
        yield


@pytest.fixture(scope="module")
def key(home: None) -> str:
    _, secret = api_keys.create("all", frozenset({Scope.ADMIN}))
    return secret


@without_keys.parametrize()
@seed(1)
@two_more_each
def test_every_answer_is_as_described_where_there_are_no_keys(case: Any, home: None) -> None:
    check(case, {})


@with_keys.parametrize()
@seed(1)
@two_more_each
def test_every_answer_is_as_described_where_there_are_keys(case: Any, key: str) -> None:
    check(case, {"Authorization": f"Bearer {key}"})


def check(case: Any, headers: dict[str, str]) -> None:
    response = case.call(headers=headers)
    is_rule = response.status_code == 400 and refuses_by_a_rule(response.json()["error"])
    left_out = [positive_data_acceptance] if is_rule else []
    case.validate_response(response, excluded_checks=left_out, headers=headers)


def refuses_by_a_rule(error: dict[str, Any]) -> bool:
    """Whether a request was refused for what JSON Schema does not say: what fields go together, limits of a body."""
    rules = ["is not valid: ", "64 bits", "The field 'seed' must be less than"]  # of n choices: the seeds after it
    rules += ["must be a whole number"]  # 1.0 is one to JSON Schema, and is none to OpenAI
    rules += ["There is no response", "There is no function_call", "The input has no message"]
    return error["param"] is None or any(rule in error["message"] for rule in rules)
