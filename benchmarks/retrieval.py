"""Which way of searching finds the right place, and what does it cost?

Sets of questions, each with a right place. The questions of Python's FAQ (right: a passage of the section that is
headed by the question), and once more without the FAQ's own pages (right: a page that its answer links to). Names from
Python's own inventory (right: the page that defines them) written out (optparse.OptionParser), bare (add_option) and in
a question (what does add_option do?). The questions about installed packages of examples/environment (right: the
package's document). All but the last are asked of Python's documentation (Debian's python3.11-doc): FAQ, tutorial, 60
pages of the library, and what the FAQ links to where it is left out. Peers search the same chunks: bm25s, and sentence-
transformers with exact cosines.
"""

import asyncio
import json
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
from statistics import fmean, median
from urllib.parse import urljoin

from bs4 import BeautifulSoup
from harness.homes import own_home, stop
from harness.results import ROOT, last_json, options, peer_python, publish

from plait.documents.chunk import Chunk
from plait.documents.read import file_table, find_documents
from plait.evaluation.metrics.retrieval import Ranking, measured
from plait.evaluation.statistics.binary import wilson
from plait.index.collection import Index
from plait.index.passage import Passage
from plait.index.stores.connect import connect_store
from plait.jobs.ingest.job import ingest
from plait.jobs.ingest.pipeline import chunk_files
from plait.models.encoders.load import embedding_of
from plait.models.source import resolve_model
from plait.recipes import IngestRecipe, load_recipe
from plait.retrieval.local_models import LocalModels
from plait.retrieval.pipeline import RetrievalPipeline
from plait.retrieval.request import Retrieval

_PYTHON_DOCS = Path("/usr/share/doc/python3.11-doc/html")
_PARTS = ("faq", "tutorial")
_LIBRARY_PAGES = 60
_QUESTIONS = 150
_DEPTH = 10
_PEER = ["bm25s", "sentence-transformers", "transformers"]
_WAYS = {
    "BM25": Retrieval(top_k=_DEPTH, mode="bm25"),
    "dense": Retrieval(top_k=_DEPTH, mode="dense"),
    "hybrid, ranks (default)": Retrieval(top_k=_DEPTH),
    "hybrid, scores, dense 0.3": Retrieval(top_k=_DEPTH, dense_weight=0.3),
    "hybrid, scores, dense 0.5": Retrieval(top_k=_DEPTH, dense_weight=0.5),
    "hybrid, scores, dense 0.7": Retrieval(top_k=_DEPTH, dense_weight=0.7),
    "hybrid + late interaction": Retrieval(top_k=_DEPTH, rerank="late-interaction"),
}


@dataclass(frozen=True)
class Question:
    """A question, and whether a passage is from the right place."""

    text: str
    is_right: Callable[[Passage], bool]


@dataclass(frozen=True)
class Searched:
    """A collection: how it is searched, and its chunks, which peers search too."""

    pipeline: RetrievalPipeline
    index: Index
    chunks: list[Chunk]
    model_folder: Path


@dataclass(frozen=True)
class Quality:
    """Of one way on one set: where the first right passage stands; milliseconds a question."""

    rankings: list[Ranking]
    times_ms: list[float]

    def recall(self, k: int) -> float:
        return fmean(measured(f"R@{k}", self.rankings))

    @property
    def mrr(self) -> float:
        return fmean(measured(f"RR@{_DEPTH}", self.rankings))

    @property
    def ndcg(self) -> float:
        return fmean(measured(f"nDCG@{_DEPTH}", self.rankings))

    def row(self) -> str:
        found = wilson(round(sum(measured("R@1", self.rankings))), len(self.rankings))
        first = f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
        p95_ms = sorted(self.times_ms)[math.ceil(0.95 * len(self.times_ms)) - 1]
        return (
            f"{first} | {self.recall(5):.2f} | {self.recall(10):.2f} | {self.mrr:.3f} | {self.ndcg:.3f} "
            f"| {median(self.times_ms):.0f}, {p95_ms:.0f}"
        )


