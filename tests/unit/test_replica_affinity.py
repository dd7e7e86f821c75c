"""Which replica a request goes to: the same for what belongs together, another when that one is overloaded."""

from collections import Counter

from plait.model_ids import ModelId
from plait.models.chat import Message
from plait.serve.calls import Call
from plait.serve.engines.engine import Sampling
from plait.serve.replica_affinity import Sent, affinity_key, ranked

IDLE = {"a": 0, "b": 0, "c": 0}


def call(model: str = "base", text: str = "hello", prompt: str | None = None) -> Call:
    messages = None if prompt is not None else (Message("system", "S" * 300), Message("user", text))
    return Call(ModelId.parse(model), Sampling(max_tokens=1), messages, prompt or "")


def test_requests_for_an_adapter_meet_whatever_they_ask() -> None:
    assert affinity_key(call("support", "one")) == affinity_key(call("rag/support@champion", "two"))
    assert affinity_key(call("support")) != affinity_key(call("sales"))


def test_prompts_of_the_base_model_meet_when_they_begin_alike() -> None:
    assert affinity_key(call(text="one")) == affinity_key(call(text="two"))
    assert affinity_key(call(prompt="one")) != affinity_key(call(prompt="two"))


def order(key: str, loads: dict[str, int], holders: tuple[str, ...] = (), free_load: int = 1) -> list[str]:
    return ranked(key, loads, holders, max_imbalance=1.25, free_load=free_load)


def test_every_router_gives_the_same_order_and_keys_spread_over_all_replicas() -> None:
    assert order("x", IDLE) == order("x", dict(reversed(IDLE.items())))
    first = Counter(order(f"adapter {i}", IDLE)[0] for i in range(300))
    assert min(first.values()) > 60


def test_a_new_replica_takes_over_only_its_own_share() -> None:
    before = {i: order(f"adapter {i}", IDLE)[0] for i in range(300)}
    after = {i: order(f"adapter {i}", IDLE | {"d": 0})[0] for i in range(300)}
    moved = {i for i in before if before[i] != after[i]}
    assert {after[i] for i in moved} == {"d"}
    assert 40 < len(moved) < 120


def test_who_holds_it_comes_before_home_until_it_has_its_share() -> None:
    home, second, _ = order("x", IDLE)
    assert order("x", IDLE, (second,))[0] == second
    assert order("x", IDLE, (home, second))[0] == home
    assert order("x", {**dict.fromkeys(IDLE, 8), home: 13}, (home, second))[0] == second


def test_a_busy_moment_at_home_is_waited_for_and_an_overload_is_not() -> None:
    home = order("x", IDLE)[0]
    assert order("x", {**dict.fromkeys(IDLE, 8), home: 13}, (home,))[0] == home  # the mean is 10: a share is 13
    assert order("x", {**dict.fromkeys(IDLE, 8), home: 20}, (home,))[0] != home


def test_a_replica_whose_batch_has_places_is_not_overloaded() -> None:
    home = order("x", IDLE)[0]
    assert order("x", IDLE | {home: 3}, free_load=4)[0] == home
    assert order("x", IDLE | {home: 4}, free_load=4)[-1] == home


def test_what_was_sent_of_late_is_held_and_what_came_before_is_not() -> None:
    sent = Sent(capacity=2)
    for key in ("one", "two", "one", "three"):
        sent.add(key, "a")
    assert [sent.holders(key, ["a", "b"]) for key in ("one", "two", "three")] == [{"a"}, set(), {"a"}]
    assert sent.holders("one", ["b"]) == set()
    assert sent.holders("one", ["a", "b"]) == set()  # a replica that left and came back holds nothing
