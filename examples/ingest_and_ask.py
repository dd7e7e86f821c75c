"""Index a folder of documents, serve it, and ask a question about it.

    python examples/ingest_and_ask.py handbook/ "how long is the warranty?"

More arguments set fields of the ingest recipe (embedding.model=…) or, after `serve.`, of the served application
(serve.llm.model=…).
"""

import sys

from plait.local.ray_head import connect

connect()  # before anything imports Ray: it sets how Ray authenticates

from plait.chat_client import ask
from plait.jobs.ingest.job import ingest
from plait.recipes import IngestRecipe, load_recipe
from plait.serve.deploy import deploy, read_config, take_down


def main(folder: str, question: str, *overrides: str) -> None:
    """Ingest, deploy, ask, take down."""
    serving = [each.removeprefix("serve.") for each in overrides if each.startswith("serve.")]
    indexing = [each for each in overrides if not each.startswith("serve.")]

    recipe = load_recipe(IngestRecipe, "ingest", ["collection=example", f"sources=[{folder}]", *indexing])
    report = ingest(recipe)
    print(f"{report.written} documents written, {report.unchanged} unchanged, {report.chunks_written} chunks")

    url = deploy(read_config("local", ["retrieval.collection=example", *serving]), on_progress=print)
    answer = ask(url, "rag/base", question, max_tokens=48)
    print(answer.text)
    for citation in answer.citations:
        print(f"  from {citation.source}, score {citation.score:.2f}")
    take_down()


if __name__ == "__main__":
    main(*sys.argv[1:])
