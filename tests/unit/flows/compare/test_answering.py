"""Who answers as an arm, and which answers are missing."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from made_findings import made_recipe

from plait.errors import InvalidInput, Unavailable
from plait.evaluation.eval_set import Question
from plait.evaluation.runs.run import begun
from plait.flows.compare.answering import Answering, Respondent, respondents
from plait.flows.compare.trainings import Trained
from plait.jobs.compare.arms import Arm, arms_of
from plait.jobs.compare.findings import Training
from plait.jobs.evaluate.asking import planned

QUESTIONS = [Question(question="which port?", answers=("8000",)), Question(question="who?", answers=("Will",))]


def trained(arm: str, path: str = "", is_updated: bool = False) -> Trained:
    key = f"support-{arm}{'-updated' if is_updated else ''}:1"
    version: Any = SimpleNamespace(key=key, path=Path(path), metadata=SimpleNamespace(run_key=f"run of {key}"))
    return Trained(version, Training(arm, 0, is_updated, key, 1.0, None, None))


def test_each_arm_is_a_model_id_of_a_server_with_its_base_model() -> None:
    full = {"adapter": {"method": "full"}, "model": {"dtype": "float32"}, "data": {"train": "t"}}
    recipe = made_recipe(
        model="org/base",
        tuned={"lora": {"data": {"train": "t"}}, "full": full},
        changed={"documents": "d", "train": "t"},
        endpoints={"large": {"model": "m", "base_url": "http://h/v1"}},
    )
    found = respondents(recipe, arms_of(recipe), [trained("lora"), trained("full", "/w"), trained("lora", "", True)])
    assert {each.run: (each.base_model, each.model) for each in found} == {
        "base": ("org/base", "base"),
        "lora": ("org/base", "support-lora:1"),
        "full": ("/w", "base"),
        "lora updated": ("org/base", "support-lora-updated:1"),
        "rag/base": ("org/base", "rag/base"),
        "rag/lora": ("org/base", "rag/support-lora:1"),
        "rag/full": ("/w", "rag/base"),
        "rag/lora updated": ("org/base", "rag/support-lora-updated:1"),
        "large": ("", "large"),
    }


@pytest.fixture
def arms() -> list[Respondent]:
    recipe = made_recipe()
    return respondents(recipe, arms_of(recipe), [trained("lora")])


def test_only_answers_from_the_index_are_missing_when_documents_are_others(
    arms: list[Respondent], tmp_path: Path
) -> None:
    by_run = {each.run: each for each in arms}
    with begun({"compare": "support"}, "support", tmp_path / "answers") as run:
        answering = Answering(made_recipe(), run, serving=None, examples=None)  # type: ignore[arg-type]
        assert answering.is_missing(QUESTIONS, arms, "documents of then")
        for each in arms:
            for trial in planned(QUESTIONS, answering.arm(each, "documents of then"), answering.how):
                run.add_trial(_answered(trial))
        run.flush()
        assert not answering.is_missing(QUESTIONS, arms, "documents of then")
        assert answering.is_missing(QUESTIONS, [by_run["rag/base"]], "documents of now")
        assert not answering.is_missing(QUESTIONS, [by_run["base"], by_run["lora"]], "documents of now")
        other = Answering(made_recipe(serve={"llm": {"dtype": "float32"}}), run, None, None)  # type: ignore[arg-type]
        assert other.is_missing(QUESTIONS, [by_run["base"]], "documents of then")


def test_what_is_answered_needs_no_server(arms: list[Respondent], tmp_path: Path) -> None:
    with begun({"compare": "support"}, "support", tmp_path / "answers") as run:
        serving: Any = SimpleNamespace(url_of=lambda _: pytest.fail("nobody is missing"))
        answering = Answering(made_recipe(), run, serving, examples=None)
        for each in arms:
            for trial in planned(QUESTIONS, answering.arm(each, "d"), answering.how):
                run.add_trial(_answered(trial))
        run.flush()
        trials = answering.ask(QUESTIONS, arms, "d")
    assert [trial.arm for trial in trials] == [each.run for each in arms for _ in QUESTIONS]


def _answered(trial: Any) -> Any:
    from dataclasses import replace

    return replace(trial, asked_at=datetime.now(UTC))


def test_an_endpoint_whose_answers_are_kept_needs_no_key(tmp_path: Path) -> None:
    endpoint = {"model": "m", "base_url": "http://h/v1", "api_key_env": "NOT_SET_HERE"}
    recipe = made_recipe(endpoints={"large": endpoint})
    of = respondents(recipe, [arm for arm in arms_of(recipe) if arm.kind == "endpoint"], [])
    with begun({"compare": "support"}, "support", tmp_path / "answers") as run:
        answering = Answering(recipe, run, serving=None, examples=None)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="NOT_SET_HERE"):
            answering.ask(QUESTIONS, of, "d")
        for trial in planned(QUESTIONS, answering.arm(of[0], "d"), answering.how):
            run.add_trial(_answered(trial))
        run.flush()
        assert len(answering.ask(QUESTIONS, of, "d")) == len(QUESTIONS)


def test_a_server_is_looked_at_only_where_answers_are_missing(tmp_path: Path) -> None:
    recipe = made_recipe()
    with begun({"compare": "support"}, "support", tmp_path / "answers") as run:
        answering = Answering(recipe, run, serving=None, examples=None)  # type: ignore[arg-type]
        with pytest.raises(Unavailable, match="No server answers"):
            answering.check_server("http://127.0.0.1:1", QUESTIONS, "d")
        for each in respondents(recipe, [Arm("base"), Arm("rag/base", retrieves=True)], []):
            for trial in planned(QUESTIONS, answering.arm(each, "d"), answering.how):
                run.add_trial(_answered(trial))
        run.flush()
        answering.check_server("http://127.0.0.1:1", QUESTIONS, "d")


def test_a_server_that_answers_from_another_index_is_told_before_anything_is_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = made_recipe()
    searched = "another"

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": id, "root": "org/other"} for id in ("base", "rag/base")]})
        return httpx.Response(200, json={"data": [], "collection": searched})

    client = partial(httpx.AsyncClient, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("plait.flows.compare.answering.httpx.AsyncClient", client)
    with begun({"compare": "support"}, "support", tmp_path / "answers") as run:
        answering = Answering(recipe, run, serving=None, examples=None)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="from the collection 'another', and the recipe indexes"):
            answering.check_server("http://there", QUESTIONS, "d")
        searched = recipe.ingest.collection
        answering.check_server("http://there", QUESTIONS, "d")
    assert "has the base model org/other, the recipe" in capsys.readouterr().out
