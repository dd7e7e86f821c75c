import json
from pathlib import Path

from plait.jobs.ingest.embed import wished_vectors
from plait.models.vectors import Prompts, VectorKind
from plait.recipes import EmbeddingConfig


def folder(path: Path, **prompts: str | None) -> Path:
    (path / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}), encoding="utf-8")
    return path


def test_prompts_come_from_the_model_unless_they_are_given(tmp_path: Path) -> None:
    model = folder(tmp_path, query="query: ", passage="passage: ")
    assert Prompts.of_model(model) == Prompts("query: ", "passage: ")
    assert Prompts.of_model(model, query="ask: ") == Prompts("ask: ", "passage: ")
    assert Prompts.of_model(model, query="", passage="") == Prompts()


def test_a_model_without_prompts_has_none(tmp_path: Path) -> None:
    assert Prompts.of_model(tmp_path) == Prompts()
    assert Prompts.of_model(folder(tmp_path, document="", query=None)) == Prompts()


def test_a_kind_of_vectors_says_what_it_is() -> None:
    assert str(VectorKind("m", 8)) == "'m' (8 dimensions)"
    assert (
        str(VectorKind("m", 8, Prompts("q: ", "p: "))) == "'m' (8 dimensions, query prompt 'q: ', passage prompt 'p: ')"
    )


def test_what_a_recipe_leaves_open_is_as_it_is() -> None:
    present = VectorKind("m", 8, Prompts("q: ", "p: "))
    assert wished_vectors(EmbeddingConfig(model="m"), present) == present
    assert wished_vectors(EmbeddingConfig(model="m", dimensions=4, query_prompt=""), present) == VectorKind(
        "m", 4, Prompts("", "p: ")
    )
