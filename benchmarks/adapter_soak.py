"""Do adapters that load, unload and move under load ever answer for each other, and does memory stay flat?

Each adapter is trained to answer with its own marker. 8 clients check every answer of two replicas that hold less than
a third of the adapters, while one task moves an alias of the registry and one loads, replaces and unloads adapters.
"""

import asyncio
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from harness.counters import counted
from harness.homes import own_home, stop
from harness.marked_adapters import METHODS, PROMPTS, describe, make_marked_adapter, make_marked_model, marker
from harness.meanings import Meanings
from harness.replica_memory import Growth, largest_growth, llm_replicas
from harness.results import options, publish

CLIENTS = 8
MAX_LOADED = 5
PROMOTED_VERSIONS = 6
GRACE_S = 10.0
"""A moved alias is followed within this time: what docs/serve.md promises."""
ALIAS = "support@champion"
AD_HOC = tuple(f"tool-{i}" for i in range(5))
COUNTED = ("loads", "evictions")
KEY = {"Authorization": "Bearer soak"}
MARKERS = {marker(number): number for number in range(100)}


@dataclass
class Soak:
    """What happens, and what was found."""

    url: str
    folders: dict[int, Path]
    """Plain folders by the marker's number."""
    keys: dict[str, int]
    """What every key that can answer stands for; those of the admin API join when they are listed."""
    meanings: dict[str, Meanings]
    replicas: Sequence[psutil.Process]
    until: float
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    named: list[tuple[str, str, int]] = field(default_factory=list)
    """Model asked for, key that answered, marker: judged at the end, when every key is known."""
    memory: list[list[int]] = field(default_factory=list)
    """Resident bytes of every replica, each second."""

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until


def main() -> None:
    given = options(__doc__ or "", minutes=10)
    os.environ["PLAIT_ADMIN_KEY"] = "soak"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        soak = _prepare(Path(folder))
        soak.until = time.monotonic() + given.minutes * 60
        before = {name: counted(f"plait_adapter_{name}_total") for name in COUNTED}
        try:
            asyncio.run(_run(soak))
            for name in COUNTED:
                soak.counts[name] = int(counted(f"plait_adapter_{name}_total") - before[name])
        finally:
            stop()
    for model, key, number in soak.named:
        if soak.keys.get(key) != number:
            soak.wrong.append(f"'{model}' was answered with marker {number} by '{key}', which is {soak.keys.get(key)}")
    growth = largest_growth(soak.memory)
    figures = dict.fromkeys(("streams", "left", "admin_load", "admin_replace", "admin_unload", "promotions"), 0) | {
        **soak.counts,
        "wrong": len(soak.wrong),
        "errors": dict(soak.errors),
        "slowest_promotion_s": round(soak.meanings[ALIAS].slowest_s, 1),
        "memory_mb": round(sum(soak.memory[-1]) / 2**20),
    }
    ratios = {"memory_last_third_by_second": round(growth.ratio, 4)}
    publish("adapter_soak", "Adapters loading, unloading and moving under load", _body(figures, growth), ratios, given,
            figures)  # fmt: skip
    for line in soak.wrong[:20]:
        print(f"WRONG: {line}")
    if soak.wrong or not growth.is_flat:
        raise SystemExit(1)


