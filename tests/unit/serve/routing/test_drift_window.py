"""A replica tells that questions drift, and no longer when the policy is another."""

import numpy as np
from prometheus_client import Gauge

from plait.observability import metrics
from plait.routing.drift import SeenQuestions, words_of
from plait.routing.policies.fixed import FixedPolicy
from plait.routing.policy import RoutedArm
from plait.serve.routing.drift_window import FEWEST, DriftWindow
from plait.serve.routing.followed import LoadedPolicy


def policy(name: str) -> LoadedPolicy:
    questions = [f"how long is the warranty of product {number}" for number in range(40)]
    distances = np.linspace(0.05, 0.3, 40, dtype=np.float32)
    seen = SeenQuestions(words_of(questions), distances, are_words=True)
    return LoadedPolicy(name, FixedPolicy(RoutedArm(model="base", name="base"), "It is."), seen)


def value(gauge: Gauge, name: str) -> float:
    (family,) = gauge.collect()
    return max((s.value for s in family.samples if s.labels["policy"] == name), default=-1.0)


def test_drift_is_told_of_enough_questions_and_taken_back_with_the_policy() -> None:
    window, made = DriftWindow(), policy("drifting:1")
    for number in range(FEWEST - 1):
        window.add(made, f"zum Glück regnet es morgen {number}", None)
    assert value(metrics.ROUTE_DRIFTED, "drifting:1") == -1
    window.add(made, "zum Glück regnet es", None)
    assert value(metrics.ROUTE_DRIFTED, "drifting:1") == 1
    assert value(metrics.ROUTE_DRIFT, "drifting:1") > 0.9
    window.add(policy("drifting:2"), "how long is the warranty", None)
    assert value(metrics.ROUTE_DRIFTED, "drifting:1") == 0


def test_questions_as_before_do_not_drift() -> None:
    window, made = DriftWindow(), policy("steady:1")
    for number in range(FEWEST):
        window.add(made, f"how long is the warranty of product {number}", None)
    assert (value(metrics.ROUTE_DRIFTED, "steady:1"), value(metrics.ROUTE_DRIFT, "steady:1") < 0.1) == (0, True)
