"""What a version of an adapter was made from, and what is said of parts that are gone."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plait.adapters.metadata import AdapterMetadata
from plait.adapters.registry import Registry
from plait.adapters.tracking import start_run
from plait.errors import ModelNotFound
from plait.evaluation.runs.answerers import TAG, answerers_tag
from plait.lineage.adapters import adapter_lineage, weights_lineage
from plait.lineage.node import LineageNode
from plait.model_ids import AdapterRef
from plait.models.chat import FORMATS

Register = Callable[..., str]


@pytest.fixture(scope="module")
def registry(tracking: None) -> Registry:
    return Registry()


@pytest.fixture
def register(registry: Registry, tmp_path: Path) -> Register:
    """Registers an adapter; returns its run."""

    def register(name: str, **changes: Any) -> str:
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            (folder / file).touch()
        run_id = start_run(registry.client, f"train {name}", {})
        made: dict[str, Any] = {
            "base_model": "package:tiny",
            "base_sha256": "ba5e",
            "dataset_sha256": "da7a",
            "recipe": {"name": name, "data": {"train": "rows.jsonl", "eval": None}, "train": {"epochs": 2}},
            "method": "lora",
            "chat_format": FORMATS["plain"],
            "run_id": run_id,
            "run_key": "c0de",
            "plait_version": "0",
            "created_at": "2026-01-01T00:00:00+00:00",
            "metrics": {"eval_loss": 0.5},
        }
        AdapterMetadata.model_validate(made | changes).write(folder)
        registry.register(name, folder, run_id)
        return run_id

    return register


def child(node: LineageNode, kind: str) -> LineageNode:
    (found,) = [each for each in node.children if each.kind == kind]
    return found


def evaluate(registry: Registry, name: str, arms: dict[str, str], **figures: float) -> None:
    run_id = start_run(registry.client, name, {})
    registry.client.set_tag(run_id, TAG, answerers_tag(arms.items()))
    for figure, value in figures.items():
        registry.client.log_metric(run_id, figure, value)


def test_a_version_stands_above_run_data_recipe_base_model_and_its_own_evaluations(
    registry: Registry, register: Register
) -> None:
    register("knows_cats")
    run_id = register("knows_cats")
    evaluate(
        registry,
        "evaluate faq",
        {"cats": "knows_cats:2", "rag/cats": "knows_cats:2", "base": "base"},
        **{"contains/cats": 0.25, "contains/cats.low": 0.1, "contains/rag/cats": 0.75, "contains/base": 0.5},
    )
    evaluate(registry, "of the first", {"cats": "knows_cats:1"}, **{"contains/cats": 0.125})
    evaluate(registry, "of another name", {"cats": "knowsxcats:2"})  # `_` is any character to LIKE
    found = adapter_lineage(registry, AdapterRef("knows_cats"))
    assert (found.kind, found.name, found.note) == ("adapter", "knows_cats:2", "")
    assert (found.facts["method"], found.facts["eval_loss"]) == ("lora", 0.5)
    run = child(found, "run")
    assert (run.name, run.facts["name"], run.note) == (run_id, "train knows_cats", "")
    data = child(found, "data")
    assert (data.name, data.facts) == ("rows.jsonl", {"sha256": "da7a"})
    recipe = child(found, "recipe")
    assert recipe.facts == {
        "run_key": "c0de",
        "name": "knows_cats",
        "data.train": "rows.jsonl",
        "train.epochs": 2,
    }
    assert child(found, "base_model").facts == {"sha256": "ba5e"}
    evaluation = child(found, "evaluation")
    assert evaluation.name == "evaluate faq"
    assert {name: fact for name, fact in evaluation.facts.items() if "/" in name} == {
        "contains/cats": 0.25,
        "contains/rag/cats": 0.75,
    }


def test_what_it_continues_from_is_shown_down_to_the_first_or_said_to_be_gone(
    registry: Registry, register: Register
) -> None:
    register("grows", parent="nobody:1")
    register("grows", parent="grows:1")
    second = adapter_lineage(registry, AdapterRef("grows", 2))
    first = child(second, "adapter")
    assert first.name == "grows:1"
    gone = child(first, "adapter")
    assert gone.name == "nobody:1"
    assert gone.note.startswith("It is gone from the registry.")
    register("loop", parent="loop:1")
    depth, node = 0, adapter_lineage(registry, AdapterRef("loop"))
    while node.children:
        depth, node = depth + 1, child(node, "adapter")
    assert 0 < depth < 100
    assert node.note == "It is shown no further."


def test_a_deleted_run_and_a_deleted_folder_are_said_at_their_place(registry: Registry, register: Register) -> None:
    run_id = register("loses")
    registry.client.delete_run(run_id)
    assert child(adapter_lineage(registry, AdapterRef("loses")), "run").note == "The run was deleted."
    register("loses", run_id="0" * 32)
    assert "does not have this run" in child(adapter_lineage(registry, AdapterRef("loses")), "run").note
    shutil.rmtree(registry.resolve(AdapterRef("loses")).path)
    found = adapter_lineage(registry, AdapterRef("loses", 2))
    assert (found.name, found.children) == ("loses:2", ())
    assert found.note.startswith("Its folder is gone or no adapter.")


def test_weights_of_an_answer_are_those_that_answered_whatever_they_were_called(
    registry: Registry, register: Register
) -> None:
    register("weighs")
    assert weights_lineage(registry, "base", "", "package:tiny") == LineageNode("base_model", "package:tiny")
    assert weights_lineage(registry, "base", "", "").note == "Which base model it was, was not recorded."
    assert weights_lineage(registry, "weighs:1", "", "").name == "weighs:1"
    served = weights_lineage(registry, "alias#7", "weighs:1", "")
    assert (served.name, served.facts["served_as"]) == ("weighs:1", "alias#7")
    elsewhere = weights_lineage(registry, "alias#7", "/store/weighs", "")
    assert (elsewhere.facts, elsewhere.children) == ({"location": "/store/weighs"}, ())
    assert "outside the registry" in elsewhere.note
    gone = weights_lineage(registry, "weighs:9", "", "")
    assert (gone.name, gone.note[:28]) == ("weighs:9", "It is gone from the registry")
    with pytest.raises(ModelNotFound):
        adapter_lineage(registry, AdapterRef("weighs", 9))
