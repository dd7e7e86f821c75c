"""The policy in use is the last one that could be loaded, and a moved alias or a changed file is followed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from counted import counting

from plait.errors import RecipeError, Unavailable
from plait.observability import metrics
from plait.routing.policies.fixed import FixedPolicy
from plait.routing.policy import RoutedArm
from plait.serve.messages.routing_arguments import RoutingArguments
from plait.serve.routing import followed
from plait.serve.routing.followed import FollowedPolicy, LoadedPolicy, PolicySource


def loaded(name: str) -> LoadedPolicy:
    return LoadedPolicy(name, FixedPolicy(RoutedArm(model="base", name="base"), "It is."))


@pytest.fixture(autouse=True)
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request looks at the policy, and waits for that."""
    monkeypatch.setattr(followed, "FRESH_S", -1.0)
    monkeypatch.setattr(followed, "_STALE_S", -1.0)


def saying(*answers: LoadedPolicy | Exception) -> Callable[[LoadedPolicy | None], LoadedPolicy]:
    """A source that says one after the other, and the last one for ever."""
    left = list(answers)

    def load(known: LoadedPolicy | None) -> LoadedPolicy:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return load


def looked(load: Callable[[LoadedPolicy | None], LoadedPolicy]) -> FollowedPolicy:
    """A policy whose first look is over: whether a request comes before or after that is chance."""
    policy = FollowedPolicy(load)
    assert policy._looking is not None
    policy._looking.result()
    return policy


async def name_of(policy: FollowedPolicy) -> str | None:
    found = await policy.current()
    return found.name if found else None


async def test_a_moved_alias_is_followed_and_what_cannot_be_loaded_leaves_the_last() -> None:
    first, second = loaded("made:1"), loaded("made:2")
    failed = counting(metrics.ROUTE_POLICY_LOADS, outcome="failed")
    changed = counting(metrics.ROUTE_POLICY_LOADS, outcome="loaded")
    policy = looked(saying(first, first, Unavailable("Down."), RuntimeError("no policy"), second))
    assert [await name_of(policy) for _ in range(5)] == ["made:1", "made:1", "made:1", "made:2", "made:2"]
    assert (failed(), changed()) == (2, 2)


async def test_while_there_was_none_there_is_none() -> None:
    policy = looked(saying(Unavailable("Down."), Unavailable("Down."), loaded("made:1")))
    assert [await name_of(policy) for _ in range(3)] == [None, "made:1", "made:1"]


async def test_a_source_that_hangs_costs_no_more_than_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    release = threading.Event()
    monkeypatch.setattr(followed, "_FIRST_PATIENCE_S", 0.01)

    def hang(known: LoadedPolicy | None) -> LoadedPolicy:
        release.wait(10)
        return loaded("made:1")

    policy = FollowedPolicy(hang)
    assert await name_of(policy) is None
    release.set()


def test_a_changed_file_of_rules_is_read_anew_and_the_same_is_not_another_policy(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("default: base\nrules: []")
    source = PolicySource(RoutingArguments(rules=str(file)))
    first = source.load(None)
    assert (first.name, source.load(first)) == (str(file), first)
    assert source.load(first) is first
    file.write_text("default: rag/base\nrules: []")
    assert [arm.model for arm in source.load(first).policy.arms] == ["rag/base"]
    file.write_text("default: auto\nrules: []")
    with pytest.raises(RecipeError, match="an arm cannot be auto"):
        source.load(first)
