"""Adapters while serving, over real HTTP on two replicas: the admin API, a promotion, an unload in a stream."""

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from changed_settings import changed_settings
from made_adapters import register_adapter, save_adapter
from safetensors.torch import load_file, save_file

from plait.adapters.registry import Registry
from plait.model_ids import AdapterRef

KEY = {"Authorization": "Bearer an-admin-key"}
MAX_LOADED = 4


@pytest.fixture(scope="module")
def store(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of plain PEFT adapters, the store that the server may open; `wide` has too high a rank."""
    folder = tmp_path_factory.mktemp("store")
    for seed, name in enumerate(("red", "green", "blue"), start=10):
        save_adapter(tiny_model, folder / name, seed)
    save_adapter(tiny_model, folder / "wide", 13, rank=32)
    return folder


@pytest.fixture(scope="module")
def registry(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """`promoted` in two versions, the first its champion."""
    for seed in (1, 2):
        register_adapter("promoted", tiny_model, tmp_path_factory.mktemp("promoted"), seed)
    registry = Registry()
    registry.set_alias(AdapterRef("promoted", 1), "champion")
    return registry


@pytest.fixture(scope="module")
def server(ray_cluster: None, tiny_model: Path, store: Path, registry: Registry) -> Iterator[str]:

    from plait.serve.deploy import deploy, read_config, take_down

    overrides = [
        f"llm.model={tiny_model}",
        "llm.dtype=float32",
        "llm.replicas=2",
        "llm.num_cpus=0.1",
        "llm.max_batch_size=4",
        "llm.max_rank=16",
        f"llm.max_loaded_adapters={MAX_LOADED}",
        f"llm.adapter_stores=[{store}]",
        "llm.pinned=[promoted@champion]",
        "retrieval=null",
        "default_max_tokens=12",
    ]
    try:
        with changed_settings(admin_key="an-admin-key"):
            yield deploy(read_config("local", overrides), on_progress=print)
    finally:
        take_down()


@pytest.fixture
async def client(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:
        yield client


async def ask(client: httpx.AsyncClient, model: str, prompt: str = "the installed") -> httpx.Response:
    body = {"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 8}
    return await client.post("/v1/completions", json=body)


async def text_of(client: httpx.AsyncClient, model: str) -> str:
    answer = await ask(client, model)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


async def load(client: httpx.AsyncClient, name: str, path: object, in_place: bool = False) -> httpx.Response:
    body = {"lora_name": name, "lora_path": str(path), "load_inplace": in_place}
    return await client.post("/v1/load_lora_adapter", json=body, headers=KEY)


async def unload(client: httpx.AsyncClient, name: str) -> httpx.Response:
    return await client.post("/v1/unload_lora_adapter", json={"lora_name": name}, headers=KEY)


async def adapters(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/adapters", headers=KEY)
    assert answer.status_code == 200, answer.text
    return {card["id"]: card for card in answer.json()["data"]}


async def until(is_so: Any, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not await is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


def tiers(card: dict[str, Any]) -> list[str]:
    return [replica["tier"] for replica in card["replicas"]]


async def test_admin_routes_want_the_key(client: httpx.AsyncClient, store: Path) -> None:
    body = {"lora_name": "red", "lora_path": str(store / "red")}
    assert (await client.post("/v1/load_lora_adapter", json=body)).status_code == 401
    assert (await ask(client, "red")).status_code == 404


async def test_an_adapter_is_loaded_in_every_replica_replaced_and_unloaded(
    client: httpx.AsyncClient, store: Path
) -> None:
    loaded = await load(client, "color", store / "red")
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'color' added successfully.")
    red = await text_of(client, "color")
    assert red != await text_of(client, "base")
    assert "color" in [card["id"] for card in (await client.get("/v1/models")).json()["data"]]

    async def is_in_both() -> bool:
        cards = [card for card in (await adapters(client)).values() if card["name"] == "color"]
        return len(cards) == 1 and len(tiers(cards[0])) == 2 and "disk" not in tiers(cards[0])

    await until(is_in_both)
    again = await load(client, "color", store / "green")
    assert again.status_code == 400
    assert "has already been loaded" in again.json()["error"]["message"]
    assert (await load(client, "color", store / "green", in_place=True)).status_code == 200
    # Many prompts, so that both replicas answer: none of them with the old weights.
    texts = {await text_of(client, "color") for _ in range(8)}
    assert len(texts) == 1
    assert texts != {red}
    assert (await unload(client, "color")).text == "Success: LoRA adapter 'color' removed successfully."
    assert (await ask(client, "color")).status_code == 404
    assert (await unload(client, "color")).status_code == 404

    async def is_gone() -> bool:
        return not [card for card in (await adapters(client)).values() if card["name"] == "color"]

    await until(is_gone)


@pytest.mark.parametrize(
    ("name", "path", "status", "message"),
    [
        ("x", "/etc", 400, "lies in none of the stores"),
        ("x", "s3://bucket/x", 400, "lies in none of the stores"),
        ("x", "{store}/gone", 404, "There is no folder"),
        ("x", "{store}/wide", 400, "has rank 32; this server takes at most 16"),
        ("x", "{store}/\0", 400, "is no place of an adapter"),
        ("x", "{store}/" + "a" * 300, 400, "is no path that can be opened"),
        ("x", "never-registered:" + "9" * 4000, 400, "is no adapter name"),
        ("x", "never-registered", 404, "There is no adapter 'never-registered'"),
        ("base", "{store}/red", 400, "reserved"),
        ("x:3", "{store}/red", 400, "Leave out ':version'"),
    ],
)
async def test_what_must_not_be_served_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, store: Path, name: str, path: str, status: int, message: str
) -> None:
    answer = await load(client, name, path.format(store=store))
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]["message"]
    assert (await ask(client, "x")).status_code == 404


def _changed(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _one_nan(file: Path) -> None:
    weights = load_file(file)
    weights[max(weights)][0, 0] = float("nan")
    save_file(weights, file)


HOSTILE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a NaN": ("adapter_model.safetensors", _one_nan, "has values that are not finite numbers"),
    "alpha": ("adapter_config.json", lambda file: _changed(file, lora_alpha=float("nan")), "is no valid JSON"),
    "endless": ("adapter_config.json", lambda file: _changed(file, target_modules="([a-z_.0-9]+)*X"), "do not match"),
    "bracket": ("adapter_config.json", lambda file: _changed(file, target_modules="("), "cannot be matched"),
    "brackets": ("adapter_config.json", lambda file: file.write_text("[" * 100_000), "is no valid JSON"),
    "link": ("adapter_config.json", lambda file: (file.unlink(), file.symlink_to("/etc/passwd")), "outside the stores"),
}


@pytest.mark.parametrize("name", [*HOSTILE])
async def test_a_hostile_adapter_is_refused_while_others_are_answered_as_before(
    client: httpx.AsyncClient, store: Path, name: str
) -> None:
    file, damage, message = HOSTILE[name]
    folder = shutil.copytree(store / "red", store / f"hostile {name}")
    damage(folder / file)
    text = await text_of(client, "base")
    started = time.monotonic()
    loading = asyncio.create_task(load(client, "hostile", folder))
    texts = await asyncio.gather(*(text_of(client, "base") for _ in range(4)))
    refused = await loading
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_input")
    assert message in refused.json()["error"]["message"]
    assert set(texts) == {text}
    assert time.monotonic() - started < 10
    assert (await ask(client, "hostile")).status_code == 404


async def test_a_stream_ends_on_its_adapter_after_that_was_unloaded(client: httpx.AsyncClient, store: Path) -> None:
    assert (await load(client, "leaving", store / "blue")).status_code == 200
    body = {"model": "leaving", "prompt": "x", "temperature": 0, "max_tokens": 450}
    whole = (await client.post("/v1/completions", json=body)).json()["choices"][0]
    async with client.stream("POST", "/v1/completions", json=body | {"stream": True}) as stream:
        lines = stream.aiter_lines()
        received = [await anext(lines)]
        assert (await unload(client, "leaving")).status_code == 200
        (card,) = [card for card in (await adapters(client)).values() if card["name"] == "leaving"]
        assert sum(replica["requests"] for replica in card["replicas"]) == 1
        assert (await ask(client, "leaving")).status_code == 404
        received += [line async for line in lines]
    choices = [json.loads(line.removeprefix("data: "))["choices"] for line in received if line.startswith("data: {")]
    assert "".join(choice[0]["text"] for choice in choices if choice) == whole["text"]


async def test_a_promotion_is_followed_within_ten_seconds_under_load_and_no_answer_is_mixed(
    client: httpx.AsyncClient, registry: Registry
) -> None:
    old, new = await text_of(client, "promoted:1"), await text_of(client, "promoted:2")
    assert old != new
    answers: list[tuple[float, str, str]] = []  # when it was asked for, the version that answered, the text
    is_over = asyncio.Event()

    async def client_loop() -> None:
        while not is_over.is_set():
            asked = time.monotonic()
            answer = await ask(client, "promoted@champion")
            assert answer.status_code == 200, answer.text
            body = answer.json()
            answers.append((asked, body["plait"]["model"], body["choices"][0]["text"]))

    clients = [asyncio.create_task(client_loop()) for _ in range(3)]
    await asyncio.sleep(2)
    await asyncio.to_thread(registry.set_alias, AdapterRef("promoted", 2), "champion")
    moved = time.monotonic()
    await asyncio.sleep(12)
    is_over.set()
    await asyncio.gather(*clients)
    assert {(version, text) for _, version, text in answers} == {("promoted:1", old), ("promoted:2", new)}
    last_old = max(asked for asked, version, _ in answers if version == "promoted:1")
    assert last_old - moved < 10

    async def is_pinned() -> bool:
        cards = await adapters(client)
        return cards["promoted:2"]["pinned"] and not cards["promoted:1"]["pinned"]

    await until(is_pinned)


async def test_a_pinned_adapter_stays_in_memory_when_many_others_are_used(
    client: httpx.AsyncClient, store: Path
) -> None:
    names = [f"many{i}" for i in range(2 * MAX_LOADED)]
    for name in names:
        assert (await load(client, name, store / "red")).status_code == 200
    assert (await client.post(f"/v1/adapters/{names[0]}/pin", headers=KEY)).status_code == 200
    for name in names[1:]:
        await text_of(client, name)
    cards = {card["name"]: card for card in (await adapters(client)).values()}

    async def is_in_both() -> bool:
        card = {card["name"]: card for card in (await adapters(client)).values()}[names[0]]
        return card["pinned"] and len(tiers(card)) == 2 and "disk" not in tiers(card)

    await until(is_in_both)
    held: Counter[str] = Counter()
    for card in cards.values():
        held.update(replica["replica"] for replica in card["replicas"] if replica["tier"] != "disk")
    assert max(held.values()) <= MAX_LOADED
    assert (await client.post(f"/v1/adapters/{names[0]}/unpin", headers=KEY)).status_code == 200
    for name in names:
        await unload(client, name)


async def test_requests_for_one_adapter_meet_in_one_replica(client: httpx.AsyncClient, store: Path) -> None:
    assert (await load(client, "meeting", store / "green")).status_code == 200
    body = {"model": "meeting", "prompt": "x", "temperature": 0, "max_tokens": 200}
    running = [asyncio.create_task(client.post("/v1/completions", json=body)) for _ in range(3)]
    most = [0]

    async def is_running() -> bool:
        (card,) = [card for card in (await adapters(client)).values() if card["name"] == "meeting"]
        most[:] = sorted(replica["requests"] for replica in card["replicas"])
        return sum(most) == 3 or all(task.done() for task in running)

    await until(is_running)
    await asyncio.gather(*running)
    await unload(client, "meeting")
    assert most[-1] == 3, most
