"""What cannot judge users' answers is said before anything starts."""

from typing import Any

import pytest

from plait.errors import InvalidInput, ModelNotFound, PlaitError, RecipeError
from plait.serve.app import build, parse
from plait.serve.deployments.reviewer import check_judging
from plait.serve.messages.arguments import JudgingArguments


@pytest.mark.parametrize(
    ("how", "error", "what"),
    [
        ({"metrics": ["faithfulnes"]}, InvalidInput, "Did you mean 'faithfulness'"),
        ({"metrics": ["contains"]}, InvalidInput, "'contains' needs answers, which nobody knows of a user's question"),
        ({"metrics": ["counterfactual_citations"]}, InvalidInput, "asks the model again"),
        ({"judge": "lexica"}, InvalidInput, "There is no judge 'lexica'"),
        ({"judge": {"model": "rag/base"}}, InvalidInput, "Name base or an adapter"),
        ({"judge": {"model": "auto"}}, InvalidInput, "Name base or an adapter"),
        ({"judge": {"model": "a b"}}, ModelNotFound, "There is no model 'a b'"),
        ({"judge": {"model": "x", "base_url": "http://x/v1", "api_key_env": "NO_SUCH"}}, InvalidInput, "NO_SUCH"),
    ],
)
def test_a_way_to_judge_that_cannot_work_is_refused(how: dict[str, Any], error: type[PlaitError], what: str) -> None:
    with pytest.raises(error, match=what):
        check_judging(JudgingArguments.model_validate(how))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"judge": "embedding", "metrics": ["faithfulness", "citation_precision", "citation_recall"]},
        {"judge": "nli:some/model"},
        {"judge": {"model": "support@champion"}},
        {"judge": {"model": "gpt", "base_url": "http://x/v1"}},
    ],
)
def test_others_are_taken(how: dict[str, Any]) -> None:
    check_judging(JudgingArguments.model_validate(how))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"judging": {"share": 1.5}}, "judging.share"),
        ({"judging": {"metrics": []}}, "judging.metrics"),
        ({"answers": {"keep": "judged"}}, "judging.share is 0"),
        ({"answers": {"keep": "some"}}, "answers.keep"),
        ({"answers": {"max_age_days": 0}}, "answers.max_age_days"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "is_there"),
    [({}, False), ({"judging": {"share": 0.1}}, True), ({"answers": {"keep": "all"}}, True)],
)
def test_there_is_a_reviewer_where_there_is_something_to_do(arguments: dict[str, Any], is_there: bool) -> None:
    reviewer = build(arguments)._bound_deployment.init_args[5]
    assert (reviewer is not None) is is_there
