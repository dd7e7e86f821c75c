"""What a comparison does before it indexes anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_findings import made_recipe

from plait.errors import InvalidInput
from plait.evaluation.eval_set import Question
from plait.evaluation.runs.run import begun
from plait.flows.compare.answering import Answering
from plait.flows.compare.comparison import _Answers
from plait.flows.compare.documents import Documents
from plait.jobs.compare.arms import arms_of
from plait.jobs.evaluate.asking import planned

QUESTIONS = [Question(question="which port?", answers=("8000",)), Question(question="who?", answers=("Will",))]


@pytest.mark.parametrize(("refused", "is_said"), [(2, True), (1, False)])
def test_an_endpoint_that_refuses_every_question_is_said(
    refused: int, is_said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(self: Answering, questions: Any, of: Any, documents: str) -> Any:
        trials = planned(questions, self.arm(of[0], documents), self.how)
        return [replace(trial, error="No such field." if n < refused else "") for n, trial in enumerate(trials)]

    monkeypatch.setattr(Answering, "ask", ask)
    monkeypatch.setattr(Documents, "fingerprint", lambda *_, **__: "d")
    recipe = made_recipe(endpoints={"large": {"model": "m", "base_url": "http://h/v1"}})
    serving: Any = None
    with begun({"compare": "support"}, "support", tmp_path / "answers") as run:
        answers = _Answers(recipe, arms_of(recipe), QUESTIONS, None, run, tmp_path)
        if not is_said:
            answers.ask_endpoints(serving)
            return
        with pytest.raises(InvalidInput, match=r"'large' answers none of 2 questions.*No such field"):
            answers.ask_endpoints(serving)
