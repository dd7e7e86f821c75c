"""The demo's data set: real facts of this environment, fairly held out."""

import json
import runpy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from judging_models import WordEmbedding

from plait.jobs.questions import job
from plait.recipes import QuestionsRecipe, load_recipe

EXAMPLE = Path(__file__).parents[2] / "examples" / "environment"
BUILD = runpy.run_path(str(EXAMPLE / "build.py"))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("environment")
    BUILD["build"](out)
    return out


def test_every_version_that_counts_as_right_is_the_installed_one(built: Path) -> None:
    asked = [row for row in read(built / "eval.jsonl") if row["kind"] == "version"]
    assert len(asked) == BUILD["QUESTIONS_A_KIND"]
    assert {row["answer"] == version(row["source"].removesuffix(".md")) for row in asked} == {True}


def test_every_answer_stands_in_the_document_that_it_is_about(built: Path) -> None:
    for row in read(built / "eval.jsonl"):
        assert row["answer"] in (built / "docs" / row["source"]).read_text(encoding="utf-8"), row


def test_no_document_and_no_phrasing_is_both_learnt_and_asked(built: Path) -> None:
    learnt, asked = read(built / "train.jsonl"), read(built / "eval.jsonl")
    assert not {row["source"] for row in learnt} & {row["source"] for row in asked}
    for kind in BUILD["KINDS"]:
        assert not set(kind.asked_in_training) & set(kind.asked_in_evaluation)


def test_the_first_questions_are_of_every_kind(built: Path) -> None:
    assert len({row["kind"] for row in read(built / "eval.jsonl")[:4]}) == 4


def test_its_questions_for_a_comparison_are_of_every_group_and_teach_few_facts(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_embedding", lambda config: WordEmbedding())
    docs = f"ingest.sources=[{built / 'docs'}]"
    made = job.make_questions(load_recipe(QuestionsRecipe, str(EXAMPLE / "questions.yaml"), [docs]), tmp_path / "out")
    counts = {"learned": 15, "held_out": 12, "changed": 12, "unanswerable": 9, "multi_hop": 6, "form": 12}
    assert made.report["eval"] == counts
    assert (made.report["train"], made.report["train_changed"]) == (108, 48)
    taught = [row for row in read(tmp_path / "out" / "facts.jsonl") if row["training"]]
    assert {row["attribute"] for row in taught} == {"Installed version", "Licence"}
    patterns = {row["pattern"] for row in read(tmp_path / "out" / "eval.jsonl") if row["kind"] == "form"}
    assert patterns == {r"The installed version of .+ is .+\.", r"The licence of .+ is .+\."}


def test_the_same_environment_gives_the_same_files(built: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "uninstalled.md").write_text("gone since the last time")
    BUILD["build"](tmp_path)
    files = sorted(path.relative_to(built) for path in built.rglob("*.*"))
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert all((built / path).read_bytes() == (tmp_path / path).read_bytes() for path in files)


def test_a_readme_is_kept_without_badges_and_markup_directives() -> None:
    readme = "[![badge](x)](y)\n<p align=center>\n.. image:: z\n   :alt: pic\nRay scales Python.\n"
    assert BUILD["_prose"](readme).strip() == "Ray scales Python."
