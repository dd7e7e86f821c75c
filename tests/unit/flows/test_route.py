"""From the folder of a comparison to a registered policy that says which arm it would choose."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_settings import changed_settings
from evaluation.live.rated_answers import live
from made_outcomes import by_nothing, made_outcomes
from typer.testing import CliRunner

from plait.adapters.registry import Registry
from plait.adapters.tracking import tracking_client
from plait.cli import app
from plait.errors import InvalidInput, ModelNotFound
from plait.evaluation.live.route import Route
from plait.evaluation.live.traces import AnswerTraces
from plait.evaluation.score import Score
from plait.flows import route
from plait.jobs.compare.outcomes import ComparisonOutcomes
from plait.model_ids import AdapterRef
from plait.models.message import Message
from plait.models.vectors import NO_PROMPTS, Vectors
from plait.recipes import EmbeddingConfig
from plait.routing.policy import RouteRequest
from plait.routing.registry import PolicyRegistry


class _FormOrFact:
    """An embedding model that knows whether a question asks for JSON."""

    name, dimension, max_tokens, prompts = "form-or-fact", 2, 100, NO_PROMPTS

    def count_tokens(self, texts: Any) -> list[int]:
        return [len(text) for text in texts]

    def encode_queries(self, texts: Any) -> Vectors:
        return np.array([[1, 0] if "JSON" in text else [0, 1] for text in texts], dtype=np.float32)

    encode_passages = encode_queries


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with nothing in it; MLflow makes its tables there once, which takes seconds."""
    folder = tmp_path_factory.mktemp("home")
    with changed_settings(home=folder):
        yield folder


def found(**made: Any) -> ComparisonOutcomes:
    left_out = ["big is left out: no model id of a server answers as it."]
    return ComparisonOutcomes(made_outcomes(**made), EmbeddingConfig(), left_out, "plait compare a.yaml", "0" * 64)


def test_a_policy_is_registered_with_what_it_is_worth_and_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = route.train_policy(found(), "support", 2.0, _FormOrFact(), seed=0)
    assert registered.key == "support:1"
    monkeypatch.setattr(route, "embedding_of", lambda kind: _FormOrFact() if kind.model == "form-or-fact" else None)
    explained = route.explain("support", RouteRequest("Reply as JSON"))
    assert explained.policy == "support:1"
    assert [each.arm.model for each in explained.ranked] == ["support:1", "rag/base"]
    assert route.explain("support", RouteRequest("How long?")).ranked[0].arm.model == "rag/base"
    run = _run_of("support")
    assert run.data.metrics["is_enabled"] == 1
    assert run.data.metrics["accuracy"] > run.data.metrics["ahead_of_best.low"] > 0
    assert (run.data.params["kind"], run.data.params["points_per_1000_tokens"]) == ("learned", "2.0")


def test_versions_count_up_and_adapters_do_not_see_them() -> None:
    for _ in range(2):
        last = route.train_policy(found(count=10), "few", 0.0, None, seed=0)
    assert last.key == "few:2"
    assert Registry().list() == []
    listed = [version.key for version in PolicyRegistry(tracking_client()).list() if version.name == "few"]
    assert listed == ["few:2", "few:1"]
    with pytest.raises(ModelNotFound, match=r"There is no policy 'fewer'. Did you mean 'few'"):
        route.explain("fewer", RouteRequest("?"))
    with pytest.raises(ModelNotFound, match="There is no adapter 'few'"):
        Registry().resolve(AdapterRef("few"))


@pytest.mark.parametrize("name", ["", "auto", "../up", "rag/base", "a b", "it's"])
def test_what_cannot_be_a_name_is_said(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no name of a policy"):
        route.train_policy(found(count=10), name, 0.0, None, seed=0)


def test_the_commands_show_a_policy_that_was_not_enabled_and_why() -> None:
    route.train_policy(found(right=by_nothing), "vain", 2.0, None, seed=0)
    shown = _said("route", "show", "vain")
    assert "vain:1" in shown
    assert "So rag/base answers every question." in shown
    assert "Gain@Best" in shown
    assert "big is left out" in shown
    assert "fixed" in _said("route", "show")
    explained = _said("route", "explain", "How long?", "--policy", "vain@latest_that_is_not")
    assert "has no alias" in explained


def test_a_rule_file_is_asked_without_a_registry(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("default: base\nrules: [{language: de, arm: rag/support}]")
    said = _said("route", "explain", "Wie lange?", "--policy", str(file), "--language", "de")
    assert said.index("rag/support") < said.index("It is the default")


def test_a_policy_is_evaluated_on_answers_that_a_server_kept(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("default: rag/base\nrules: [{prefix: /json, arm: base}]")
    assert "No answer of auto is kept with its propensity" in _said("route", "evaluate", str(file))
    traces = AnswerTraces()
    for number in range(12):
        arm = ("base", "rag/base")[number % 2]
        route = Route(arm, "rules.yaml", "", propensity=0.5, candidates=("base", "rag/base"))
        conversation = (Message("user", f"How long is warranty {number}?"),)
        answer = live(f"r-{number}", model="auto", route=route, conversation=conversation, tokens=40)
        kept = traces.keep(answer)
        if number > 1:
            traces.add_scores(kept, "lexical", {"answer_relevance": Score(float(number % 2))}, False)
        if arm == "base":
            traces.add_scores(kept, "lexical", {"form": Score(1.0)}, False)
    said = _said("route", "evaluate", str(file))
    assert "answer_relevance of" in said
    assert "from 10 answers to 10 questions" in said
    assert "It chooses rag/base 100%." in said
    assert "5 answers are of the arm that it chooses; they tell as much as 5 answers of its own would." in said
    assert "These are fewer than 30" in said
    assert "2 answers have no answer_relevance and are left out." in said
    assert "None of 12 answers has the score 'rating'." in _said("route", "evaluate", str(file), "--by", "rating")
    unequal = _said("route", "evaluate", str(file), "--by", "form")
    assert "Answers of rag/base never have the score 'form', as others do." in unequal


def _said(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    return " ".join((result.output + str(result.exception or "")).split())


def _run_of(policy: str) -> Any:
    client = tracking_client()
    (version,) = client.search_model_versions(f"name='policy {policy}'")
    return client.get_run(version.run_id)
