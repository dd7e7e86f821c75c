"""API keys on a running server. The last file: from the first key on, nobody is answered without one."""

import openai
import pytest

from plait import api_keys
from plait.scope import Scope
from plait.settings import settings
from serving.asking import ADMIN_KEY, COLLECTION, FORM, ask


def test_keys_close_the_server_and_keep_tenants_apart(client: openai.OpenAI) -> None:
    _, of_acme = api_keys.create("acme", frozenset({Scope.INFER, Scope.DOCUMENTS}), tenant="acme")
    _, of_other = api_keys.create("other", frozenset({Scope.INFER}), tenant="other", adapters=("support",))
    acme, other = client.with_options(api_key=of_acme), client.with_options(api_key=of_other)
    _, of_bound = api_keys.create("bound", frozenset({Scope.INFER}), tenant="acme", adapters=("sales",))
    acme_without = client.with_options(api_key=of_bound)
    with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong"):
        ask(client, "base")
    with pytest.raises(openai.PermissionDeniedError, match="scope 'documents'"):
        other.files.list()
    attached = acme.vector_stores.files.upload_and_poll(
        vector_store_id=COLLECTION, file=("stork.md", b"# Stork\n\nThe stork guards the west gate.")
    )
    assert attached.status == "completed"
    question = "who guards the west gate?"

    def sources(asking: openai.OpenAI) -> set[str]:
        return {result.filename for result in asking.vector_stores.search(COLLECTION, query=question)}

    assert sources(acme) == {"stork.md"}
    assert sources(other) == set()
    assert "stork.md" not in sources(client.with_options(api_key=ADMIN_KEY))
    assert [store.file_counts.total for store in acme.vector_stores.list() if store.id == COLLECTION] == [1]
    assert "west gate" in ask(acme, "rag/base").choices[0].message.annotations[0].text
    with pytest.raises(openai.PermissionDeniedError, match="may not use 'foreign'"):
        ask(other, "foreign")
    messages = [{"role": "user", "content": FORM}]
    bound, free = (ask(key, "auto", messages=messages).plait["route"] for key in (acme_without, acme))
    assert (free["arm"], bound["arm"], list(bound["probabilities"])) == ("support:1", "rag/base", ["rag/base"])
    assert acme.files.delete(attached.id).deleted
    assert sources(acme) == set()
    settings().keys_path.unlink()
    with pytest.raises(openai.InternalServerError, match="keys cannot be checked"):
        ask(client.with_options(max_retries=0), "base")