def main() -> None:
    given = options(__doc__ or "", runs=1, cases=list(_WAYS))
    lines = ["| questions | way | recall@1 (95%) | @5 | @10 | MRR@10 | nDCG@10 | ms: median, p95 |", "|" + "---|" * 8]
    found: dict[str, dict[str, Quality]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        sets = {"packages": _packages(Path(folder))}
        if not given.quick:
            sets |= _python_docs(Path(folder))
        for name, (searched, questions) in sets.items():
            found[name] = {way: asyncio.run(_ask(searched, questions, _WAYS[way])) for way in given.cases}
            if not given.is_partial:
                found[name] |= _ask_peers(peer_python("search", _PEER), Path(folder), searched, questions)
            rows = [f"| {name}, {len(questions)} | {way} | {quality.row()} |" for way, quality in found[name].items()]
            print("\n".join(rows), flush=True)
            lines += rows
        stop()
    ratios = {
        f"{name}: {way}": round(quality.mrr / ways["dense"].mrr, 3)
        for name, ways in found.items()
        for way, quality in ways.items()
        if "dense" in ways
    }
    publish("retrieval", "Ways of searching", "\n".join(lines), ratios, given)


async def _ask(searched: Searched, questions: Sequence[Question], how: Retrieval) -> Quality:
    await searched.pipeline.retrieve(searched.index, [questions[0].text], how)  # the first one warms up
    rankings, times_ms = [], []
    for question in questions:
        started = time.perf_counter()
        (passages,) = await searched.pipeline.retrieve(searched.index, [question.text], how)
        times_ms.append((time.perf_counter() - started) * 1000)
        rankings.append(_ranking(question, passages))
    return Quality(rankings, times_ms)


def _ranking(question: Question, passages: Sequence[Passage]) -> Ranking:
    """The places of passages; the first right passage is the only right one, so that one is enough."""
    places = [str(place) for place in range(len(passages))]
    right = next((place for place, each in zip(places, passages, strict=True) if question.is_right(each)), "none")
    return Ranking.of(places, [right])


def _ask_peers(python: Path, folder: Path, searched: Searched, questions: Sequence[Question]) -> dict[str, Quality]:
    """What the peers find in the same chunks, with title and headings as they have them in the index."""
    about = {
        "model": str(searched.model_folder),
        "texts": [chunk.text_to_embed for chunk in searched.chunks],
        "questions": [question.text for question in questions],
    }
    file = folder / "about.json"
    file.write_text(json.dumps(about), encoding="utf-8")
    program = ROOT / "benchmarks" / "peers" / "plain_search.py"
    done = subprocess.run([python, program, file], check=True, capture_output=True, text=True)
    passages = [Passage(c.chunk_id, c.source, c.title, c.heading, c.text, c.start, c.end, 0.0) for c in searched.chunks]
    qualities = {}
    for way, answers in last_json(done.stdout).items():
        pairs = zip(questions, answers, strict=True)
        rankings = [_ranking(question, [passages[n] for n in answer["best"]]) for question, answer in pairs]
        qualities[f"{way} (peer)"] = Quality(rankings, [answer["ms"] for answer in answers])
    return qualities


def _searched(collection: str, sources: Path) -> Searched:
    recipe = load_recipe(IngestRecipe, "ingest", [f"collection={collection}", f"sources=[{sources}]"])
    report = ingest(recipe)
    print(f"{collection}: {report.chunks_written} chunks in {report.seconds:.0f} s", flush=True)
    index = Index.open(collection, connect_store())
    index.flush()
    held = index.document_states(recipe.tenant)
    documents = [document for document in find_documents(recipe.sources).documents if document.source in held]
    folder = resolve_model(recipe.embedding.tokenizer_source)
    rows = chunk_files(file_table(documents), recipe, folder, ledger=None).to_pylist()
    chunks = [Chunk(**row | {"metadata": json.loads(row["metadata"])}) for row in rows]
    return Searched(RetrievalPipeline(LocalModels(embedding_of(index.vectors))), index, chunks, folder)


def _packages(folder: Path) -> tuple[Searched, list[Question]]:
    out = folder / "packages"
    subprocess.run([sys.executable, str(ROOT / "examples/environment/build.py"), str(out)], check=True)
    rows = [json.loads(line) for line in (out / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = [Question(row["question"], lambda p, source=row["source"]: p.source == source) for row in rows]
    return _searched("packages", out / "docs"), questions


def _python_docs(folder: Path) -> dict[str, tuple[Searched, list[Question]]]:
    library = random.Random(0).sample(sorted((_PYTHON_DOCS / "library").glob("*.html")), _LIBRARY_PAGES)
    pages = {page.relative_to(_PYTHON_DOCS).as_posix() for page in library}
    pages |= {page.relative_to(_PYTHON_DOCS).as_posix() for page in (_PYTHON_DOCS / "tutorial").glob("*.html")}
    asked = _faq()
    faq = {source for source, _, _ in asked}
    with_faq = _searched("python", _copied(pages | faq, folder / "python"))
    headed = [
        Question(
            text,
            lambda p, source=source, words=_words(text): (
                p.source == source and any(_words(heading) == words for heading in _headings(p))
            ),
        )
        for source, text, _ in asked
    ]
    sets = {"FAQ": headed} | _names({page for page in pages if page.startswith("library/")})
    linked = [Question(text, lambda p, links=links: p.source in links) for _, text, links in asked if links]
    all_linked = {page for _, _, links in asked for page in links}
    without_faq = _searched("python_without_faq", _copied(pages | all_linked, folder / "python-without-faq"))
    return {name: (with_faq, questions) for name, questions in sets.items()} | {"FAQ left out": (without_faq, linked)}


def _copied(pages: set[str], folder: Path) -> Path:
    for page in pages:
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PYTHON_DOCS / page, folder / page)
    return folder


def _faq() -> list[tuple[str, str, frozenset[str]]]:
    """Page and heading of each question, and the pages outside the FAQ that its answer links to."""
    questions = []
    for page in sorted((_PYTHON_DOCS / "faq").glob("*.html")):
        soup = BeautifulSoup(page.read_bytes(), "lxml")
        for heading in soup.find_all("h3"):
            for mark in heading.find_all("a", class_="headerlink"):
                mark.decompose()
            text = " ".join(heading.get_text(" ").split())
            if text.endswith("?"):
                found = [urljoin(f"faq/{page.name}", a["href"]) for a in heading.parent.find_all("a", href=True)]
                names = {link.partition("#")[0] for link in found if "://" not in link}
                links = frozenset(name for name in names if _is_page(name))
                questions.append((f"faq/{page.name}", text, links))
    return random.Random(0).sample(questions, min(_QUESTIONS, len(questions)))


def _is_page(name: str) -> bool:
    is_content = name.startswith(("library/", "tutorial/", "howto/", "reference/", "using/", "extending/", "c-api/"))
    return is_content and (_PYTHON_DOCS / name).is_file()


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
    bare = {name: next(iter(of)) for name, of in defining.items() if len(of) == 1 and of <= pages and _is_name(name)}
    return {
        "names": _some(list(defined.items())),
        "bare names": _some(list(bare.items())),
        "questions about names": _some([(f"what does {name} do?", page) for name, page in bare.items()]),
    }


def _some(asked: list[tuple[str, str]]) -> list[Question]:
    chosen = random.Random(0).sample(sorted(asked), min(_QUESTIONS, len(asked)))
    return [Question(text, lambda p, page=page: p.source == page) for text, page in chosen]


def _headings(passage: Passage) -> list[str]:
    """Where a passage begins, and where in it another section begins: short ones share a chunk."""
    inside = [line for line in passage.text.splitlines() if line.startswith("#")]
    return [passage.heading, passage.heading.split(" > ")[-1], *inside]


_NAME = re.compile(r"\S*[A-Za-z]\S*")
_MARK = re.compile(r"[._/\\:=@#$-]|\d|\w\(|[a-z][A-Z]|^[A-Z]{2,}$|^[A-Z][a-z]+Error$")


def _is_name(word: str) -> bool:
    """A word that is none of a language: add_option, --no-cache, ENOENT."""
    return _NAME.fullmatch(word) is not None and _MARK.search(word) is not None


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))


if __name__ == "__main__":
    main()
