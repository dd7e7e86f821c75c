"""Whether a server is ready: everything is asked, soon, and what is missing is named."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.errors import Unavailable
from plait.serve.api.services import Deployments, deployments
from plait.serve.deployments.probe import Probe
from plait.serve.ingress import build_api


class Part:
    """A deployment whose `is_ready` does what a test wants."""

    def __init__(self, is_ready: Callable[[], Awaitable[object]]) -> None:
        self.is_ready = self
        self.remote = is_ready


async def yes() -> bool:
    return True


async def never() -> bool:
    await asyncio.sleep(60)
    return True


async def no_index() -> bool:
    raise Unavailable("The index does not answer.")


def behind(llm: Any = yes, retriever: Any = yes, embedder: Any = yes) -> Deployments:
    parts: Any = [Part(llm), Part(retriever), Part(embedder)]
    return Deployments(*parts)


def readyz(there: Deployments, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setattr("plait.serve.api.probes._READY_TIMEOUT_S", 0.2)
    api = build_api()
    api.dependency_overrides[deployments] = lambda: there
    response = TestClient(api).get("/readyz")
    return response.status_code, response.text


def test_a_server_all_of_whose_parts_answer_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    assert readyz(behind(), monkeypatch) == (200, '{"status":"ready"}')


def test_parts_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = readyz(behind(llm=never, embedder=never), monkeypatch)
    assert status == 503
    assert "Not there yet: LLM, embedder." in text


@pytest.mark.parametrize("llm", [yes, never])
def test_an_index_that_does_not_answer_is_named_at_once(llm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.perf_counter()
    status, text = readyz(behind(llm=llm, retriever=no_index), monkeypatch)
    assert (status, time.perf_counter() - started < 5) == (503, True)
    assert "The index does not answer." in text


# ------------------------------------------------------------ the probe


async def test_many_who_ask_at_once_and_soon_after_ask_once() -> None:
    asked: list[float] = []
    probe = Probe(lambda: asked.append(time.perf_counter()), "No.", fresh_s=0.2)
    await asyncio.gather(*(probe.check() for _ in range(20)))
    await probe.check()
    assert len(asked) == 1
    await asyncio.sleep(0.25)
    await probe.check()
    assert len(asked) == 2


async def test_a_death_and_a_return_are_seen_within_the_time_that_answers_are_fresh() -> None:
    is_there = True

    def ask() -> None:
        if not is_there:
            raise OSError("refused by 10.1.2.3")

    probe = Probe(ask, "The index does not answer.", fresh_s=0.05)
    await probe.check()
    is_there = False
    await asyncio.sleep(0.06)
    with pytest.raises(Unavailable, match="The index does not answer") as refusal:
        await probe.check()
    assert "10.1.2.3" not in str(refusal.value)  # whoever asks for /readyz needs no key
    is_there = True
    await asyncio.sleep(0.06)
    await probe.check()


async def test_one_that_hangs_is_waited_for_once_and_not_asked_again_meanwhile() -> None:
    asked: list[int] = []
    go_on = threading.Event()

    def hang() -> None:
        asked.append(1)
        go_on.wait(10)

    probe = Probe(hang, "No.", fresh_s=0.0, timeout_s=0.1)
    started = time.perf_counter()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await probe.check()
    assert time.perf_counter() - started < 2
    assert len(asked) == 1
    go_on.set()
    await asyncio.sleep(0.1)
    await probe.check()
