"""Ids and names that are paths, on every route that takes one: refused, and no file outside the home is touched."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient

from plait.errors import ModelNotFound
from plait.serve.adapters.lifecycle import AdapterLifecycle
from plait.serve.api import adapters
from plait.serve.api.services import deployments
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import LLMArguments
from serve_api.every_route import ASKED, Behind

pytestmark = pytest.mark.no_cover  # what every route reaches is covered by its own tests

ADMIN = {"Authorization": "Bearer an-admin-key"}
PRIVATE = "what lies outside"
NAMES = [
    "../outside.md",
    "../../outside.md",
    "..",
    "..\\..\\outside.md",
    "%2e%2e%2foutside.md",
    "..%5c..%5coutside.md",
    "．．/outside.md",
    "‥/outside.md",
    "{outside}",
    "{home}/store/\x00",
    "{home}/store/" + "x" * 10_000,
    "~no-such-user/outside.md",
    "file://{outside}",
    "~/outside.md",
    "/etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "C:\\Windows\\win.ini",
    "file-{zeros}/../../../outside.md",
    "file-{zeros}\x00",
    "a\x00b",
    "x " * 5_000,
    "../" * 3_000 + "etc/passwd",
    "${HOME}",
    "$(id)",
]
_FIELDS = {"model", "file_id", "file_ids", "lora_name", "lora_path", "collection"}  # a tenant may be any text


@dataclass
class Touched:
    """Which files this process opens, lists or changes while `is_watched`."""

    is_watched: bool = False
    paths: set[str] = field(default_factory=set)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_watched and (event in ("open", "glob.glob") or event.startswith(("os.", "shutil."))):
            self.paths |= {str(a) for a in arguments[:2] if isinstance(a, str | bytes | Path) and "/" in str(a)}


TOUCHED = Touched()


@pytest.fixture(scope="module")
def touched() -> Touched:
    sys.addaudithook(TOUCHED.note)  # Python takes none away again
    return TOUCHED


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("around")
    (folder / "outside.md").write_text(PRIVATE)
    return folder / "home"


class EmptyRegistry:
    def resolve(self, ref: object) -> None:
        raise ModelNotFound(f"There is no adapter '{ref}'.")


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    """The API over real uploads and a real lifecycle of adapters; who asks may do everything."""
    api, behind = build_api(), Behind()
    api.dependency_overrides[deployments] = lambda: behind.deployments
    with pytest.MonkeyPatch.context() as patch, changed_settings(home=home, admin_key="an-admin-key"):
        patch.setattr(adapters, "_llm", lambda: behind.llm)
        patch.setattr("plait.serve.adapters.lifecycle.RegistryReader", EmptyRegistry)
        patch.setattr(logging.getLogger("ray.serve"), "disabled", True)  # a line a request, thousands of them
        arguments = LLMArguments(model="package:base", adapter_stores=[str(home / "store")])
        behind.load_adapters_by(AdapterLifecycle(SimpleNamespace(), arguments))  # type: ignore[arg-type]
        with TestClient(api, raise_server_exceptions=False, follow_redirects=False, headers=ADMIN) as client:
            for method, path, body in asks_of("nobody"):  # what the first request opens is Python's own
                client.request(method, path, json=body)
            yield client


def named(name: str, outside: Path) -> str:
    return (
        name.replace("{outside}", str(outside))
        .replace("{home}", str(outside.parent / "home"))
        .replace("{zeros}", "0" * 32)
    )


def asks_of(name: str) -> Iterator[tuple[str, str, Any]]:
    """Requests with the name in the place of each id: method, path, body."""
    for ask in ASKED:
        head, *places = ask.path.split("{")
        for place in range(len(places)):
            path = head
            for number, rest in enumerate(places):
                path += (quote(name, safe="").replace(".", "%2E") if number == place else "docs") + rest.partition("}")[
                    2
                ]
            yield ask.method, path, ask.json
        for body in bodies(ask.json, name):
            yield ask.method, ask.path.replace("{store_id}", "docs"), body


def bodies(body: Any, name: str) -> Iterator[Any]:
    """The body with the name in one of the fields that take one."""
    if not isinstance(body, dict):
        return
    for key, value in body.items():
        if key in _FIELDS:
            yield body | {key: [name] if isinstance(value, list) else name}
        else:
            yield from (body | {key: inner} for inner in bodies(value, name))


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:40]))
def test_a_path_for_a_name_is_refused_and_opens_nothing(
    client: TestClient, home: Path, touched: Touched, name: str
) -> None:
    outside = home.parent / "outside.md"
    name = named(name, outside)
    asked = list(asks_of(name))
    assert len(asked) > 30
    touched.paths.clear()
    touched.is_watched = True
    try:
        answers = [(path, client.request(method, path, json=body)) for method, path, body in asked]
    finally:
        touched.is_watched = False
    for path, answer in answers:
        assert answer.status_code in (307, 400, 401, 403, 404, 405), (path[:200], answer.text[:300])
        assert PRIVATE not in answer.text
    assert not [path for path in touched.paths if not path.startswith(str(home))]
    assert not (home / "uploads").exists()
    assert outside.read_text() == PRIVATE