def _prepare(folder: Path) -> Soak:
    """Model, adapters, registry and server."""
    from plait.adapters.registry import Registry
    from plait.adapters.tracking import start_run, tracking_client
    from plait.local.ray_head import connect
    from plait.model_ids import AdapterRef
    from plait.serve.deploy import deploy, read_config

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for a model so small, threads only wait for each other
    base = make_marked_model(folder / "base")
    methods = list(METHODS)
    folders = {}
    for number in range(1, PROMOTED_VERSIONS + 3 + len(methods)):
        method = methods[number % len(methods)]
        folders[number] = make_marked_adapter(base, folder / "store" / f"adapter-{number}", number, method)
        print(f"trained {marker(number)}: {method}", flush=True)
    torch.set_num_threads(threads)
    registry, client = Registry(), tracking_client()
    keys, meanings = {"base": 0}, {"base": Meanings(), ALIAS: Meanings(GRACE_S)}
    for number in range(1, PROMOTED_VERSIONS + 3):
        name = "support" if number <= PROMOTED_VERSIONS else "billing"
        describe(base, folders[number])
        key = registry.register(name, folders.pop(number), start_run(client, f"{name}-{number}", {})).key
        keys[key] = number
        for model in (key, name):  # the name alone means the newest version, here the last registered
            meanings[model] = Meanings()
    registry.set_alias(AdapterRef("support", 1), "champion")
    meanings |= {name: Meanings() for name in AD_HOC}
    for model, meaning in meanings.items():
        first = keys.get(model, max((n for key, n in keys.items() if key.startswith(f"{model}:")), default=None))
        meaning.change(keys["support:1"] if model == ALIAS else first, 0.0)
    connect()
    overrides = [
        f"llm.model={base}",
        "llm.replicas=2",
        "llm.num_cpus=0.1",
        "llm.max_batch_size=4",
        f"llm.max_loaded_adapters={MAX_LOADED}",
        f"llm.adapter_stores=[{folder / 'store'}]",
        "retrieval=null",
    ]
    url = deploy(read_config("local", overrides), on_progress=print)
    return Soak(url, folders, keys, meanings, llm_replicas(), until=0.0)


async def _run(soak: Soak) -> None:
    async with httpx.AsyncClient(base_url=soak.url, timeout=120) as http, asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(_ask_on(soak, http, random.Random(number)))
        tasks.create_task(_promote_on(soak))
        tasks.create_task(_load_and_unload_on(soak, http, random.Random(CLIENTS)))
        tasks.create_task(_watch_memory(soak))


async def _ask_on(soak: Soak, http: httpx.AsyncClient, chance: random.Random) -> None:
    """A client that asks one question after the other, and sometimes leaves in mid-stream."""
    models = [*soak.meanings, *[ALIAS] * 4]
    while soak.goes_on:
        model, streams = chance.choice(models), chance.random() < 0.5
        asked = [{"role": "user", "content": chance.choice(PROMPTS)}]
        body = {"model": model, "messages": asked, "temperature": 0, "max_tokens": 40, "stream": streams}
        began_at = time.monotonic()
        if streams:
            status, answer, is_whole = await _stream(http, body, leaves=chance.random() < 0.2)
        else:
            response = await http.post("/v1/chat/completions", json=body)
            status, answer, is_whole = response.status_code, response.json(), True
        soak.counts["requests"] += 1
        soak.counts["streams"] += streams
        soak.counts["left"] += not is_whole
        _judge(soak, model, began_at, status, answer, is_whole)
        if status == 429:
            await asyncio.sleep(1)


async def _stream(http: httpx.AsyncClient, body: dict[str, Any], leaves: bool) -> tuple[int, dict[str, Any], bool]:
    """Status, an answer as if it had not been streamed, and whether it is whole."""
    text, answer = "", {}
    async with http.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            return response.status_code, json.loads(await response.aread()), True
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            answer = json.loads(line.removeprefix("data: "))
            if "error" in answer:
                return 500, answer, True
            text += answer["choices"][0]["delta"].get("content", "")
            if leaves and len(text) > 12:
                return 200, {"text": text}, False
    return 200, {"text": text, **answer}, True


def _judge(soak: Soak, model: str, began_at: float, status: int, answer: dict[str, Any], is_whole: bool) -> None:
    name, ended_at = soak.meanings[model], time.monotonic()
    number: int | None = None
    if status == 200:
        text = answer["text"] if "text" in answer else answer["choices"][0]["message"]["content"]
        known = [n for said, n in MARKERS.items() if (said == text if is_whole else said.startswith(text))]
        if len(known) != 1:
            soak.wrong.append(f"'{model}' answered {text!r}, which is no marker")
            return
        number = known[0]
        if is_whole:
            soak.named.append((model, answer["plait"]["model"], number))
    else:
        code = answer["error"]["code"]
        soak.errors[code] += 1
        if status != 404:
            if status != 429:
                soak.wrong.append(f"'{model}' got {status}: {answer['error']['message']}")
            return
    reason = name.why_wrong(number, began_at, ended_at)
    if reason is not None:
        soak.wrong.append(f"'{model}' answered with {number}: {reason}")


