"""The page in a browser: it fits a phone and a screen, and asks for nothing."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from plait.evaluation.calibration.calibration import AbilityCalibration, Calibration
from plait.evaluation.calibration.cases import Ability, CaseKind
from plait.evaluation.labels.kept import MetricLabels
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import Finding, JudgeUse, Score
from plait.evaluation.statistics.agreement import agreement
from plait.evaluation.statistics.figure import figure
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.jobs.evaluate.page.page import render
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial
from plait.recipes import TokenPrice

BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")
WIDTHS = (390, 1000, 1200)
"""Of a phone, and of a screen, in pixels."""

MEASURE = """
const found = {};
for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument.documentElement;
    found[frame.width] = {
        overflow: page.scrollWidth - page.clientWidth,
        heading: page.querySelector("h1").textContent,
        bar: page.querySelector("rect.range").getBoundingClientRect().width,
        requests: frame.contentWindow.performance.getEntriesByType("resource").length,
    };
}
document.body.innerHTML = "";
document.body.textContent = JSON.stringify(found);
"""


def test_the_page_fits_a_phone_and_a_screen_and_asks_for_nothing(tmp_path: Path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"NOT TESTED: the page of an evaluation in a browser. There is none of {', '.join(BROWSERS)}.")
    # Frames of a page that may run scripts measure one that may not.
    frames = "".join(f'<iframe width="{width}" srcdoc="{html.escape(_page())}"></iframe>' for width in WIDTHS)
    outer = tmp_path / "outer.html"
    outer.write_text(f"<body>{frames}<script>addEventListener('load', () => {{{MEASURE}}})</script></body>")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", profile, "--dump-dom", outer.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(html.unescape(re.sub(r"<[^>]*>", "", dumped)))
    for width in WIDTHS:
        measured = found[str(width)]
        assert measured["overflow"] == 0, measured
        assert measured["heading"] == "Evaluation samples"
        assert measured["bar"] > 20
        assert measured["requests"] == 0


def _page() -> str:
    """One with long names and words, which must not make it wider than a phone."""
    word = "unbroken" * 40
    sample = Sample(word, word, (SamplePassage(word, f"{word}.md"),), kind=word, group=word, is_grounded=True)
    trials = [
        JudgedTrial(
            Trial(
                key=f"{arm}{number}",
                question_key=str(number),
                arm=arm,
                number=number,
                conversation=(),
                sample=sample,
                timings_ms={"total": 123_456.0},
                prompt_tokens=123_456,
                completion_tokens=123_456,
                cost=1234.5,
            ),
            {"faithfulness": Score(number / 20, findings=(Finding(word, False, word),)), "contains": Score(1.0)},
        )
        for arm in ("base", "rag/support-of-customers-in-german@champion")
        for number in range(20)
    ]
    labels = MetricLabels(judge="lexical", labels={trial.trial.key: 1.0 for trial in trials})
    worth = JudgeWorth({"faithfulness": "judge useless"}, {"faithfulness": labels}, _calibration())
    prices = {"all": TokenPrice(prompt=1, completion=2)}
    return render(EvaluationReport(trials, ("faithfulness", "contains"), "lexical", worth=worth, prices=prices))


def _calibration() -> Calibration:
    truths = [number % 2 == 0 for number in range(20)]
    abilities = [
        AbilityCalibration(
            ability=ability,
            asked=20,
            unsaid=0,
            agreement=agreement(truths, truths),
            by_kind={str(kind): figure([1.0] * 20) for kind in CaseKind},
            flips=None,
        )
        for ability in Ability
    ]
    return Calibration(judge="lexical", seed=0, questions=20, abilities=abilities, missing=[], use=JudgeUse())
