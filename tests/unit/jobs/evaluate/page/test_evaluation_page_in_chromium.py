"""The page in a browser: it fits a phone and a screen, and asks for nothing."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SamplePassage
from plait.evaluation.score import Finding, Score
from plait.jobs.evaluate.page.page import render
from plait.jobs.evaluate.report import EvaluationReport, JudgedTrial

BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")
WIDTHS = (390, 1200)
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
        assert measured["bar"] > 30
        assert measured["requests"] == 0


def _page() -> str:
    """One with long names and words, which must not make it wider than a phone."""
    word = "unbroken" * 40
    sample = Sample(word, word, (SamplePassage(word, f"{word}.md"),), kind=word, group=word, is_grounded=True)
    trials = [
        JudgedTrial(
            Trial(f"{arm}{number}", str(number), arm, number, (), sample),
            {"faithfulness": Score(number / 20, findings=(Finding(word, False, word),)), "contains": Score(1.0)},
        )
        for arm in ("base", "rag/support-of-customers-in-german@champion")
        for number in range(20)
    ]
    return render(EvaluationReport(trials, ("faithfulness", "contains"), "lexical"))
