"""What names mean: the registry asked seldom, moved aliases followed, an outage outlived."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plait.adapters.rollout import RolloutTraffic
from plait.errors import InvalidInput, ModelNotFound, Unavailable
from plait.model_ids import AdapterRef
from plait.serve.adapters import names as names_module
from plait.serve.adapters.names import AdapterNames
from plait.serve.adapters.served import ServedAdapter, ServedAdapters

CHAMPION = AdapterRef("support", alias="champion")


class Shelf:
    """A registry whose champion the test moves; `error` makes it fail, `delay_s` slow."""

    def __init__(self) -> None:
        self.champion, self.asked = 1, 0
        self.error: Exception | None = None
        self.delay_s = 0.0
        self.candidate: RolloutTraffic | None = None

    def traffic(self, ref: AdapterRef, version: int) -> RolloutTraffic | None:
        return self.candidate if ref == CHAMPION and version == 1 else None

    def resolve(self, ref: AdapterRef) -> Any:
        self.asked += 1
        time.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        version = ref.version or self.champion
        path = Path(f"/{ref.name}/{version}")
        return SimpleNamespace(key=f"{ref.name}:{version}", name=ref.name, version=version, path=path)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def served(tmp_path: Path) -> ServedAdapters:
    return ServedAdapters(tmp_path / "adapters" / "served.json")


@pytest.fixture
def names(shelf: Shelf, served: ServedAdapters, monkeypatch: pytest.MonkeyPatch) -> AdapterNames:
    monkeypatch.setattr(names_module, "FRESH_S", 0.1)
    monkeypatch.setattr(names_module, "_STALE_S", 0.3)
    monkeypatch.setattr(names_module, "_PATIENCE_S", 0.5)
    return AdapterNames(served, shelf)  # type: ignore[arg-type]


async def key(names: AdapterNames, ref: AdapterRef = CHAMPION) -> str:
    return (await names.resolve(ref)).key


async def test_many_requests_ask_the_registry_once(names: AdapterNames, shelf: Shelf) -> None:
    assert set(await asyncio.gather(*(key(names) for _ in range(20)))) == {"support:1"}
    assert shelf.asked == 1


async def test_a_moved_alias_is_followed_in_the_background_while_requests_come(
    names: AdapterNames, shelf: Shelf
) -> None:
    assert await key(names) == "support:1"
    shelf.champion, shelf.delay_s = 2, 0.05
    await asyncio.sleep(0.15)
    started = time.monotonic()
    assert await key(names) == "support:1"  # what was known, at once
    assert time.monotonic() - started < 0.04
    await asyncio.sleep(0.1)
    assert await key(names) == "support:2"


async def test_the_first_request_after_a_long_pause_gets_the_moved_alias(names: AdapterNames, shelf: Shelf) -> None:
    assert await key(names) == "support:1"
    shelf.champion = 2
    await asyncio.sleep(0.35)
    assert await key(names) == "support:2"


async def test_an_outage_of_the_registry_leaves_the_last_answer_in_use(names: AdapterNames, shelf: Shelf) -> None:
    assert await key(names) == "support:1"
    shelf.error = ConnectionError("no route")
    for _ in range(3):
        await asyncio.sleep(0.35)
        assert await key(names) == "support:1"
    shelf.error, shelf.champion = None, 2
    await asyncio.sleep(0.35)
    assert await key(names) == "support:2"


async def test_a_registry_that_hangs_costs_a_request_little(names: AdapterNames, shelf: Shelf) -> None:
    assert await key(names) == "support:1"
    shelf.delay_s = 1.5
    await asyncio.sleep(0.35)
    started = time.monotonic()
    assert await key(names) == "support:1"
    assert time.monotonic() - started < 1.2


async def test_a_name_never_answered_says_that_the_registry_is_down(names: AdapterNames, shelf: Shelf) -> None:
    shelf.error = ConnectionError("no route")
    with pytest.raises(Unavailable, match=r"does not answer \(no route\)"):
        await key(names)


async def test_what_the_registry_refuses_is_not_kept_alive(names: AdapterNames, shelf: Shelf) -> None:
    assert await key(names) == "support:1"
    shelf.error = ModelNotFound("There is no adapter 'support'.")
    await asyncio.sleep(0.35)
    for _ in range(3):
        with pytest.raises(ModelNotFound, match="no adapter 'support'"):
            await key(names)
    assert shelf.asked == 2


async def test_a_name_of_the_admin_api_comes_before_the_registrys_but_not_its_versions(
    names: AdapterNames, served: ServedAdapters
) -> None:
    assert await key(names, AdapterRef("support")) == "support:1"
    served.put(ServedAdapter(name="support", location="/x", generation=served.new_generation()), may_replace=False)
    assert (await key(names, AdapterRef("support"))).startswith("support#")
    assert await key(names, AdapterRef("support", 1)) == "support:1"
    served.remove("support")
    assert await key(names, AdapterRef("support")) == "support:1"


# ------------------------------------------------------------ rollouts


def traffic(weight: float, shadow_share: float = 0.0) -> RolloutTraffic:
    return RolloutTraffic(rollout="r1", candidate=2, stage=0, weight=weight, shadow_share=shadow_share)


async def test_a_rollout_takes_its_share_of_the_alias_alone_and_a_session_stays_with_its_version(
    names: AdapterNames, shelf: Shelf
) -> None:
    units = [f"session {number}" for number in range(1000)]
    answered: dict[float, set[str]] = {}
    for weight in (0.05, 0.25, 0.5):
        shelf.candidate = traffic(weight)
        names._answers.clear()
        drawn = [(unit, await names.draw(CHAMPION, unit)) for unit in units]
        answered[weight] = {unit for unit, found in drawn if found.adapter.key == "support:2"}
        assert {found.fallback.key for _, found in drawn if found.fallback} == {"support:1"}
        assert abs(len(answered[weight]) / len(units) - weight) < 0.04
    assert answered[0.05] < answered[0.25] < answered[0.5]
    for pinned in (AdapterRef("support", 1), AdapterRef("support", 2), AdapterRef("support", alias="other")):
        assert {(await names.draw(pinned, unit)).part for unit in units} == {None}
    assert [candidate.key for candidate in names.candidates()] == ["support:2"]


async def test_a_shadow_changes_no_answer_and_has_a_share_of_them_copied(names: AdapterNames, shelf: Shelf) -> None:
    shelf.candidate = traffic(weight=0.0, shadow_share=0.3)
    drawn = [await names.draw(CHAMPION, str(number)) for number in range(500)]
    assert {found.adapter.key for found in drawn} == {"support:1"}
    shadows = [found.shadow for found in drawn if found.shadow]
    assert {(shadow.candidate, shadow.part.is_candidate) for shadow in shadows} == {("support:2", True)}
    assert 100 < len(shadows) < 200


async def test_an_outage_of_the_registry_leaves_the_weights_as_they_are(names: AdapterNames, shelf: Shelf) -> None:
    shelf.candidate = traffic(weight=1.0)
    assert (await names.draw(CHAMPION, "a")).adapter.key == "support:2"
    shelf.error = ConnectionError("no route")
    await asyncio.sleep(0.35)
    assert (await names.draw(CHAMPION, "a")).adapter.key == "support:2"


# ------------------------------------------------------------ the served set


def test_another_process_sees_a_change_at_once_and_it_outlives_both(tmp_path: Path) -> None:
    file = tmp_path / "served.json"
    one, other = ServedAdapters(file), ServedAdapters(file)
    assert not other.read().adapters
    one.put(ServedAdapter(name="a", location="/a", generation=one.new_generation()), may_replace=False)
    one.pin("a", True)
    assert other.read().adapters["a"].location == "/a"
    assert ServedAdapters(file).read().pinned == {"a"}


def test_a_name_that_comes_back_never_gets_an_old_key(tmp_path: Path) -> None:
    served = ServedAdapters(tmp_path / "served.json")
    keys = []
    for _ in range(3):
        adapter = ServedAdapter(name="a", location="/a", generation=served.new_generation())
        served.put(adapter, may_replace=False)
        keys.append(adapter.key)
        served.remove("a")
    assert len(set(keys)) == 3


def test_a_name_is_taken_until_it_is_replaced_on_purpose(tmp_path: Path) -> None:
    served = ServedAdapters(tmp_path / "served.json")
    served.put(ServedAdapter(name="a", location="/a", generation=1), may_replace=False)
    with pytest.raises(InvalidInput, match=r"'a' has already been loaded\. Set load_inplace"):
        served.put(ServedAdapter(name="a", location="/b", generation=2), may_replace=False)
    served.put(ServedAdapter(name="a", location="/b", generation=2), may_replace=True)
    assert served.read().adapters["a"].location == "/b"


def test_what_was_not_loaded_cannot_be_unloaded(tmp_path: Path) -> None:
    served = ServedAdapters(tmp_path / "served.json")
    served.put(ServedAdapter(name="support", location="/a", generation=1), may_replace=False)
    with pytest.raises(ModelNotFound, match=r"No adapter was loaded as 'suport'\. Did you mean 'support'"):
        served.remove("suport")
