"""A policy from outside the library is one file and one registration."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plait.routing.folder import PolicyAbout, read_policy, write_policy
from plait.routing.policy import POLICIES, RoutedArm, RouteRequest

ABOUT = PolicyAbout(
    comparison="", comparison_sha256="", learner="", seed=0, worth=None, reason="", plait_version="", created_at=""
)


@pytest.fixture
def length() -> Iterator[Any]:
    """Other tests go over all policies that there are."""
    import length_policy

    POLICIES.register(length_policy.LengthConfig)
    yield length_policy
    del POLICIES._sections["length"]
    POLICIES._union = None


def test_it_is_kept_read_and_asked(tmp_path: Path, length: Any) -> None:
    base, grounded = RoutedArm(model="base", name="base"), RoutedArm(model="rag/base", name="rag/base")
    write_policy(tmp_path, length.LengthConfig(short=base, long=grounded, words=3), {}, ABOUT)
    policy = read_policy(tmp_path).policy
    assert [each.arm.name for each in policy.rank(RouteRequest("How long?"))] == ["base", "rag/base"]
    (only,) = policy.rank(RouteRequest("How long is the warranty?", usable=frozenset({"rag/base"})))
    assert (only.arm.name, only.reason) == ("rag/base", "The question has 5 words.")