async def _promote_on(soak: Soak) -> None:
    """Move the alias through the versions, at times before everybody has followed."""
    from plait.adapters.registry import Registry
    from plait.model_ids import AdapterRef

    registry, name, chance = await asyncio.to_thread(Registry), soak.meanings[ALIAS], random.Random(0)
    version = 1
    while soak.goes_on:
        await asyncio.sleep(chance.uniform(2, 15))
        version = version % PROMOTED_VERSIONS + 1
        name.change(soak.keys[f"support:{version}"], time.monotonic())
        await asyncio.to_thread(registry.set_alias, AdapterRef("support", version), "champion")
        name.changed(time.monotonic())
        soak.counts["promotions"] += 1
        print(f"{ALIAS} is version {version}", flush=True)


async def _load_and_unload_on(soak: Soak, http: httpx.AsyncClient, chance: random.Random) -> None:
    """The admin API: load a name that is free; replace or unload one that is not."""
    while soak.goes_on:
        model = chance.choice(AD_HOC)
        name, number = soak.meanings[model], chance.choice(list(soak.folders))
        order = "load" if name.now is None else chance.choice(("replace", "unload"))
        name.change(None if order == "unload" else number, time.monotonic())
        body = {"lora_name": model, "lora_path": str(soak.folders[number]), "load_inplace": order == "replace"}
        if order == "unload":
            done = await http.post("/v1/unload_lora_adapter", json={"lora_name": model}, headers=KEY)
        else:
            done = await http.post("/v1/load_lora_adapter", json=body, headers=KEY)
        if done.is_success:
            name.changed(time.monotonic())
            soak.counts[f"admin_{order}"] += 1
        else:
            name.refused()
            soak.errors[f"admin {done.json()['error']['code']}"] += 1
            if done.status_code != 429:
                soak.wrong.append(f"{order} of '{model}' got {done.status_code}: {done.json()['error']['message']}")
        if done.is_success and order != "unload":
            cards = (await http.get("/v1/adapters", headers=KEY)).json()["data"]
            own = [card for card in cards if card["name"] == model]
            newest = max(own, key=lambda card: int(card["id"].rpartition("#")[2]))
            soak.keys[newest["id"]] = number
        await asyncio.sleep(chance.uniform(0.1, 0.5))


async def _watch_memory(soak: Soak) -> None:
    while soak.goes_on:
        soak.memory.append([replica.memory_info().rss for replica in soak.replicas])
        if len(soak.memory) % 20 == 1:
            megabytes = " and ".join(f"{size / 2**20:.0f}" for size in soak.memory[-1])
            print(f"{soak.counts['requests']} answers, {len(soak.wrong)} wrong, {megabytes} MB", flush=True)
        await asyncio.sleep(1)


def _body(figures: dict[str, Any], growth: Growth) -> str:
    errors = ", ".join(f"{count} {code}" for code, count in sorted(figures["errors"].items())) or "none"
    lines = [
        f"Adapters ({', '.join(METHODS)}) on a tiny model in bfloat16, each trained to",
        f"answer with a marker of its own. {CLIENTS} clients on 2 replicas that hold {MAX_LOADED} adapters each;",
        "a fifth of the streams is left in the middle.",
        "",
        "| | |",
        "|---|---|",
        f"| answers, all of them checked | {figures['requests']:,} |",
        f"| of these streamed, left in the middle | {figures['streams']:,}, {figures['left']:,} |",
        f"| **wrong answers** | **{figures['wrong']}** |",
        f"| refused, by code | {errors} |",
        f"| loads by replicas, evictions | {figures['loads']}, {figures['evictions']} |",
        "| loaded, replaced, unloaded by the admin API "
        f"| {figures['admin_load']}, {figures['admin_replace']}, {figures['admin_unload']} |",
        f"| promotions | {figures['promotions']} |",
        "| the last request that got an older version began after the promotion "
        f"| by {figures['slowest_promotion_s']} s |",
        f"| memory of both replicas | {figures['memory_mb']} MB |",
        "| of the replica that grew more, from the second third of the time to the last "
        f"| {growth.grown_bytes / 2**20:+.1f} MB ({growth.ratio - 1:+.1%}) |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
