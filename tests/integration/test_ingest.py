import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from pathlib import Path

import psutil
import pytest
import yaml
from session_processes import session_processes
from typer.testing import CliRunner

from plait.cli import app
from plait.documents.chunk import text_to_embed
from plait.documents.failure import Failure
from plait.documents.parse import parse
from plait.documents.read import file_table, find_documents
from plait.documents.stores import read_file
from plait.errors import CollectionNotFound, Conflict, DataError, InvalidInput
from plait.index.collection import Index, list_collections
from plait.index.conditions import EVERY_ROW, Equals, Field
from plait.index.only_writer import only_writer
from plait.index.stores.connect import connect_store
from plait.index.stores.store import Store
from plait.jobs.ingest.duplicates import Duplicates, fingerprint
from plait.jobs.ingest.job import IngestReport, ingest
from plait.jobs.ingest.pipeline import chunk_files
from plait.local.milvus import NAME as MILVUS
from plait.local.process import WATCHER
from plait.local.stack import running
from plait.models.encoders.load import embedding_of
from plait.models.vectors import Prompts, VectorKind
from plait.recipes import Chunking, IngestRecipe

pytestmark = pytest.mark.usefixtures("ray_cluster")
IN_PLACE = pytest.mark.usefixtures("ingestion_in_place")


FIELDS = ["chunk_id", "tenant", "source", "title", "heading", "text", "position", "start", "end", "content_hash"]


def opened(recipe: IngestRecipe) -> Index:
    return Index.open(recipe.collection, connect_store())


def contents(recipe: IngestRecipe) -> list[dict[str, object]]:
    """Every chunk in the index, in the order of ids, without its time."""
    rows = opened(recipe)._collection.scan(EVERY_ROW, [*FIELDS, "chunk_count"])
    return sorted(rows, key=lambda row: str(row["chunk_id"]))


def expected(recipe: IngestRecipe) -> list[dict[str, object]]:
    """What a run that nothing disturbs makes of the sources, without Ray and without an index."""
    found = find_documents(recipe.sources).documents
    prints = {d.source: fingerprint(parse(read_file(d.uri, 2**20), d.source), recipe.dedup) for d in found}
    dropped = Duplicates(recipe.dedup).add_all(prints)
    documents = [document for document in found if document.source not in dropped]
    chunks = chunk_files(file_table(documents), recipe, Path(recipe.embedding.model), ledger=None)
    return sorted(chunks.select([*FIELDS, "chunk_count"]).to_pylist(), key=lambda row: str(row["chunk_id"]))


def counts(report: IngestReport) -> tuple[int, int, int]:
    return report.written, report.unchanged, report.removed


def changed(recipe: IngestRecipe, **fields: object) -> IngestRecipe:
    return IngestRecipe.model_validate(recipe.model_dump() | fields)


