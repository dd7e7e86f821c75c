"""A comparison as one HTML page that needs nothing else, and as JSON."""

import json
from datetime import UTC, datetime
from pathlib import Path

from plait.flows.compare.verdict import Verdict
from plait.jobs.evaluate.page.environment import page_environment
from plait.jobs.evaluate.report import EvaluationReport


def write_pages(folder: Path, verdict: Verdict, report: EvaluationReport) -> Path:
    """Write compare.json (verdict and every answer) and compare.html into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = {
        "sentence": verdict.sentence,
        "verdict": verdict.model_dump(mode="json"),
        "evaluation": report.as_json(),
    }
    (folder / "compare.json").write_text(json.dumps(everything, indent=2, ensure_ascii=False), encoding="utf-8")
    page = folder / "compare.html"
    page.write_text(render(verdict, report), encoding="utf-8")
    return page


def render(verdict: Verdict, report: EvaluationReport) -> str:
    """The page. Whatever documents and models say is shown as text, never as HTML."""
    template = page_environment("plait.flows.compare").get_template("compare.html")
    of_arm = {arm: {judged.trial.question_key: judged for judged in report.of_arm(arm)} for arm in report.arms}
    rows = [
        (judged.trial.sample, [of_arm[arm][judged.trial.question_key] for arm in report.arms])
        for judged in report.of_arm(report.arms[0])
    ]
    return template.render(
        verdict=verdict, rows=rows, models=report.arms, made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    )
