"""Documents to Milvus as one glues it together: parse, split, embed and insert, a page at a time.

In: a JSON file (see benchmarks/ingest.py). Out: one JSON object on the last line of the output.
"""

import json
import sys
import time
from pathlib import Path

from bs4 import BeautifulSoup
from langchain_text_splitters import RecursiveCharacterTextSplitter
from pymilvus import MilvusClient
from sentence_transformers import SentenceTransformer


def main(about: dict[str, str]) -> None:
    started = time.perf_counter()
    model = SentenceTransformer(about["model"], device="cpu")
    splitter = RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
        model.tokenizer, chunk_size=int(about["max_tokens"]), chunk_overlap=0
    )
    client = MilvusClient(about["milvus_uri"])
    name = "plain_loop"
    client.create_collection(name, dimension=model.get_sentence_embedding_dimension(), auto_id=True)
    ready = time.perf_counter()
    chunks = 0
    for page in sorted(Path(about["pages"]).rglob("*.html")):
        text = BeautifulSoup(page.read_bytes(), "lxml").get_text("\n", strip=True)
        parts = splitter.split_text(text)
        if not parts:
            continue
        vectors = model.encode(parts)
        source = str(page.relative_to(about["pages"]))
        rows = [{"vector": v, "text": part, "source": source} for v, part in zip(vectors, parts, strict=True)]
        client.insert(name, rows)
        chunks += len(parts)
    client.flush(name)
    ended = time.perf_counter()
    client.drop_collection(name)
    print(json.dumps({"chunks": chunks, "seconds": ended - ready, "start_seconds": ready - started}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
