"""How soon does a server answer, and what does it take of memory and CPU, against an application of Ray Serve's alone?

The demo's server: Gemma 3 270M in bfloat16, the embedding model, an index of the pages in docs/. Both start Ray and all
else anew. Memory is the proportional set size of every process after one answer with retrieval and one without; CPU is
that of all processes while nobody asks.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
from harness.homes import own_home, stop
from harness.processes import cores_used, memory_by_name, processes_of
from harness.results import ROOT, options, publish, spread

from plait.local.process import free_port
from plait.models.source import resolve_model
from plait.recipes import DEFAULT_MODEL
from plait.settings import settings

PLAIT = str(Path(sys.executable).parent / "plait")
_SETTLED_S = 20.0
_STARTS = 10
_SHOWN_BYTES = 40e6
"""Processes that take less are summed up in one line of the table."""


@dataclass
class Results:
    """What each round measured."""

    ready_s: list[float] = field(default_factory=list)
    bare_ready_s: list[float] = field(default_factory=list)
    memory: list[dict[str, int]] = field(default_factory=list)
    """Bytes by process."""
    bare_memory: list[dict[str, int]] = field(default_factory=list)
    idle_cores: list[float] = field(default_factory=list)
    bare_idle_cores: list[float] = field(default_factory=list)
    help_s: list[float] = field(default_factory=list)
    interpreter_s: list[float] = field(default_factory=list)


def main() -> None:
    given = options(__doc__ or "")
    idle_s = 20.0 if given.quick else 60.0
    results = Results()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        weights = _prepare()
        try:
            for _ in range(given.runs):
                _bare_serve(results, Path(folder), idle_s)
                _plait(results, idle_s)
                _commands(results)
        finally:
            stop()
    ratios = {
        "replica_memory_vs_weights": median(m["the LLM's replica"] for m in results.memory) / weights,
        "server_memory_gb": _total_gb(results.memory),
        "bare_serve_memory_gb": _total_gb(results.bare_memory),
        "seconds_to_ready": median(results.ready_s),
        "seconds_to_ready_vs_bare_serve": median(results.ready_s) / median(results.bare_ready_s),
        "idle_cores": median(results.idle_cores),
        "help_vs_bare_interpreter": median(results.help_s) / median(results.interpreter_s),
    }
    ratios = {name: round(value, 3) for name, value in ratios.items()}
    publish("first_contact", "Start, memory and idling of a server", _body(results, weights), ratios, given)


def _prepare() -> int:
    """Make the index, and what is made once for a home: the base model dequantised, the kernels compiled.

    Returns: bytes of the base model's weights.
    """
    from plait.engines.torch.kernels import kernels

    model = resolve_model(DEFAULT_MODEL)
    kernels()
    _run("ingest", str(ROOT / "docs"), "collection=demo")
    _run("stop")
    return sum(file.stat().st_size for file in model.glob("*.safetensors"))


def _plait(results: Results, idle_s: float) -> None:
    started = time.perf_counter()
    _run("serve", "local", "retrieval.collection=demo", "retrieval.top_k=2", "--detach")
    with httpx.Client(base_url=f"http://127.0.0.1:{settings().http_port}", timeout=120, trust_env=False) as client:
        client.get("/v1/models").raise_for_status()
        results.ready_s.append(time.perf_counter() - started)
        for model in ("base", "rag/base"):
            messages = [{"role": "user", "content": "What does the watcher do?"}]
            body = {"model": model, "messages": messages, "max_tokens": 16, "temperature": 0}
            client.post("/v1/chat/completions", json=body).raise_for_status()
    time.sleep(_SETTLED_S)
    results.idle_cores.append(cores_used(settings().root, idle_s))
    results.memory.append(memory_by_name(processes_of(settings().root)))
    _run("stop")
    print(f"plait: ready in {results.ready_s[-1]:.1f} s, {_total_gb(results.memory[-1:]):.2f} GB, "
          f"{results.idle_cores[-1]:.3f} of a core idle", flush=True)  # fmt: skip


def _bare_serve(results: Results, folder: Path, idle_s: float) -> None:
    home = folder / "bare"  # nothing is put there: it marks the processes
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="b-") as rays:  # a socket's path must be short
        command = [sys.executable, str(ROOT / "benchmarks" / "peers" / "empty_serve.py"), str(free_port()), rays]
        environment = os.environ | {"PLAIT_HOME": str(home)}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        ) as process:  # fmt: skip
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                raise SystemExit("Ray Serve did not start.")
            results.bare_ready_s.append(time.perf_counter() - started)
            time.sleep(_SETTLED_S)
            results.bare_idle_cores.append(cores_used(home, idle_s))
            results.bare_memory.append(memory_by_name(processes_of(home)))
    print(f"Ray Serve alone: ready in {results.bare_ready_s[-1]:.1f} s, {_total_gb(results.bare_memory[-1:]):.2f} GB, "
          f"{results.bare_idle_cores[-1]:.3f} of a core idle", flush=True)  # fmt: skip


def _commands(results: Results) -> None:
    """`plait --help` and an interpreter that does nothing, turn by turn."""
    for _ in range(_STARTS):
        results.help_s.append(_seconds([PLAIT, "--help"]))
        results.interpreter_s.append(_seconds([sys.executable, "-c", "pass"]))


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _run(*arguments: str) -> None:
    subprocess.run([PLAIT, *arguments], check=True, stdout=subprocess.DEVNULL)


def _total_gb(rounds: Sequence[dict[str, int]]) -> float:
    return median(sum(memory.values()) for memory in rounds) / 1e9


def _body(results: Results, weights: int) -> str:
    seconds, gigabytes, cores = "{:.1f}".format, "{:.2f}".format, "{:.3f}".format
    replica = [memory["the LLM's replica"] for memory in results.memory]

    def totals(rounds: Sequence[dict[str, int]]) -> str:
        return spread([sum(memory.values()) / 1e9 for memory in rounds], gigabytes)

    lines = [
        "The demo's server: Gemma 3 270M in bfloat16, an embedding model, 16 documents in the embedded Milvus;",
        "against an application of Ray Serve's that answers with a word. Memory is the proportional set size of all",
        "processes, after two answers; idle is what all processes use of a core while nobody asks.",
        "",
        "| | Plait | Ray Serve alone |",
        "|---|---|---|",
        f"| seconds until it answers | {spread(results.ready_s, seconds)} | {spread(results.bare_ready_s, seconds)} |",
        f"| memory, GB | {totals(results.memory)} | {totals(results.bare_memory)} |",
        f"| idle, of a core | {spread(results.idle_cores, cores)} | {spread(results.bare_idle_cores, cores)} |",
        "",
        f"The LLM's replica takes {median(replica) / 1e9:.2f} GB, {median(replica) / weights:.2f} times the "
        f"{weights / 1e9:.2f} GB of its weights.",
        f"`plait --help` takes {median(results.help_s) * 1000:.0f} ms, "
        f"{median(results.help_s) / median(results.interpreter_s):.1f} times an interpreter that does nothing.",
        "",
        "| memory by process, of the last start | Plait, MB | Ray Serve alone, MB |",
        "|---|---|---|",
        *_by_process(results.memory[-1], results.bare_memory[-1]),
    ]
    return "\n".join(lines)


def _by_process(ours: dict[str, int], bare: dict[str, int]) -> list[str]:
    names = sorted(ours | bare, key=lambda name: -max(ours.get(name, 0), bare.get(name, 0)))
    large = [name for name in names if max(ours.get(name, 0), bare.get(name, 0)) >= _SHOWN_BYTES]
    rest = [name for name in names if name not in large]

    def megabytes(memory: dict[str, int], of: Sequence[str]) -> str:
        found = sum(memory.get(name, 0) for name in of)
        return f"{found / 1e6:.0f}" if found else ""

    lines = [f"| {name} | {megabytes(ours, [name])} | {megabytes(bare, [name])} |" for name in large]
    return [*lines, f"| what takes less than 40 MB | {megabytes(ours, rest)} | {megabytes(bare, rest)} |"]


if __name__ == "__main__":
    main()
