"""What `auto` cannot be routed by is one sentence before anything starts."""

from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings

from plait.errors import InvalidInput, ModelNotFound, PlaitError, RecipeError
from plait.model_ids import AdapterRef
from plait.models.vectors import VectorKind
from plait.recipes import DEFAULT_EMBEDDING
from plait.routing.policies.fixed import FixedPolicy
from plait.routing.policy import RoutedArm
from plait.serve.messages.arguments import AppArguments
from plait.serve.routing import checking
from plait.serve.routing.checking import check_routing
from plait.serve.routing.followed import LoadedPolicy, PolicySource

SUPPORT = RoutedArm(model="support:3", name="support")


def check(routing: dict[str, Any], **arguments: Any) -> None:
    parsed = AppArguments.model_validate({"retrieval": None, "routing": routing} | arguments)
    assert parsed.routing is not None
    check_routing(parsed.routing, parsed)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("default: rag/base\nrules: []", InvalidInput, "may choose 'rag/base', and this application serves without"),
        ("default: auto\nrules: []", RecipeError, "an arm cannot be auto"),
        ("default: [", RecipeError, "is not valid YAML"),
        (None, RecipeError, "cannot be read"),
    ],
)
def test_rules_that_cannot_be_followed(tmp_path: Path, text: str | None, error: type[PlaitError], said: str) -> None:
    file = tmp_path / "rules.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(error, match=said):
        check({"rules": str(file)})


def test_rules_may_name_an_adapter_that_is_loaded_later(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("default: base\nrules: [{prefix: /json, arm: later}]")
    check({"rules": str(file)})


def test_a_policy_that_there_is_not(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path), pytest.raises(ModelNotFound, match="There is no policy 'support'"):
        check({"policy": "support@champion"})


@pytest.mark.parametrize(
    ("embedding", "kind", "said"),
    [
        (None, VectorKind("made", 4), "this application has no embedding model"),
        ({}, VectorKind("made", 4), "needs questions embedded by 'made' \\(4 dimensions\\); here they are by"),
        ({"model": "other"}, VectorKind("made", 4), "here they are by 'other'"),
    ],
)
def test_a_policy_that_needs_other_embeddings(
    monkeypatch: pytest.MonkeyPatch, embedding: dict[str, str] | None, kind: VectorKind, said: str
) -> None:
    class Needy(FixedPolicy):
        vectors: Any = kind

    policy = Needy(RoutedArm(model="base", name="base"), "It is.", kind)  # type: ignore[arg-type]
    monkeypatch.setattr(PolicySource, "load", lambda self, known: LoadedPolicy("made:1", policy))
    with pytest.raises(InvalidInput, match=said):
        check({"policy": "made"}, embedding=embedding)
    same = Needy(policy.arm, "It is.", VectorKind(DEFAULT_EMBEDDING, 4))  # type: ignore[arg-type]
    monkeypatch.setattr(PolicySource, "load", lambda self, known: LoadedPolicy("made:1", same))
    check({"policy": "made"})


def test_an_adapter_that_was_learned_with_and_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[AdapterRef] = []
    version: Any = object()
    policy = LoadedPolicy("made:1", FixedPolicy(SUPPORT, "It is."), None, version)
    monkeypatch.setattr(PolicySource, "load", lambda self, known: policy)

    class Registry:
        def resolve(self, ref: AdapterRef) -> None:
            asked.append(ref)

    monkeypatch.setattr(checking, "Registry", Registry)
    check({"policy": "made"})
    assert asked == [AdapterRef("support", 3)]
