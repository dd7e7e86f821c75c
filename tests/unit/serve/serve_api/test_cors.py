"""Pages in browsers: which origins may ask, and that their preflights need no key."""

from pathlib import Path

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient

from plait import api_keys
from plait.errors import RecipeError
from plait.scope import Scope
from plait.serve.api.services import deployments, services
from plait.serve.app import parse
from plait.serve.ingress import build_api
from plait.serve.messages.protocol import ModelCard
from serve_api.fakes import CHAT, Fakes

PAGE, OTHER = "https://app.example", "https://other.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}
ALLOWED = "access-control-allow-origin"


def client_of(*origins: str) -> TestClient:
    api, fakes = build_api(cors_origins=origins), Fakes()
    api.dependency_overrides |= {services: lambda: fakes, deployments: lambda: fakes}
    return TestClient(api, raise_server_exceptions=False)


def test_a_page_of_a_named_origin_may_ask_with_a_key(tmp_path: Path) -> None:
    client = client_of(PAGE)
    with changed_settings(home=tmp_path):
        _, secret = api_keys.create("a page", frozenset({Scope.INFER}))
        preflight = client.options("/v1/chat/completions", headers=PREFLIGHT | {"Origin": PAGE})
        assert (preflight.status_code, preflight.headers[ALLOWED]) == (200, PAGE)
        assert "x-stainless-lang" in preflight.headers["access-control-allow-headers"]
        headers = {"Origin": PAGE, "Authorization": f"Bearer {secret}"}
        answer = client.post("/v1/chat/completions", json=CHAT, headers=headers)
        assert (answer.status_code, answer.headers[ALLOWED]) == (200, PAGE)
        assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
        refused = client.post("/v1/chat/completions", json=CHAT, headers={"Origin": PAGE})
        assert (refused.status_code, refused.headers[ALLOWED]) == (401, PAGE)  # the page can read why


def test_other_origins_are_not_named_in_an_answer() -> None:
    client = client_of(PAGE)
    assert client.options("/v1/models", headers=PREFLIGHT | {"Origin": OTHER}).status_code == 400
    assert ALLOWED not in client.get("/v1/models", headers={"Origin": OTHER}).headers
    assert client_of("*").get("/v1/models", headers={"Origin": OTHER}).headers[ALLOWED] == "*"


def test_without_the_setting_no_page_may_ask() -> None:
    client = client_of()
    assert client.options("/v1/models", headers=PREFLIGHT | {"Origin": PAGE}).status_code == 405
    assert ALLOWED not in client.get("/v1/models", headers={"Origin": PAGE}).headers


def test_a_page_can_read_that_something_went_wrong_inside() -> None:
    class Broken(Fakes):
        async def models(self) -> list[ModelCard]:
            raise RuntimeError("a bug")

    api, broken = build_api(cors_origins=[PAGE]), Broken()
    api.dependency_overrides |= {services: lambda: broken, deployments: lambda: broken}
    answer = TestClient(api, raise_server_exceptions=False).get("/v1/models", headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers[ALLOWED]) == (500, PAGE)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("tauri://localhost", "tauri://localhost"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("HTTPS://App.Example:8443", "https://app.example:8443"),
        ("https://app.example:443", "https://app.example"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://app.example:443", "http://app.example:443"),
    ],
)
def test_origins_of_apps_and_extensions_are_named_as_they_send_them(given: str, origin: str) -> None:
    assert parse({"cors_origins": [given]}).cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin", ["https://*.example", "app.example", "https://app.example/", "https://app.example/page", "", "**"]
)
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    assert parse({"cors_origins": [PAGE, "*"]}).cors_origins == (PAGE, "*")
    with pytest.raises(RecipeError, match="cors_origins"):
        parse({"cors_origins": [origin]})
