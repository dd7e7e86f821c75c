"""What a comparison writes: a page and JSON, both whole, and the same for the same seed and data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from made_findings import made_findings, made_recipe

from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.findings import Findings
from plait.jobs.compare.report import PAGE, REPORT, as_json, write_report

SLOW = {"latency_ms": dict.fromkeys(("base", "lora", "rag/base", "rag/lora"), 250.0), "train_seconds": {"lora": 900.0}}


def priced(**taken: Any) -> Findings:
    recipe = made_recipe(
        prices={"all": {"prompt": 1, "completion": 2}, "rag/lora": {"prompt": 2, "completion": 2}}, hour_price=3.0
    )
    return made_findings(recipe=recipe, update_seconds=4.0, **taken)


def written(folder: Path, findings: Findings) -> dict[str, Any]:
    write_report(folder, findings, conclude(findings))
    found: dict[str, Any] = json.loads((folder / REPORT).read_text())
    return found


def test_both_files_are_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    findings = made_findings()
    folder = tmp_path / "comparisons" / "support"
    assert write_report(folder, findings, conclude(findings)) == folder / PAGE
    assert {file.name for file in folder.iterdir()} == {PAGE, REPORT}


def test_what_is_read_back_is_what_was_found(tmp_path: Path) -> None:
    findings = priced()
    verdict = conclude(findings)
    read = written(tmp_path, findings)
    assert read == json.loads(json.dumps(as_json(findings, verdict)))
    assert read["advice"] == verdict.sentences[0]
    assert read["measured"]["verdict"]["sentences"] == list(verdict.sentences)
    assert read["verdict"]["kinds"][0]["best"] == list(verdict.kinds[0].best)
    assert [trial["reply"] for trial in read["evaluation"]["trials"]] == [
        judged.trial.sample.reply for judged in findings.evaluation.trials
    ]
    assert read["trainings"][0]["key"] == "support-lora:1"
    assert (read["indexing"]["chunks"], read["update"]["documents"]) == (200, 4)
    assert (read["identity"]["plait"], read["command"]) == ("0.0.0", "plait compare compare.yaml")
    assert read["arms"][1]["runs"] == ["lora"]


def test_texts_of_passages_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, made_findings())
    text = (tmp_path / REPORT).read_text()
    assert "Fact 3 is 7." not in text
    assert '"3.md"' in text


def test_two_writes_are_equal_to_the_byte(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        written(tmp_path / folder, priced())
    for file in (PAGE, REPORT):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_runs_that_took_other_times_differ_in_what_was_measured_alone(tmp_path: Path) -> None:
    fast, slow = written(tmp_path / "fast", priced()), written(tmp_path / "slow", priced(**SLOW))
    measured = fast.pop("measured"), slow.pop("measured")
    assert fast == slow
    assert measured[0] != measured[1]
    assert measured[0]["evaluation"]["trials"][0]["latency_ms"] == 100.0
    assert measured[1]["trainings"] == [{"seconds": 900.0}]
    assert measured[0]["update"] == {"seconds": 4.0}
    assert measured[0]["verdict"]["freshness"]["reindex_seconds"] == 4.0
    assert measured[0]["verdict"]["arms"][1]["fixed_cost"] == 0.5
    assert measured[0]["verdict"]["break_even"][0]["answers"] == 2_375


def test_a_number_that_is_none_is_null(tmp_path: Path) -> None:
    findings = made_findings()
    diverged = replace(findings.trainings[0], perplexity_before=float("inf"), perplexity_after=float("nan"))
    read = written(tmp_path, replace(findings, trainings=[diverged]))
    assert read["trainings"][0]["perplexity_before"] is None
    assert read["trainings"][0]["perplexity_after"] is None
    assert "not finite" in (tmp_path / PAGE).read_text()
