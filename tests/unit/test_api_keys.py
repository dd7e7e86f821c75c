"""The file of API keys, and `plait keys` over it."""

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from changed_settings import changed_settings
from pydantic import ValidationError
from typer.testing import CliRunner

from plait import api_keys
from plait.cli import app
from plait.errors import InvalidInput, NotFound
from plait.index.schema import MAX_TENANT_BYTES
from plait.recipes import IngestRecipe
from plait.retrieval.request import Retrieval
from plait.scope import Scope
from plait.settings import settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[None]:
    with changed_settings(home=tmp_path):
        yield


def run(*arguments: str, status: int = 0) -> tuple[str, str]:
    ended = CliRunner().invoke(app, ["keys", *arguments])
    assert ended.exit_code == status, ended.output
    return ended.stdout, ended.stderr


def test_a_key_is_found_and_only_its_hash_is_kept() -> None:
    assert api_keys.all_keys() is None
    key, secret = api_keys.create("bot", frozenset({Scope.INFER}), tenant="acme")
    assert api_keys.find(secret) == key
    assert api_keys.find(secret + "x") is api_keys.find("") is None
    file = settings().keys_path
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(secret) == len("plait-") + 43


def test_keys_made_at_once_are_all_kept() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda i: api_keys.create(f"key {i}", frozenset({Scope.INFER})), range(16)))
    assert {key.id for key in api_keys.all_keys() or ()} == {key.id for key, _ in made}
    assert all(api_keys.find(secret) == key for key, secret in made)


def test_a_change_by_another_process_is_seen() -> None:
    key, secret = api_keys.create("bot", frozenset({Scope.INFER}))
    file = settings().keys_path
    changed = json.loads(file.read_text())
    changed["keys"][0]["tenant"] = "acme"
    aside = file.with_suffix(".new")
    aside.write_text(json.dumps(changed))
    aside.replace(file)
    assert api_keys.find(secret) == key.model_copy(update={"tenant": "acme"})


def test_what_is_revoked_is_gone_and_the_file_stays() -> None:
    key, secret = api_keys.create("bot", frozenset({Scope.INFER}))
    api_keys.revoke(key.id)
    assert api_keys.find(secret) is None
    assert api_keys.all_keys() == ()
    with pytest.raises(NotFound, match="plait keys list"):
        api_keys.revoke(key.id)


def test_the_command_prints_the_key_alone_where_a_script_reads_it() -> None:
    assert "No keys yet" in run("list")[0]
    out, told = run(
        *("create", "support bot", "--scope", "infer", "--scope", "documents", "--tenant", "acme"),
        *("--collection", "handbook", "--adapter", "support", "--days", "90"),
    )
    key = api_keys.find(out.strip())
    assert key is not None
    assert (key.scopes, key.tenant, key.collections) == ({"infer", "documents"}, "acme", ("handbook",))
    assert (key.adapters, (key.expires_at or 0) - key.created_at) == (("support",), 90 * 86_400)
    assert f"key {key.id} for support bot, documents and infer; tenant acme; collections handbook" in " ".join(
        told.split()
    )
    listed = run("list")[0]
    assert key.id in listed
    assert out.strip() not in listed
    assert "is revoked" in run("revoke", key.id)[0]
    assert "All are revoked" in run("list")[0]


def test_the_first_key_says_that_it_closes_the_api() -> None:
    closes = "from now on the server answers nobody without a key"
    assert closes in run("create", "bot")[1]
    assert closes not in run("create", "another")[1]


def test_keys_may_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path / "home", keys_file=tmp_path / "elsewhere" / "keys.json"):
        run("create", "bot")
        assert (tmp_path / "elsewhere" / "keys.json").is_file()
    assert api_keys.all_keys() is None


@pytest.mark.parametrize("name", ["", "x" * 129, "x" * 512])
def test_a_tenant_that_can_have_no_documents_gets_no_key(name: str) -> None:
    with pytest.raises(InvalidInput, match="Use 1 to 128 characters"):
        api_keys.create("bot", frozenset({Scope.INFER}), tenant=name)
    with pytest.raises(ValidationError):
        IngestRecipe(sources=["x"], tenant=name)
    with pytest.raises(ValidationError):
        Retrieval(tenant=name)


def test_a_tenants_name_that_a_key_has_fits_into_an_index() -> None:
    longest = "\U0001f426" * 128
    assert api_keys.create("bot", frozenset({Scope.INFER}), tenant=longest)[0].tenant == longest
    assert len(longest.encode()) <= MAX_TENANT_BYTES
    assert Retrieval(tenant=longest).tenant == longest


def test_an_administrators_key_is_bound_to_nothing() -> None:
    for bound in (("--tenant", "acme"), ("--collection", "docs"), ("--adapter", "support")):
        ended = CliRunner().invoke(app, ["keys", "create", "bot", "--scope", "admin", *bound])
        assert "may do everything. Leave out" in str(ended.exception)
    assert api_keys.all_keys() is None
