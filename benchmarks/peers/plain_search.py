"""Search as one glues it together: bm25s, and sentence-transformers with exact cosines.

In: a JSON file with `model`, `texts` and `questions`. Out: one JSON object on the last line of the output: for each way
the numbers of the best texts for each question, best first, and the milliseconds it took.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from sentence_transformers import SentenceTransformer

DEPTH = 10


def main(about: dict[str, Any]) -> None:
    model = SentenceTransformer(about["model"], device="cpu")
    texts, questions = about["texts"], about["questions"]
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    words = bm25s.BM25()
    words.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def by_words(question: str) -> list[int]:
        tokens = bm25s.tokenize(question, stopwords="en", show_progress=False)
        found, _ = words.retrieve(tokens, k=min(DEPTH, len(texts)), show_progress=False)
        return [int(number) for number in found[0]]

    def by_meaning(question: str) -> list[int]:
        scores = vectors @ model.encode(question, normalize_embeddings=True, show_progress_bar=False)
        return [int(number) for number in np.argsort(-scores)[:DEPTH]]

    print(json.dumps({"bm25s": timed(by_words, questions), "plain dense": timed(by_meaning, questions)}))


def timed(search: Callable[[str], list[int]], questions: list[str]) -> list[dict[str, Any]]:
    search(questions[0])  # the first one warms up
    found = []
    for question in questions:
        started = time.perf_counter()
        best = search(question)
        found.append({"best": best, "ms": (time.perf_counter() - started) * 1000})
    return found


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
