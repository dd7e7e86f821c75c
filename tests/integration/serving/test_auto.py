"""`auto` on a running server: the policy chooses by the question's embedding, and is followed in the registry."""

from typing import Any

import openai

from plait.adapters.tracking import tracking_client
from serving.asking import FORM, ask, metric, until


def test_auto_is_answered_by_the_arm_that_the_policy_chooses(client: openai.OpenAI) -> None:
    answer = ask(client, "auto")
    route = answer.plait["route"]
    assert (answer.model, answer.plait["model"]) == ("auto", "base")
    assert (route["arm"], route["policy"]) == ("rag/base", "made:1")
    assert route["probabilities"]["rag/base"] > route["probabilities"]["support:1"]
    assert "1 of the 1 nearest questions" in route["reason"]
    assert answer.choices[0].message.annotations[0].source == "ray.md"
    *_, last = ask(client, "auto", stream=True)
    assert last.plait["route"] == route
    until(lambda: metric("plait_routed_requests_total", arm="rag/base", policy="made:1", how="chosen") == 2)
    until(lambda: metric("plait_route_judged_score_count", metric="answer_relevance", arm="rag/base") == 2)
    assert metric("plait_route_seconds_count", stage="embed") == 2
    assert "auto" in [model.id for model in client.models.list()]


def test_an_arm_that_cannot_be_loaded_is_passed_over(client: openai.OpenAI) -> None:
    answer = ask(client, "auto", messages=[{"role": "user", "content": FORM}])
    route = answer.plait["route"]
    assert (answer.plait["model"], route["kind"], route["arm"]) == ("support:1", "direct", "support:1")
    assert route["reason"].startswith("foreign could not answer (")
    assert answer.choices[0].message.annotations == []


def test_a_moved_alias_of_the_policy_is_followed(client: openai.OpenAI) -> None:
    def route() -> Any:
        return ask(client, "auto", max_tokens=1).plait["route"]

    tracking_client().set_registered_model_alias("policy made", "champion", "2")
    until(lambda: route()["policy"] == "made:2")
    assert {route()["policy"] for _ in range(5)} == {"made:2"}  # and does not go back
