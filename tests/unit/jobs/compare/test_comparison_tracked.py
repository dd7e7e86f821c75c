"""A comparison is a run of MLflow that people find and compare like others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_findings import ANSWERS, made_findings, made_recipe

from plait.adapters.tracking import tracking_client
from plait.evaluation.runs.answerers import TAG
from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.report import PAGE, REPORT, write_report
from plait.jobs.compare.tracked import track

BAD_KIND = "../a//b: " + "k" * 300


@pytest.fixture(scope="module")
def client() -> Any:
    """Of the SQLite store in the home of the tests."""
    return tracking_client()


def test_figures_times_verdict_and_files_are_in_the_run(client: Any, tmp_path: Path) -> None:
    findings = made_findings(recipe=made_recipe(prices={"all": {"prompt": 1, "completion": 2}}), update_seconds=4.0)
    verdict = conclude(findings)
    write_report(tmp_path, findings, verdict)
    run = client.get_run(track(client, findings, verdict, tmp_path))
    assert run.info.run_name == "compare support"
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics
    for arm in verdict.arms:
        assert metrics[f"accuracy/{arm.arm}"] == arm.accuracy.value
        for kind, found in arm.by_kind.items():
            assert metrics[f"accuracy/{arm.arm}/{kind}"] == found.value
            assert metrics[f"accuracy/{arm.arm}/{kind}.low"] == found.low
        assert metrics[f"cost_of_1000/{arm.arm}"] == arm.cost_of_1000
        assert metrics[f"fixed_seconds/{arm.arm}"] == arm.fixed_seconds
    assert (metrics["perplexity_after/lora"], metrics["reindex_seconds"], metrics["questions"]) == (21.0, 4.0, 80.0)
    assert run.data.tags["verdict"] == " ".join(verdict.sentences)
    assert run.data.tags["recommended"] == verdict.overall.recommended
    assert verdict.caveats[0] in run.data.tags["mlflow.note.content"]
    assert run.data.params["model"] == findings.recipe.model
    assert run.data.params["identity/plait"] == "0.0.0"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {PAGE, REPORT}


def test_the_run_names_the_versions_that_answered_as_its_arms_in_all_seeds(client: Any, tmp_path: Path) -> None:
    findings = made_findings(recipe=made_recipe(seeds=2))
    verdict = conclude(findings)
    answered = tuple(
        replace(judged, trial=replace(judged.trial, answered_by=f"by {judged.trial.arm}"))
        for judged in findings.evaluation.trials
    )
    findings = replace(findings, evaluation=replace(findings.evaluation, trials=answered))
    write_report(tmp_path, findings, verdict)
    by_arm = json.loads(client.get_run(track(client, findings, verdict, tmp_path)).data.tags[TAG])
    assert by_arm["base"] == ["by base"]
    assert by_arm["lora"] == ["by lora (seed 0)", "by lora (seed 1)"]


def test_a_kind_that_is_no_name_of_mlflow_and_a_training_that_diverged_are_logged_all_the_same(
    client: Any, tmp_path: Path
) -> None:
    findings = made_findings(ANSWERS)
    verdict = conclude(findings)
    arms = [
        replace(arm, by_kind={BAD_KIND: arm.accuracy, "": arm.accuracy}, perplexity=(20.0, float("inf")))
        for arm in verdict.arms
    ]
    verdict = replace(verdict, arms=arms, kinds=[replace(verdict.kinds[0], kind=BAD_KIND)], caveats=["long " * 2000])
    write_report(tmp_path, findings, verdict)
    metrics = client.get_run(track(client, findings, verdict, tmp_path)).data.metrics
    assert any(name.startswith("accuracy/base/___a__b_ kkk") for name in metrics)
    assert metrics["accuracy/base/no_kind"] == arms[0].accuracy.value
    assert "perplexity_after/lora" not in metrics
    assert metrics["perplexity_before/lora"] == 20.0
