"""The queue of jobs: order, bound, survival, room; retries."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import InvalidInput, Overloaded, PlaitError, Unavailable
from plait.jobs.submission.attempts import run_with_retries
from plait.jobs.submission.order import JobOrder
from plait.jobs.submission.preflight import check_resources
from plait.jobs.submission.queue import Queue, Ticket, in_order
from plait.jobs.submission.queue_runner import drain
from plait.jobs.submission.room import has_room


def ticket(name: str, priority: int = 0, since: float = 0, url: str = "http://a") -> Ticket:
    order = JobOrder(id=name, kind="train", recipe={}, title=name)
    return Ticket(order=order, priority=priority, since=since, url=url, token="t", is_local=False, runtime_env={})


@pytest.fixture
def shipment(tmp_path: Path) -> Path:
    folder = tmp_path / "shipment"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("{}")
    return folder


def names(tickets: Sequence[Ticket]) -> list[str]:
    return [each.order.id for each in tickets]


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(0, 1e9)), max_size=20))
def test_higher_priority_goes_first_and_of_equals_the_earlier(given_: list[tuple[int, float]]) -> None:
    tickets = [ticket(f"{i:02}", priority, since) for i, (priority, since) in enumerate(given_)]
    ordered = in_order(tickets)
    assert sorted(names(ordered)) == names(tickets)
    for one, next_ in pairwise(ordered):
        assert one.priority > next_.priority or (one.priority == next_.priority and one.since <= next_.since)


def test_a_queue_survives_whoever_filled_it(tmp_path: Path, shipment: Path) -> None:
    assert Queue(tmp_path / "q", 9).put(ticket("low"), shipment) == 1
    assert Queue(tmp_path / "q", 9).put(ticket("high", priority=1), shipment) == 1
    again = Queue(tmp_path / "q", 9)
    assert names(again.waiting()) == ["high", "low"]
    assert (again.shipment("low") / "recipe.yaml").is_file()
    assert (tmp_path / "q" / "low" / "ticket.json").stat().st_mode & 0o077 == 0  # it holds a token


def test_a_full_queue_says_so(tmp_path: Path, shipment: Path) -> None:
    queue = Queue(tmp_path / "q", 1)
    queue.put(ticket("a"), shipment)
    with pytest.raises(Overloaded, match=r"queue is full: 1 jobs wait.*PLAIT_QUEUE_LIMIT"):
        queue.put(ticket("b"), shipment)
    assert queue.remove("a")
    queue.put(ticket("b"), shipment)


def test_jobs_go_in_order_while_there_is_room_and_none_overtakes(tmp_path: Path, shipment: Path) -> None:
    queue = Queue(tmp_path / "q", 9)
    for each in (ticket("small", since=2), ticket("large", since=1), ticket("elsewhere", since=3, url="http://b")):
        queue.put(each, shipment)
    sent: list[str] = []
    room = {"large": False, "small": True, "elsewhere": True}
    went = drain(queue, lambda t: room[t.order.id], lambda _, t: sent.append(t.order.id))
    assert went == sent == ["elsewhere"]  # small fits, but waits behind large
    room["large"] = True
    assert drain(queue, lambda t: room[t.order.id], lambda _, t: sent.append(t.order.id)) == ["large", "small"]
    assert queue.waiting() == []


def test_a_cluster_that_is_away_keeps_its_jobs_and_one_that_refuses_says_why(tmp_path: Path, shipment: Path) -> None:
    queue = Queue(tmp_path / "q", 9)
    queue.put(ticket("a"), shipment)

    def away(_: Ticket) -> bool:
        raise Unavailable("no dashboard")

    def refuses(_: Queue, __: Ticket) -> None:
        raise PlaitError("never")

    assert drain(queue, away) == []
    assert names(queue.waiting()) == ["a"]
    assert drain(queue, lambda _: True, refuses) == []
    assert queue.waiting() == []
    assert [each.error for each in queue.refused()] == ["never"]


def test_room_is_what_neither_ray_nor_a_job_of_ours_has_taken() -> None:
    nodes = [{"CPU": 4.0}, {"CPU": 4.0, "GPU": 2.0}]
    assert has_room({"CPU": 4, "GPU": 2}, nodes, {"CPU": 4}, [])
    assert not has_room({"CPU": 5}, nodes, {"CPU": 4}, [])
    assert not has_room({"GPU": 1}, nodes, {}, [{"GPU": 2}])  # submitted, not yet seen in use
    assert has_room({"CPU": 0, "GPU": 0}, nodes, {"CPU": 8}, [])


def test_more_than_the_cluster_has_or_can_scale_to_is_refused() -> None:
    nodes = [{"CPU": 4.0}]
    with pytest.raises(InvalidInput, match=r"needs 2 GPUs, but the cluster has 0\. Lower"):
        check_resources({"CPU": 1, "GPU": 2}, nodes)
    with pytest.raises(InvalidInput, match=r"needs 9 CPUs, but the cluster has 4 and can scale to 8"):
        check_resources({"CPU": 9}, nodes, {"CPU": 8})
    check_resources({"CPU": 8, "GPU": 1}, nodes, {"CPU": 8, "GPU": 1})


@pytest.mark.parametrize(
    ("codes", "retries", "last", "pauses"),
    [
        ([-9, 1, 0], 3, 0, [5, 10]),
        ([1, 1], 1, 1, [5]),
        ([2], 3, 2, []),  # a wrong recipe gets no better
        ([130], 3, 130, []),  # stopped
        ([143], 3, 143, []),
        ([1] * 9, 8, 1, [5, 10, 20, 40, 80, 160, 300, 300]),
    ],
)
def test_what_fails_is_started_again_after_growing_pauses(
    codes: list[int], retries: int, last: int, pauses: list[float]
) -> None:
    left, waited, said = iter(codes), list[float](), list[str]()
    assert run_with_retries(lambda: next(left), retries, waited.append, said.append) == last
    assert waited == pauses
    assert len(said) == len(pauses)
    assert next(left, None) is None