@IN_PLACE
def test_an_index_follows_its_documents(recipe: IngestRecipe, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ingest(recipe)
    assert counts(first) == (3, 0, 0)
    chunks = contents(recipe)
    assert first.chunks_written == len(chunks) > 6
    assert chunks == expected(recipe)

    # A changed document replaces its chunks; one that cannot be read is reported and harms no other.
    (docs / "a.md").write_text("# Title of a.md\n\nall of it is new", encoding="utf-8")
    (docs / "empty.md").touch()
    second = ingest(changed(recipe, max_bad_share=0.5))
    assert counts(second) == (1, 2, 0)
    assert [(failure.source, failure.reason) for failure in second.failed] == [("empty.md", "it holds no text")]
    (docs / "empty.md").unlink()
    assert contents(recipe) == expected(recipe)

    # Without new text nothing is embedded: the cluster is not even asked for.
    monkeypatch.setattr("plait.local.ray_head.connect", lambda: pytest.fail("Ray was started"))
    assert counts(ingest(recipe)) == (0, 3, 0)

    # A removed document leaves the index, unless sync is off.
    (docs / "a.md").unlink()
    assert counts(ingest(changed(recipe, sync=False))) == (0, 2, 0)
    assert contents(recipe) != expected(recipe)
    assert counts(ingest(recipe)) == (0, 2, 1)
    assert contents(recipe) == expected(recipe)

    # The command says the same, and collections show it.
    (docs / "picture.xyz").touch()
    fields = [f"collection={recipe.collection}", "chunk.max_tokens=32", f"embedding.model={recipe.embedding.model}"]
    runner = CliRunner()
    said = runner.invoke(app, ["ingest", str(docs), *fields]).output
    assert "left out, of no known format: 1 .xyz" in said
    assert "0 documents written (0 chunks), 2 unchanged, 0 duplicates, 0 removed, 0 not read" in said
    assert recipe.collection[:20] in runner.invoke(app, ["collections", "list"]).output
    assert "tenant default: 2 documents" in runner.invoke(app, ["collections", "show", recipe.collection]).output
    assert runner.invoke(app, ["collections", "drop", recipe.collection], input="n\n").exit_code == 1
    assert runner.invoke(app, ["collections", "drop", recipe.collection, "--yes"]).exit_code == 0
    assert recipe.collection not in list_collections(connect_store())


@IN_PLACE
def test_of_duplicates_one_is_kept_until_it_goes(recipe: IngestRecipe, docs: Path) -> None:
    (docs / "0.md").write_bytes((docs / "a.md").read_bytes())
    (docs / "b.md").write_text((docs / "a.md").read_text(encoding="utf-8") + "\n\nOne sentence more.", encoding="utf-8")
    first = ingest(recipe)
    assert (counts(first), first.duplicates) == ((3, 0, 0), 1)
    assert sources(recipe) == {"0.md", "b.md", "guide/c.md"}
    near = changed(recipe, dedup={"drop": "near", "threshold": 0.7})
    second = ingest(near)
    assert (counts(second), second.duplicates) == ((0, 2, 0), 2)
    assert contents(recipe) == expected(near)
    (docs / "0.md").unlink()
    third = ingest(near)
    assert (counts(third), third.duplicates) == ((1, 1, 1), 1)
    assert sources(recipe) == {"a.md", "guide/c.md"}
    assert contents(recipe) == expected(near)
    assert counts(ingest(changed(recipe, dedup={"drop": "none"}))) == (1, 2, 0)


def sources(recipe: IngestRecipe) -> set[object]:
    return {row["source"] for row in contents(recipe)}


@IN_PLACE
def test_rows_of_a_table_are_documents_beside_files(recipe: IngestRecipe, docs: Path) -> None:
    table = docs / "faq.csv"
    table.write_text("url,answer,lang\n/a,Yes it is,en\n/b,No it is not,en\n/c,,en\n", encoding="utf-8")
    columns = {"text": "answer", "id": "url", "metadata": ["lang"]}
    with_table = changed(recipe, table=columns, max_bad_share=0.5)
    first = ingest(with_table)
    assert counts(first) == (5, 0, 0)
    assert first.failed == (Failure("/c", "its column 'answer' is empty"),)
    rows = {row["source"]: row for row in opened(recipe)._collection.scan(EVERY_ROW, ["source", "metadata"])}
    assert (rows["/a"]["metadata"], rows["a.md"]["metadata"]) == ({"lang": "en"}, {})
    table.write_text("url,answer,lang\n/b,No it is not,en\n/a,Maybe,en\n", encoding="utf-8")
    assert counts(ingest(with_table)) == (1, 4, 0)
    assert counts(ingest(recipe)) == (0, 3, 2)


@IN_PLACE
def test_too_many_unreadable_documents_fail_the_job(recipe: IngestRecipe, docs: Path) -> None:
    for name in ("a.md", "b.md", "guide/c.md"):
        (docs / name).write_bytes(b"\0")
    with pytest.raises(DataError, match=r"3 of 3 documents .* 10% .*\(a\.md: it holds NUL bytes, so .*; b\.md"):
        ingest(recipe)


@IN_PLACE
def test_chunks_longer_than_the_model_reads_are_refused_with_both_numbers(recipe: IngestRecipe) -> None:
    with pytest.raises(InvalidInput, match=r"^chunk\.max_tokens is 1000, but .* at most 512"):
        ingest(changed(recipe, chunk={"max_tokens": 1000}))
    with pytest.raises(CollectionNotFound):
        opened(recipe)


@IN_PLACE
def test_prompts_dimensions_and_chunk_settings_belong_to_the_collection(recipe: IngestRecipe) -> None:
    prompted = {"dimensions": 16, "query_prompt": "query: ", "passage_prompt": "passage: "}
    recipe = changed(recipe, embedding=recipe.embedding.model_dump() | prompted)
    ingest(recipe)
    index = opened(recipe)
    assert index.vectors == VectorKind(recipe.embedding.model, 16, Prompts("query: ", "passage: "))
    assert index.chunking == recipe.chunking != Chunking()
    # A chunk is found by what it was embedded as.
    chunks = index.first_chunks("default", ["a.md"])
    model = embedding_of(index.vectors)
    (row,) = index._collection.scan(Equals(Field("chunk_id"), chunks.chunk_ids[0]), ["title", "heading", "text"])
    of_text = model.encode_passages([text_to_embed(row["title"], row["heading"], row["text"])])
    assert float(of_text[0] @ chunks.vectors[0]) > 0.999
    # Left open they are the collection's; others are refused before anything is read.
    open_ones = dict.fromkeys(prompted)
    assert ingest(changed(recipe, embedding=recipe.embedding.model_dump() | open_ones)).unchanged == 3
    for other in ({"dimensions": 8}, {"passage_prompt": ""}):
        with pytest.raises(Conflict, match=r"\(16 dimensions, .* not with"):
            ingest(changed(recipe, embedding=recipe.embedding.model_dump() | other))
    # Other chunk settings make all chunks anew, and are the collection's from then on.
    assert ingest(changed(recipe, chunk={"max_tokens": 64})).written == 3
    assert opened(recipe).chunking.chunk.max_tokens == 64


def test_two_runs_at_once_are_refused(recipe: IngestRecipe) -> None:
    with (
        only_writer(connect_store(), recipe.collection, recipe.tenant),
        pytest.raises(Conflict, match="Another ingestion"),
    ):
        ingest(recipe)


def many_documents(folder: Path, count: int) -> None:
    for number in range(count):
        parts = [f"## Part {part}\n\nsome words number {number} in part {part}" for part in range(4)]
        text = f"# Document {number}\n\n" + "\n\n".join(parts)
        (folder / f"{number:03}.md").write_text(text, encoding="utf-8")
        if number % 10 == 0:
            (folder / f"0-copy-{number}.md").write_text(text, encoding="utf-8")


def wait_until(is_so: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def held_when(run: subprocess.Popen[str], is_so: Callable[[], bool], moments: random.Random) -> Iterator[None]:
    """Hold the run's stages (SIGSTOP) once something is so, until the block ends.

    Everything is written within half a second, so they go on in steps of random milliseconds meanwhile. While Write
    is being replaced, Embed stands: otherwise the rest would lie ready and be written at once.
    """
    deadline = time.monotonic() + 120
    stages: dict[str, list[psutil.Process]] = {}
    try:
        while True:
            assert run.poll() is None, "the run ended before its time"
            assert time.monotonic() < deadline, "waited in vain"
            stages = {name: alive for name, found in stages.items() if (alive := still_running(found))}
            stages |= {name: at_work(name) for name in ("Embed", "Write") if name not in stages}
            signal_all(stages, signal.SIGSTOP)
            if is_so():
                break
            if stages["Write"]:
                signal_all(stages, signal.SIGCONT)
            time.sleep(moments.uniform(0, 0.02))
        yield
    finally:
        signal_all(stages, signal.SIGCONT)


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running()]


def at_work(stage: str) -> list[psutil.Process]:
    """Workers of a stage that have started: what they import takes seconds."""
    found = []
    for worker in workers(stage):
        with suppress(psutil.NoSuchProcess):
            title = " ".join(worker.cmdline())  # empty where it has just ended
            if title and "__init__" not in title:
                found.append(worker)
    return found


def signal_all(stages: dict[str, list[psutil.Process]], number: int) -> None:
    for stage in chain.from_iterable(stages.values()):
        with suppress(psutil.NoSuchProcess):
            stage.send_signal(number)


def chunks_present(recipe: IngestRecipe, milvus: Store) -> int:
    if recipe.collection not in list_collections(milvus):
        return 0
    return Index.open(recipe.collection, milvus).stats().chunk_count


# Each try kills at other moments; more of them: PLAIT_TEST_KILL_TRIES=20.
@pytest.mark.parametrize("seed", range(int(os.environ.get("PLAIT_TEST_KILL_TRIES", "1"))))
def test_whatever_is_killed_the_same_command_again_ends_as_if_undisturbed(
    seed: int, recipe: IngestRecipe, docs: Path, tmp_path: Path, milvus: Store
) -> None:
    many_documents(docs, 60)
    undisturbed = expected(recipe)
    moments = random.Random(seed)

    def start() -> subprocess.Popen[str]:
        return start_run(recipe, tmp_path)

    def held(run: subprocess.Popen[str], share: tuple[float, float]) -> AbstractContextManager[None]:
        """The run stands still where a random share of the chunks is in the index."""
        count = moments.uniform(*share) * len(undisturbed)
        return held_when(run, lambda: chunks_present(recipe, milvus) > count, moments)

    # What is ended with SIGTERM says how to go on; the driver that is killed is that of the next test.
    first = start()
    with held(first, (0, 0.2)):
        first.terminate()
    _, said = first.communicate(timeout=30)  # of the 120 s that a pod has
    assert first.returncode == 143
    assert said.endswith("what is written stays. Run the same command again to go on.\n")
    wait_until(lambda: not workers("Write"))  # they end with their driver

    # Workers that die are replaced under the run; without Milvus it ends and says so.
    second = start()
    for stage in moments.sample(["Embed", "Write"], 2):
        with held(second, (0.2, 0.4)):
            wait_until(lambda stage=stage: bool(kill(workers(stage))))  # type: ignore[misc]
    with held(second, (0.4, 0.6)):
        assert chunks_present(recipe, milvus) < len(undisturbed)
        watcher = started(WATCHER)
        watcher.suspend()  # were Milvus started again soon enough, the run would go on
        started(MILVUS).kill()
    try:
        _, said = second.communicate(timeout=120)
    finally:
        watcher.resume()
    assert second.returncode == 1
    assert "No Milvus answers at" in said

    third = ingest(recipe)
    assert 0 < third.written < 63
    assert third.duplicates == 6
    assert contents(recipe) == undisturbed


@pytest.mark.long
@pytest.mark.parametrize("seed", range(int(os.environ.get("PLAIT_TEST_KILL_TRIES", "1"))))
def test_a_run_that_is_killed_while_it_replaces_documents_ends_as_if_undisturbed_when_run_again(
    seed: int, recipe: IngestRecipe, docs: Path, tmp_path: Path
) -> None:
    many_documents(docs, 30)
    ingest(recipe)
    before = contents(recipe)
    change_documents(docs)
    run = start_run(recipe, tmp_path)
    wait_until(lambda: contents(recipe) != before or run.poll() is not None)
    time.sleep(random.Random(seed).uniform(0, 0.1))
    assert run.poll() is None, "the run ended before its time"
    run.kill()
    run.wait()
    wait_until(lambda: not workers("Write"))
    halfway = contents(recipe)
    ingest(recipe)
    assert contents(recipe) == expected(recipe) != halfway


def change_documents(folder: Path) -> None:
    """Of the documents 000 to 029, change one in three, remove one in ten, and add thirty."""
    for number in range(0, 30, 3):
        with (folder / f"{number:03}.md").open("a", encoding="utf-8") as file:
            file.write("\n\n## One part more\n\nthat nobody knew")
    for number in range(5, 30, 10):
        (folder / f"{number:03}.md").unlink()
    for number in range(30, 60):
        (folder / f"{number:03}.md").write_text(f"# Document {number}\n\nThe newest, number {number}", encoding="utf-8")


def start_run(recipe: IngestRecipe, folder: Path) -> subprocess.Popen[str]:
    """The job in a process of its own."""
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump()), encoding="utf-8")
    command = [sys.executable, "-m", "plait.jobs.ingest", str(file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill(victims: list[psutil.Process]) -> list[psutil.Process]:
    for victim in victims:
        victim.kill()
    return victims


def started(name: str) -> psutil.Process:
    """What this test session's Plait started under a name."""
    (process,) = [process for found in running() if found.name == name and (process := found.process())]
    return process


def workers(stage: str) -> list[psutil.Process]:
    """Worker processes of this test session's Ray that run a stage."""
    name = f"ray::MapWorker(MapBatches({stage}))"
    return [process for process in session_processes() if " ".join(process.info["cmdline"] or []).startswith(name)]
