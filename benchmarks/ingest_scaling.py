"""How ingestion scales: one core against two, a pipeline against one process, memory from 1x to 20x the documents.

HTML pages of the Python documentation (Debian's python3.11-doc), as often as needed, each copy with a line of its own;
everything, Milvus and Ray included, on the cores of a run, or the stages and Milvus on one core and Ray's daemons and
the driver on another.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from harness.homes import own_home, stop
from harness.results import options, publish, spread

from plait.documents.read import file_table, find_documents
from plait.index.stores.connect import connect_store
from plait.jobs.ingest.embed import Embed, batch_size_of, prompts_of
from plait.jobs.ingest.job import ingest
from plait.jobs.ingest.ledger import start_ledger
from plait.jobs.ingest.pipeline import chunk_files
from plait.jobs.ingest.write import Write
from plait.local.ray_head import connect
from plait.models.source import resolve_model
from plait.recipes import IngestRecipe, load_recipe

PAGES = Path("/usr/share/doc/python3.11-doc/html")
FOLDERS = ("tutorial", "faq", "howto")
WARM_UP = ("faq",)
MANY = 20
_FILES_AT_A_TIME = 16


@dataclass
class Memory:
    """The most MiB that processes held of their own: those of Milvus, and all others."""

    milvus: float = 0.0
    pipeline: float = 0.0


@dataclass
class Runs:
    """Chunks a second beyond the start; peak memory by how often the documents came."""

    one_core: list[float] = field(default_factory=list)
    stages_on_one_core: list[float] = field(default_factory=list)
    two_cores: list[float] = field(default_factory=list)
    in_one_process: list[float] = field(default_factory=list)
    memory: dict[int, Memory] = field(default_factory=dict)
    chunks: dict[int, int] = field(default_factory=dict)


def main() -> None:
    given = options(__doc__ or "", runs=3, cases=["speed", "memory"])
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2 or not PAGES.is_dir():
        raise SystemExit("This needs two cores and the Python documentation: apt-get install python3.11-doc")
    runs, many = Runs(), 4 if given.quick else MANY
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        corpora = {times: _copies(Path(folder), times) for times in (1, 2, many)}
        warm_up = _copies(Path(folder), 1, WARM_UP)
        for number in range(given.runs if "speed" in given.cases else 0):
            with _on(cores[:1]):
                runs.in_one_process.append(_beyond_start(number, warm_up, corpora, "loop", _loop))
                runs.one_core.append(_beyond_start(number, warm_up, corpora, "one", _pipeline))
            with _on(cores), _stages_on(cores[0], cores[1]):
                runs.stages_on_one_core.append(_beyond_start(number, warm_up, corpora, "stages", _pipeline))
            with _on(cores):
                runs.two_cores.append(_beyond_start(number, warm_up, corpora, "two", _pipeline))
            rates = (runs.in_one_process, runs.one_core, runs.stages_on_one_core, runs.two_cores)
            said = (
                "one process {:.0f}, with Ray {:.0f}, its daemons elsewhere {:.0f}; on two cores {:.0f} chunks a second"
            )
            print(said.format(*(measured[-1] for measured in rates)), flush=True)
        with _on(cores):
            for times in (1, many) if "memory" in given.cases else ():
                with _peak_memory() as peak:
                    runs.chunks[times], _ = _pipeline(_recipe(f"memory_{times}", corpora[times]))
                runs.memory[times] = peak
    ratios: dict[str, float] = {}
    if "speed" in given.cases:
        ratios["two_cores"] = round(median(runs.two_cores) / median(runs.one_core), 2)
        ratios["against_one_process"] = round(median(runs.one_core) / median(runs.in_one_process), 2)
        ratios["stages_against_one_process"] = round(median(runs.stages_on_one_core) / median(runs.in_one_process), 2)
    if "memory" in given.cases:
        ratios["memory"] = round(runs.memory[many].pipeline / runs.memory[1].pipeline, 2)
        ratios["memory_of_milvus"] = round(runs.memory[many].milvus / runs.memory[1].milvus, 2)
    publish("ingest_scaling", "How ingestion scales", _body(runs, many), ratios, given)


def _copies(folder: Path, times: int, folders: Sequence[str] = FOLDERS) -> Path:
    """The pages of some folders, so many times, no two the same."""
    pages = folder / f"pages-{times}-{'-'.join(folders)}"
    for copy in range(times):
        for page in sorted(page for name in folders for page in (PAGES / name).rglob("*.html")):
            to = pages / str(copy) / page.relative_to(PAGES)
            to.parent.mkdir(parents=True, exist_ok=True)
            text = page.read_text(encoding="utf-8")
            to.write_text(text.replace("<h1>", f"<h1>{copy} ", 1), encoding="utf-8")
    return pages


def _recipe(collection: str, pages: Path) -> IngestRecipe:
    overrides = [f"collection={collection}", f"sources=[{pages}]", "chunk.max_tokens=200", "dedup.drop=none"]
    return load_recipe(IngestRecipe, "ingest", overrides)


@contextmanager
def _on(cores: list[int]) -> Iterator[None]:
    """Everything that starts in here, on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        stop()
        os.sched_setaffinity(0, before)


