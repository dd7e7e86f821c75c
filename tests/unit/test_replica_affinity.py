"""Which replica a request goes to: the same for what belongs together, another when that one is overloaded."""

from collections import Counter

from plait.model_ids import ModelId
from plait.models.chat import Message
from plait.serve.calls import Call
from plait.serve.engines.engine import Sampling
from plait.serve.replica_affinity import affinity_key, ranked

IDLE = {"a": 0, "b": 0, "c": 0}


def call(model: str = "base", text: str = "hello", prompt: str | None = None) -> Call:
    messages = None if prompt is not None else (Message("system", "S" * 300), Message("user", text))
    return Call(ModelId.parse(model), Sampling(max_tokens=1), messages, prompt or "")


def test_requests_for_an_adapter_meet_whatever_they_ask() -> None:
    assert affinity_key(call("support", "one")) == affinity_key(call("rag/support", "two"))
    assert affinity_key(call("support")) != affinity_key(call("sales"))


def test_prompts_of_the_base_model_meet_when_they_begin_alike() -> None:
    assert affinity_key(call(text="one")) == affinity_key(call(text="two"))
    assert affinity_key(call(prompt="one")) != affinity_key(call(prompt="two"))


def test_every_router_gives_the_same_order_and_keys_spread_over_all_replicas() -> None:
    assert ranked("x", IDLE, 1.25, 1) == ranked("x", dict(reversed(IDLE.items())), 1.25, 1)
    first = Counter(ranked(f"adapter {i}", IDLE, 1.25, 1)[0] for i in range(300))
    assert min(first.values()) > 60


def test_a_new_replica_takes_over_only_its_own_share() -> None:
    before = {i: ranked(f"adapter {i}", IDLE, 1.25, 1)[0] for i in range(300)}
    after = {i: ranked(f"adapter {i}", IDLE | {"d": 0}, 1.25, 1)[0] for i in range(300)}
    moved = {i for i in before if before[i] != after[i]}
    assert {after[i] for i in moved} == {"d"}
    assert 40 < len(moved) < 120


def test_an_overloaded_replica_comes_last_and_one_whose_batch_has_places_is_not_overloaded() -> None:
    preferred, *_ = ranked("x", IDLE, 1.25, 4)
    assert ranked("x", IDLE | {preferred: 3}, 1.25, 4)[0] == preferred
    assert ranked("x", IDLE | {preferred: 4}, 1.25, 4)[-1] == preferred
    busy_alike = dict.fromkeys(IDLE, 40)
    assert ranked("x", busy_alike, 1.25, 4)[0] == preferred
