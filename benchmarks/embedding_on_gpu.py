"""How many chunks a second does an embedding worker make on a GPU?

Random weights in the shapes of real models; chunks of 150 to 200 tokens. The peer is sentence-transformers as it comes,
in float32, on the same GPU.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from harness.random_encoders import SHAPES, make_encoder, random_texts
from harness.results import options, publish, spread
from sentence_transformers import SentenceTransformer

from plait.models.encoders.load import load_embedding

BATCH_SIZES = (32, 256)


def main() -> None:
    given = options(__doc__ or "", runs=3)
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark is about GPUs, and there is none here.")
    texts = random_texts(2048 if given.quick else 4096)
    lines = ["| model | batch | chunks/s | of sentence-transformers in float32 |", "|---|---|---|---|"]
    ratios: dict[str, float] = {}
    for name, config in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            make_encoder(config, Path(folder))
            plain, ours = SentenceTransformer(folder), load_embedding(folder)
            assert plain.device.type == "cuda"
            for size in BATCH_SIZES:
                theirs = [_rate(partial(plain.encode, batch_size=size), texts) for _ in range(given.runs)]
                rates = [_rate(partial(ours.encode_passages, batch_size=size), texts) for _ in range(given.runs)]
                ratio = ratios[f"{name.split()[0]}_{size}"] = round(median(rates) / median(theirs), 3)
                lines.append(f"| {name} | {size} | {spread(rates)} | **{ratio:.2f}** ({spread(theirs)}) |")
                print(lines[-1], flush=True)
    body = f"Random weights, {len(texts):,} chunks of 150 to 200 tokens, one process.\n\n" + "\n".join(lines)
    publish("embedding_on_gpu", f"Embedding on a GPU ({torch.cuda.get_device_name()})", body, ratios, given)


def _rate(encode: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    encode(texts[:512])
    started = time.perf_counter()
    encode(texts)
    return len(texts) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
