"""How many adapters do two replicas load when requests go to the one that has theirs, and when they go anywhere?

20 adapters, at most 12 in a replica's memory, 16 clients. Plait's router against Ray Serve's own (power of two choices)
and against chance, on a tiny model: what is counted is loads, which do not depend on the model.
"""

import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from harness.homes import own_home, stop
from harness.results import options, publish, spread
from harness.tiny_model import make_adapters, make_model
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

ADAPTERS = 20
MAX_LOADED = 12
CLIENTS = 16
POLICIES = ("plait", "power of two choices", "chance")
POPULARITIES = {"all alike": 0.0, "Zipf, exponent 1": 1.0}


class ChanceRouter(RequestRouter):
    """A replica drawn at random, whatever it has to do."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True
        return [[replica] for replica in random.sample(candidate_replicas, len(candidate_replicas))]


def main() -> None:
    given = options(__doc__ or "")
    requests = 200 if given.quick else 1000
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        model, names = _prepare(Path(folder))
        loads: dict[tuple[str, str], list[float]] = {}
        for number in range(given.runs):
            asked = [_asked(names, exponent, requests, seed=number) for exponent in POPULARITIES.values()]
            for policy in POLICIES:
                for popularity, count in zip(POPULARITIES, _loads(policy, model, asked), strict=True):
                    loads.setdefault((popularity, policy), []).append(count * 1000 / requests)
        stop()
    ratios = {
        f"loads_of_{peer}_by_plait_{shown}": round(
            median(loads[popularity, policy]) / max(median(loads[popularity, "plait"]), 1), 2
        )
        for popularity, shown in (("all alike", "uniform"), ("Zipf, exponent 1", "zipf"))
        for policy, peer in (("power of two choices", "power_of_two"), ("chance", "chance"))
    }
    publish("replica_routing", "Requests to replicas that have their adapter", _body(loads), ratios, given)


def _prepare(folder: Path) -> tuple[Path, list[str]]:
    """The model, and the names of adapters that a server of this home serves."""
    from plait.local.ray_head import connect
    from plait.serve.adapters.served import ServedAdapter, ServedAdapters
    from plait.settings import settings

    connect()
    model = make_model(folder / "model")
    root = settings().root / "adapters"
    served = ServedAdapters(root / "served.json")
    for path in make_adapters(model, root, ADAPTERS):
        served.put(ServedAdapter(name=path.name, location=str(path), generation=served.new_generation()), False)
    return model, list(served.read().adapters)


def _asked(names: Sequence[str], exponent: float, requests: int, seed: int) -> list[str]:
    drawn = random.Random(seed)
    weights = [1 / rank**exponent for rank in range(1, len(names) + 1)]
    return drawn.choices(drawn.sample(names, len(names)), weights, k=requests)


def _loads(policy: str, model: Path, rounds: Sequence[Sequence[str]]) -> list[float]:
    """Adapters that two new replicas load while they answer each round, those loaded ahead left out."""
    from ray import serve
    from ray.serve.config import RequestRouterConfig

    from plait.serve.deployments.llm import LLM
    from plait.serve.messages.arguments import LLMArguments
    from plait.serve.replica_affinity import AffinityRouter

    arguments = LLMArguments(model=str(model), dtype="float32", max_loaded_adapters=MAX_LOADED, max_context_tokens=128)
    routing: dict[str, Any] = {"power of two choices": {}, "chance": {"request_router_class": ChanceRouter}}
    routing["plait"] = {
        "request_router_class": AffinityRouter,
        "request_router_kwargs": {
            "max_imbalance": arguments.max_queue_imbalance,
            "free_load": arguments.max_batch_size,
            "capacity": MAX_LOADED,
        },
    }
    deployment = serve.deployment(
        LLM,
        num_replicas=2,
        max_ongoing_requests=1024,
        request_router_config=RequestRouterConfig(**routing[policy]),
        ray_actor_options={"num_cpus": 0.1},
    )
    # A name of its own each time: Serve keeps the handle of an application, and with it the router that it had first.
    name = f"routing-{uuid4().hex[:8]}"
    handle = serve.run(deployment.bind(arguments, 0), name=name, route_prefix=None).options(stream=True)
    loads = []
    with ThreadPoolExecutor(CLIENTS) as clients:
        for asked in rounds:
            before, started = _counted(), time.perf_counter()
            list(clients.map(lambda name: _ask(handle, name), asked))
            loads.append(_counted() - before)
            rate = len(asked) / (time.perf_counter() - started)
            print(f"{policy}: {loads[-1]:.0f} loads, {rate:.0f} requests/s", flush=True)
    serve.delete(name)
    return loads


def _ask(handle: Any, name: str) -> None:
    from plait.engines.engine import Sampling
    from plait.model_ids import ModelId
    from plait.serve.messages.calls import Call

    for _ in handle.generate.remote(Call(ModelId.parse(name), Sampling(max_tokens=4), prompt="which version?")):
        pass


def _counted() -> float:
    from plait.observability.exporter import NodeCollector
    from plait.settings import settings

    samples = [s for family in NodeCollector(settings().metrics_dir).collect() for s in family.samples]
    return sum(s.value for s in samples if s.name == "plait_adapter_loads_total")


def _body(loads: dict[tuple[str, str], list[float]]) -> str:
    lines = [
        f"Adapters loaded per 1,000 requests by two replicas: {ADAPTERS} adapters, at most {MAX_LOADED} in a replica's",
        f"memory, {CLIENTS} clients; first adapters that are all asked for alike, then some more than others.",
        "",
        "| popularity of adapters | Plait's router | power of two choices (Ray Serve's own) | chance |",
        "|---|---|---|---|",
    ]
    for popularity in POPULARITIES:
        cells = [spread(loads[popularity, policy]) for policy in POLICIES]
        lines.append(f"| {popularity} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