@contextmanager
def _stages_on(core: int, other: int) -> Iterator[None]:
    """The stages' workers and Milvus on one core, everything else that was started on the other."""
    before, is_over = os.sched_getaffinity(0), threading.Event()

    def pin() -> None:
        while not is_over.wait(0.2):
            for process in _started_here():
                try:
                    name = " ".join(process.info["cmdline"])
                    is_stage = any(mark in name for mark in ("ray::Map", "plait.local.embedded_milvus"))
                    _pin(process, {core if is_stage else other})
                except psutil.Error:
                    pass  # it has just ended

    pinning = threading.Thread(target=pin)
    pinning.start()
    try:
        yield
    finally:
        is_over.set()
        pinning.join()
        _pin(psutil.Process(), before)


def _pin(process: psutil.Process, cores: set[int]) -> None:
    for thread in process.threads():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(thread.id, cores)


def _started_here() -> Iterator[psutil.Process]:
    """This process, and those of its home."""
    for process in psutil.process_iter(["environ", "cmdline"]):
        if (process.info["environ"] or {}).get("PLAIT_HOME") == os.environ["PLAIT_HOME"]:
            yield process


def _beyond_start(number: int, warm_up: Path, corpora: dict[int, Path], name: str, run: Any) -> float:
    """Chunks a second of the second half: what twice the documents cost more than once."""
    run(_recipe(f"{name}_{number}_warm", warm_up))
    once, twice = (run(_recipe(f"{name}_{number}_{times}", corpora[times])) for times in (1, 2))
    return float((twice[0] - once[0]) / (twice[1] - once[1]))


def _pipeline(recipe: IngestRecipe) -> tuple[int, float]:
    report = ingest(recipe)
    return report.chunks_written, report.seconds


def _loop(recipe: IngestRecipe) -> tuple[int, float]:
    """The same stages one after the other, in this process."""
    prompts = prompts_of(recipe.embedding)
    embed = Embed(recipe, prompts, batch_size_of(recipe, on_gpu=False))
    connect()
    ledger = start_ledger()
    write = Write(recipe, prompts, connect_store(), None, ledger)
    documents = find_documents(recipe.sources).documents
    tokenizer = resolve_model(recipe.embedding.tokenizer_source)
    started = time.perf_counter()
    chunks = 0
    for start in range(0, len(documents), _FILES_AT_A_TIME):
        table = chunk_files(file_table(documents[start : start + _FILES_AT_A_TIME]), recipe, tokenizer, ledger)
        write(embed(table))
        chunks += table.num_rows
    return chunks, time.perf_counter() - started


@contextmanager
def _peak_memory() -> Iterator[Memory]:
    """What this process and what it started held at most, looked at once a second."""
    peak, is_over = Memory(), threading.Event()

    def look() -> None:
        while not is_over.wait(1.0):
            now = Memory()
            for process in _started_here():
                try:
                    held = process.memory_full_info().pss / 2**20
                    if "plait.local.embedded_milvus" in (process.info["cmdline"] or []):
                        now.milvus += held
                    else:
                        now.pipeline += held
                except psutil.Error:
                    pass  # it has just ended
            peak.milvus, peak.pipeline = max(peak.milvus, now.milvus), max(peak.pipeline, now.pipeline)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield peak
    finally:
        is_over.set()
        looking.join()


def _body(runs: Runs, many: int) -> str:
    rate = "{:.0f}".format
    lines: list[str] = []
    if runs.two_cores:
        lines += [
            "| | chunks a second |",
            "|---|---|",
            f"| the stages one after the other in one process, one core | {spread(runs.in_one_process, rate)} |",
            f"| `plait ingest`, one core | {spread(runs.one_core, rate)} |",
            "| `plait ingest`, its stages and Milvus on one core, Ray's daemons and the driver on another | "
            f"{spread(runs.stages_on_one_core, rate)} |",
            f"| `plait ingest`, two cores | {spread(runs.two_cores, rate)} |",
            "",
            "Rates are beyond the start: what twice the documents took more than once. Milvus, Ray's own processes and",
            "all workers share the cores.",
            "",
        ]
    if runs.memory:
        few, more = runs.memory[1], runs.memory[many]
        lines += [
            f"| memory at its peak, MiB | {runs.chunks[1]:,} chunks | {runs.chunks[many]:,} chunks | |",
            "|---|---|---|---|",
        ]
        for who, once, often in (
            ("driver, workers and Ray", few.pipeline, more.pipeline),
            ("Milvus, which holds the index", few.milvus, more.milvus),
        ):
            lines.append(f"| {who} | {once:,.0f} | {often:,.0f} | {often / once:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
