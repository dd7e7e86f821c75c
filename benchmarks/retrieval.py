"""Which way of searching finds the right place, and what does it cost?

Sets of questions, each with one right place: the questions of Python's FAQ (right: the section that is headed by the
question), names from Python's own inventory (right: the page that defines them) written out (optparse.OptionParser),
bare (add_option) and in a question (what does add_option do?), and the questions about installed packages of
examples/environment (right: the package's document). All but the last are asked of Python's documentation (Debian's
python3.11-doc): FAQ, tutorial and 60 pages of the library.
"""

import math
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness.homes import own_home, stop
from harness.results import ROOT, options, publish

from plait.evaluation.intervals import wilson
from plait.index.collection import Index
from plait.jobs.ingest.job import ingest
from plait.models.endpoint import embedding_of
from plait.recipes import IngestRecipe, load_recipe
from plait.retrieval.names import is_name
from plait.retrieval.passage import Passage
from plait.retrieval.request import Retrieval
from plait.retrieval.retriever import Retriever

_PYTHON_DOCS = Path("/usr/share/doc/python3.11-doc/html")
_PARTS = ("faq", "tutorial")
_LIBRARY_PAGES = 60
_QUESTIONS = 150
_DEPTH = 10
_WAYS = {
    "BM25": Retrieval(top_k=_DEPTH, mode="bm25"),
    "dense": Retrieval(top_k=_DEPTH, mode="dense"),
    "hybrid, ranks": Retrieval(top_k=_DEPTH, fusion="ranks"),
    "hybrid, dense 0.3": Retrieval(top_k=_DEPTH, dense_weight=0.3),
    "hybrid, dense 0.5": Retrieval(top_k=_DEPTH, dense_weight=0.5),
    "hybrid, dense 0.7": Retrieval(top_k=_DEPTH, dense_weight=0.7),
    "hybrid (default)": Retrieval(top_k=_DEPTH),
    "hybrid + late interaction": Retrieval(top_k=_DEPTH, rerank="late-interaction"),
}


@dataclass(frozen=True)
class Question:
    """A question, and whether a passage is from the right place."""

    text: str
    is_right: Callable[[Passage], bool]


@dataclass(frozen=True)
class Quality:
    """Of one way on one set: `ranks` of the first right passage, 0 where there is none; milliseconds a question."""

    ranks: list[int]
    times_ms: list[float]

    def recall(self, k: int) -> float:
        return sum(0 < rank <= k for rank in self.ranks) / len(self.ranks)

    @property
    def mrr(self) -> float:
        return sum(1 / rank for rank in self.ranks if rank) / len(self.ranks)

    @property
    def ndcg(self) -> float:
        return sum(1 / math.log2(1 + rank) for rank in self.ranks if rank) / len(self.ranks)

    def row(self) -> str:
        found = wilson(sum(rank == 1 for rank in self.ranks), len(self.ranks))
        first = f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
        p95_ms = sorted(self.times_ms)[math.ceil(0.95 * len(self.times_ms)) - 1]
        return (
            f"{first} | {self.recall(5):.2f} | {self.recall(10):.2f} | {self.mrr:.3f} | {self.ndcg:.3f} "
            f"| {median(self.times_ms):.0f}, {p95_ms:.0f}"
        )


