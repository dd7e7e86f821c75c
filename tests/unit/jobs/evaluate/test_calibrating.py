"""A judge is calibrated on an eval set, or on the questions of a run."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plait.cli import app
from plait.errors import DataError
from plait.evaluation.calibration.calibration import read_calibrations
from plait.evaluation.calibration.cases import Ability
from plait.evaluation.runs.run import begun
from plait.evaluation.runs.trial import Trial
from plait.evaluation.sample import Sample, SamplePassage
from plait.jobs.evaluate.calibrating import calibrate_judge
from plait.jobs.evaluate.calibration_table import kinds_table, notes, worth_table
from plait.recipes import CalibrateRecipe

PACKAGES = ["ray", "attrs", "numpy", "torch", "scipy", "pandas", "rich", "typer"]


def passage(number: int) -> str:
    return f"Installed version of {PACKAGES[number]}: {number + 2}.{number}.7"


@pytest.fixture
def eval_set(tmp_path: Path) -> Path:
    file = tmp_path / "eval.jsonl"
    rows = [
        {
            "question": f"Which version of {name} is installed?",
            "answer": f"{number + 2}.{number}.7",
            "source": f"{name}.md",
            "passages": [{"text": passage(number), "source": f"{name}.md"}],
        }
        for number, name in enumerate(PACKAGES)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_judge_is_calibrated_on_an_eval_set(eval_set: Path) -> None:
    found = calibrate_judge(CalibrateRecipe(data=str(eval_set)))
    assert (found.judge, found.questions, found.missing) == ("lexical", 8, [])
    support = found.of(Ability.SUPPORT)
    assert support is not None
    assert support.agreement is not None
    assert support.agreement.sensitivity.value is not None
    assert support.agreement.sensitivity.value > 0.5
    assert worth_table(found).row_count == len(found.abilities)
    assert kinds_table(found).row_count > 3
    assert all("not made" not in note for note in notes(found))


def test_a_run_gives_its_questions_and_what_it_retrieved(tmp_path: Path) -> None:
    with begun({}, "x", tmp_path / "run") as run:
        for number, name in enumerate(PACKAGES):
            sample = Sample(f"Which version of {name}?", "?", answers=(f"{number + 2}.{number}.7",))
            run.add_trial(Trial(f"b{number}", f"q{number}", "base", number, (), sample))
            retrieved = Sample(
                sample.question, "?", passages=(SamplePassage(passage(number), f"{name}.md"),), answers=sample.answers
            )
            run.add_trial(Trial(f"r{number}", f"q{number}", "rag/base", number, (), retrieved))
    found = calibrate_judge(CalibrateRecipe(data=str(tmp_path / "run"), limit=5))
    assert (found.questions, found.missing) == (5, [])


def test_the_command_keeps_and_shows_what_the_judge_is_worth(eval_set: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "calibrate", str(eval_set), "seed=3", "--limit", "6", "--out", str(tmp_path / "kept")]
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "Judge lexical on 6 questions" in shown.output
    assert "kept:" in shown.output
    assert read_calibrations(tmp_path / "kept")["lexical"].seed == 3


def test_an_eval_set_without_passages_says_what_is_lacking(eval_set: Path) -> None:
    rows = [json.loads(line) for line in eval_set.read_text().splitlines()]
    eval_set.write_text("".join(json.dumps({**row, "passages": None}) + "\n" for row in rows))
    with pytest.raises(DataError, match="No passage holds an answer of it"):
        calibrate_judge(CalibrateRecipe(data=str(eval_set)))
