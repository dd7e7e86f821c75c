"""Which replica a request goes to: the same for what belongs together, another when that one is overloaded."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID, RequestMetadata
from ray.serve.request_router import PendingRequest

from plait.engines.engine import Sampling
from plait.model_ids import ModelId
from plait.models.message import Message
from plait.serve.messages.calls import Call
from plait.serve.replica_affinity import AffinityRouter, Sent, affinity_key, ranked

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


# ------------------------------------------------------------ inside Serve


class IdleReplica:
    """As much of a replica as the router asks for."""

    max_ongoing_requests = 100
    multiplexed_model_ids = frozenset[str]()
    node_id = availability_zone = ""

    def __init__(self, name: str) -> None:
        self.replica_id = ReplicaID(unique_id=name, deployment_id=DeploymentID("LLM", "plait"))

    def push_proxy_handle(self, handle: Any) -> None:
        """Nothing to tell."""

    async def get_queue_len(self, *, deadline_s: float) -> int:
        return 0


def pending(request: Call, id: str) -> PendingRequest:
    metadata = RequestMetadata(request_id=id, internal_request_id=id)
    return PendingRequest(args=[request], kwargs={}, metadata=metadata)


@pytest.fixture
async def router() -> AffinityRouter:
    router = AffinityRouter(
        deployment_id=DeploymentID("LLM", "plait"),
        handle_source=DeploymentHandleSource.REPLICA,
        use_replica_queue_len_cache=True,
    )
    router.initialize_state(max_imbalance=1.25, free_load=8, capacity=8)
    router.update_replicas([IdleReplica(name) for name in IDLE])
    return router


async def test_several_answers_of_one_http_request_all_get_a_replica(router: AffinityRouter) -> None:
    chosen = await asyncio.wait_for(
        asyncio.gather(*(router._choose_replica_for_request(pending(call("support"), "same")) for _ in range(4))), 5
    )
    assert len({replica.replica_id for replica in chosen}) == 1


async def test_requests_that_wait_together_each_get_their_own_replica(router: AffinityRouter) -> None:
    names = [f"adapter{i}" for i in range(30)]
    chosen = await asyncio.wait_for(
        asyncio.gather(*(router._choose_replica_for_request(pending(call(name), name)) for name in names)), 5
    )
    homes = [order(f"adapter {name}", IDLE)[0] for name in names]
    assert [replica.replica_id.unique_id for replica in chosen] == homes


async def test_what_is_no_call_goes_to_whoever_has_least_to_do(router: AffinityRouter) -> None:
    for name, load in {"a": 3, "b": 1, "c": 2}.items():
        router.replica_queue_len_cache.update(IdleReplica(name).replica_id, load)
    order_of_loading = PendingRequest(
        args=["support", "/x", False],
        kwargs={},
        metadata=RequestMetadata(request_id="1", internal_request_id="1"),
    )
    replica = await router._choose_replica_for_request(order_of_loading)
    assert replica.replica_id.unique_id == "b"