def main() -> None:
    given = options(__doc__ or "", runs=1)
    lines = ["| questions | way | recall@1 (95%) | @5 | @10 | MRR@10 | nDCG@10 | ms: median, p95 |", "|" + "---|" * 8]
    found: dict[str, dict[str, Quality]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        sets = {"packages": _packages(Path(folder))}
        if not given.quick:
            sets |= _python_docs(Path(folder))
        for name, (retriever, questions) in sets.items():
            found[name] = {way: _ask(retriever, questions, how) for way, how in _WAYS.items()}
            lines += [f"| {name}, {len(questions)} | {way} | {quality.row()} |" for way, quality in found[name].items()]
            print("\n".join(lines[-len(_WAYS) :]), flush=True)
        stop()
    ratios = {
        f"{name}: {way}": round(quality.mrr / ways["dense"].mrr, 3)
        for name, ways in found.items()
        for way, quality in ways.items()
    }
    publish("retrieval", "Ways of searching", "\n".join(lines), ratios, given)


def _ask(retriever: Retriever, questions: Sequence[Question], how: Retrieval) -> Quality:
    retriever.retrieve([questions[0].text], how)  # the first one warms up
    ranks, times_ms = [], []
    for question in questions:
        started = time.perf_counter()
        (passages,) = retriever.retrieve([question.text], how)
        times_ms.append((time.perf_counter() - started) * 1000)
        right = [rank for rank, passage in enumerate(passages, start=1) if question.is_right(passage)]
        ranks.append(right[0] if right else 0)
    return Quality(ranks, times_ms)


def _retriever(collection: str, sources: Path) -> Retriever:
    report = ingest(load_recipe(IngestRecipe, "ingest", [f"collection={collection}", f"sources=[{sources}]"]))
    print(f"{collection}: {report.chunks_written} chunks in {report.seconds:.0f} s", flush=True)
    index = Index.open(collection)
    index.flush()
    return Retriever(index, embedding_of(index.vectors))


def _packages(folder: Path) -> tuple[Retriever, list[Question]]:
    import json

    out = folder / "packages"
    subprocess.run([sys.executable, str(ROOT / "examples/environment/build.py"), str(out)], check=True)
    rows = [json.loads(line) for line in (out / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = [Question(row["question"], lambda p, source=row["source"]: p.source == source) for row in rows]
    return _retriever("packages", out / "docs"), questions


def _python_docs(folder: Path) -> dict[str, tuple[Retriever, list[Question]]]:
    pages = folder / "python"
    for part in _PARTS:
        shutil.copytree(_PYTHON_DOCS / part, pages / part)
    library = random.Random(0).sample(sorted((_PYTHON_DOCS / "library").glob("*.html")), _LIBRARY_PAGES)
    (pages / "library").mkdir()
    for page in library:
        shutil.copy(page, pages / "library")
    retriever = _retriever("python", pages)
    sets = {"FAQ": _faq()} | _names({f"library/{page.name}" for page in library})
    return {name: (retriever, questions) for name, questions in sets.items()}


def _faq() -> list[Question]:
    """Headings that end with a question mark."""
    questions = []
    for page in sorted((_PYTHON_DOCS / "faq").glob("*.html")):
        for heading in re.findall(r"<h3>(.*?)<a class=\"headerlink\"", page.read_text(encoding="utf-8"), re.DOTALL):
            text = " ".join(re.sub(r"<[^>]+>|&\w+;|&#\d+;", " ", heading).split())
            if text.endswith("?"):
                words = _words(text)
                questions.append(
                    Question(
                        text,
                        lambda p, source=f"faq/{page.name}", words=words: (
                            p.source == source and words in (_words(p.heading), _words(p.heading.split(" > ")[-1]))
                        ),
                    )
                )
    return random.Random(0).sample(questions, min(_QUESTIONS, len(questions)))


def _names(pages: set[str]) -> dict[str, list[Question]]:
    """From the inventory that Sphinx writes beside the pages; bare names that only one page defines."""
    packed = (_PYTHON_DOCS / "objects.inv").read_bytes()
    defined: dict[str, str] = {}
    defining: dict[str, set[str]] = defaultdict(set)
    for entry in zlib.decompress(packed.split(b"\n", 4)[4]).decode().splitlines():
        name, kind, _, place, _ = entry.split(" ", 4)
        page = place.partition("#")[0]
        if kind.startswith("py:") and kind != "py:module":
            defining[name.rpartition(".")[2]].add(page)
        if kind in ("py:function", "py:method", "py:class") and "." in name and page in pages:
            defined[name] = page
    bare = {name: next(iter(of)) for name, of in defining.items() if len(of) == 1 and of <= pages and is_name(name)}
    return {
        "names": _some(list(defined.items())),
        "bare names": _some(list(bare.items())),
        "questions about names": _some([(f"what does {name} do?", page) for name, page in bare.items()]),
    }


def _some(asked: list[tuple[str, str]]) -> list[Question]:
    chosen = random.Random(0).sample(sorted(asked), min(_QUESTIONS, len(asked)))
    return [Question(text, lambda p, page=page: p.source == page) for text, page in chosen]


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))


if __name__ == "__main__":
    main()
