"""Training data on a real Ray Data, from files of any kind to shards of packed rows."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plait.errors import DataError
from plait.index.chunk import Chunk, chunk_table
from plait.index.collection import Index
from plait.jobs.train import dataset
from plait.jobs.train.dataset import Encoding, prepare_dataset
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.shards import MANIFEST, Manifest, RowRef, Shards
from plait.jobs.train.sources import find_files
from plait.local.process import free_port
from plait.models.chat import chat_format_for
from plait.models.embedding import EmbeddingModel
from plait.models.tokenizer import load_tokenizer
from plait.recipes import ContextConfig, DataConfig, DpoConfig, PretrainConfig, SftConfig
from plait.retrieval.context import INSTRUCTION

pytestmark = pytest.mark.usefixtures("ray_cluster")

# Ray's processes get the environment in which the first test starts Ray: later would be too late for them.
_S3_PORT = free_port()
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{_S3_PORT}",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


@pytest.fixture
def encoding(tiny_model: Path, tokenizer: Any) -> Any:
    """Encoding(objective, **data): how a run of the tiny model encodes its rows."""

    def make(objective: Any = None, **data: Any) -> Encoding:
        config = DataConfig(**{"train": "unused", "max_tokens": 96} | data)
        return Encoding(tiny_model, chat_format_for(tokenizer), objective or SftConfig(), config, seed=0)

    return make


def row(number: int) -> dict[str, str]:
    return {"question": f"What is number {number}?", "answer": f"It is {7 * number}."}


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def prepared(source: Path | str, encoding: Encoding, folder: Path) -> Manifest:
    return prepare_dataset(find_files(str(source)), encoding, folder, left_out(folder))


def left_out(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.left-out.jsonl")


def answers(folder: Path, tokenizer: Any) -> list[str]:
    """What is learned, segment by segment, in the order of the shards."""
    shards, found = Shards(folder), []
    for refs in shards.in_order(chunk_rows=64):
        for packed in shards.read(refs):
            end = 0
            for length in packed.lengths:
                start, end = end, end + length
                labels = packed.labels[start:end]
                found.append(tokenizer.decode(labels[labels != IGNORED], skip_special_tokens=True).strip())
    return found


def test_every_example_is_in_the_shards_once_and_the_manifest_counts_them(
    encoding: Any, tokenizer: Any, tmp_path: Path
) -> None:
    manifest = prepared(jsonl(tmp_path / "a.jsonl", [row(i) for i in range(40)]), encoding(), tmp_path / "out")
    assert sorted(answers(tmp_path / "out", tokenizer)) == sorted(row(i)["answer"] for i in range(40))
    packed = Shards(tmp_path / "out").read([RowRef(0, i) for i in range(manifest.rows)])
    assert manifest.examples == sum(len(p.lengths) for p in packed) == 40
    assert manifest.tokens == sum(len(p.input_ids) for p in packed)
    assert manifest.labels == sum(int((p.labels != IGNORED).sum()) for p in packed)
    assert manifest.rows < 40
    assert max(len(p.input_ids) for p in packed) <= 96
    assert manifest.bad_rows == 0


def test_without_packing_rows_keep_the_order_of_files_and_lines(encoding: Any, tokenizer: Any, tmp_path: Path) -> None:
    # The first file takes longest to read.
    jsonl(tmp_path / "data/0.jsonl", [row(i) | {"note": "x" * 10_000} for i in range(1500)])
    jsonl(tmp_path / "data/1.jsonl", [row(i) for i in range(1500, 1700)])
    jsonl(tmp_path / "data/2.jsonl", [row(i) for i in range(1700, 2100)])
    manifest = prepared(tmp_path / "data", encoding(packing=False), tmp_path / "out")
    assert manifest.shard_rows == [1024, 1024, 52]
    assert answers(tmp_path / "out", tokenizer) == [row(i)["answer"] for i in range(2100)]


def test_two_runs_over_the_same_data_give_the_same_shards(encoding: Any, tmp_path: Path) -> None:
    for part in range(3):
        jsonl(tmp_path / f"data/{part}.jsonl", [row(i) for i in range(1500)])
    first, second = (prepared(tmp_path / "data", encoding(), tmp_path / name) for name in ("one", "two"))
    assert first == second
    other = prepared(jsonl(tmp_path / "data/2.jsonl", [row(1)]).parent, encoding(), tmp_path / "three")
    assert other.sha256 != first.sha256


def test_a_file_is_encoded_by_several_tasks(encoding: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell_task(rows: pa.Table, encoding: Encoding) -> pa.Table:
        import ray

        return pa.table({"task": [ray.get_runtime_context().get_task_id()], "rows": [len(rows)]})

    monkeypatch.setattr(dataset, "encode_and_pack", tell_task)
    monkeypatch.setattr(dataset, "_BLOCK_BYTES", 64 * 1024)
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(5000)])
    told = pa.concat_tables(dataset._packed(find_files(str(file)), encoding())).to_pydict()
    assert sum(told["rows"]) == 5000
    assert max(told["rows"]) <= 1000
    assert len(set(told["task"])) >= 3


def test_what_is_complete_is_used_again_and_what_is_not_is_made_anew(encoding: Any, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(5)])
    manifest = prepared(file, encoding(), tmp_path / "out")
    files = find_files(str(file))
    file.unlink()
    assert prepare_dataset(files, encoding(), tmp_path / "out", left_out(tmp_path / "out")) == manifest
    (tmp_path / "out" / MANIFEST).unlink()
    jsonl(file, [row(i) for i in range(6)])
    assert prepare_dataset(files, encoding(), tmp_path / "out", left_out(tmp_path / "out")).examples == 6
    assert not list(tmp_path.glob("*.part"))


def test_parquet_and_jsonl_with_the_same_rows_give_the_same_shards(encoding: Any, tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "x"}]} for i in range(9)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    jsonl(tmp_path / "a.jsonl", rows)
    first, second = (
        prepared(tmp_path / name, encoding(), tmp_path / f"out-{name}") for name in ("a.parquet", "a.jsonl")
    )
    assert first.sha256 == second.sha256


def test_bad_lines_stop_the_job_with_their_places_and_reasons(encoding: Any, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(0), "{", "", {"question": "x"}, row(1)])
    with pytest.raises(DataError) as caught:
        prepared(file, encoding(), tmp_path / "out")
    assert f"{file}:2 is not valid JSON" in str(caught.value)
    assert f"{file}:4 is no example: it needs 'messages'" in str(caught.value)
    assert "data.max_bad_share" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_every_bad_row_is_kept_whole_with_its_reason(
    encoding: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{"question": "x", "note": n} for n in range(30)]
    file = jsonl(tmp_path / "a.jsonl", [*bad, *map(row, range(30)), '{"cut', '{"answer": "\\ud83d"}'])
    with pytest.raises(DataError, match=r"32 of 62 rows of '.*' cannot be used: .*:1 is no.*; all of them, with their"):
        prepared(file, encoding(), tmp_path / "out")
    kept = [json.loads(line) for line in left_out(tmp_path / "out").read_text().splitlines()]
    assert [each["line"] for each in kept] == [*range(1, 31), 61, 62]
    assert [each["row"] for each in kept[:30]] == bad
    assert kept[30]["row"] == '{"cut\n'
    assert kept[30]["reason"].startswith("is not valid JSON")
    assert {each["file"] for each in kept} == {str(file)}

    prepared(file, encoding(max_bad_share=0.6), tmp_path / "out")
    assert f"all of them, with their reasons: {left_out(tmp_path / 'out')}" in capsys.readouterr().out
    assert len(left_out(tmp_path / "out").read_text().splitlines()) == 32


def test_what_a_chat_template_refuses_counts_as_a_bad_row(encoding: Any, tmp_path: Path) -> None:
    made: Encoding = encoding(max_bad_share=0.5)
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('No system, please') }}{% endif %}"
    template = strict + made.chat_format.template
    made = replace(made, chat_format=made.chat_format.model_copy(update={"template": template}))
    file = jsonl(tmp_path / "a.jsonl", [row(0), row(1) | {"system": "S"}, row(2)])
    manifest = prepared(file, made, tmp_path / "out")
    assert (manifest.examples, manifest.bad_rows) == (2, 1)
    assert manifest.first_bad[0].startswith(f"{file}:2 cannot be trained: the chat template cannot write")
    assert "No system, please" in manifest.first_bad[0]


def test_columns_that_are_not_used_are_told_once(encoding: Any, tmp_path: Path) -> None:
    rows = [row(i) | {"category": "x", "id": i} for i in range(3)]
    manifest = prepared(jsonl(tmp_path / "a.jsonl", rows), encoding(), tmp_path / "out")
    assert manifest.unused == ["category", "id"]


def test_a_share_of_bad_lines_may_be_left_out_and_is_written_down(
    encoding: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jsonl(tmp_path / "a.jsonl", [*map(row, range(8)), "{", {"question": "x" * 300, "answer": "y"}])
    manifest = prepared(file, encoding(max_bad_share=0.2), tmp_path / "out")
    assert (manifest.examples, manifest.bad_rows) == (8, 2)
    assert [bad.partition(" ")[0] for bad in manifest.first_bad] == [f"{file}:9", f"{file}:10"]
    told = capsys.readouterr().out
    assert f"2 of 10 rows are left out: {file}:9 is not valid JSON" in told
    assert str(left_out(tmp_path / "out")) in told
    with pytest.raises(
        DataError, match=r"2 of 10 rows of '.*a\.jsonl' cannot be used: .*:9 is not.*; .*:10 is too long"
    ):
        prepared(file, encoding(max_bad_share=0.19), tmp_path / "other")


@pytest.mark.parametrize(
    ("objective", "good"),
    [
        (DpoConfig(kind="dpo"), {"prompt": "Which?", "chosen": "yes", "rejected": "no"}),
        (PretrainConfig(kind="pretrain"), {"text": "word " * 200}),
    ],
    ids=["dpo", "pretrain"],
)
def test_the_share_is_of_rows_and_not_of_what_they_become(
    encoding: Any, tmp_path: Path, objective: Any, good: dict[str, str]
) -> None:
    file = jsonl(tmp_path / "a.jsonl", [good, good, {}, {}])
    with pytest.raises(DataError, match="2 of 4 rows"):
        prepared(file, encoding(objective, max_bad_share=0.4), tmp_path / "out")


def test_an_example_that_is_too_long_says_what_to_change(encoding: Any, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(0), {"question": "word " * 100, "answer": "y"}])
    with pytest.raises(
        DataError, match=r"a\.jsonl:2 is too long: it takes \d+ tokens, more than data\.max_tokens \(96\)"
    ):
        prepared(file, encoding(), tmp_path / "out")


def test_pairs_come_out_chosen_then_rejected(encoding: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(12)]
    prepared(jsonl(tmp_path / "a.jsonl", rows), encoding(DpoConfig(kind="dpo")), tmp_path / "out")
    found = answers(tmp_path / "out", tokenizer)
    pairs = sorted(zip(found[::2], found[1::2], strict=True))
    assert pairs == sorted((f"good {i}", f"bad {i}") for i in range(12))


@pytest.mark.parametrize("text", ["", "\n\n"], ids=["empty", "blank"])
def test_data_without_an_example_is_refused(encoding: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"a\.jsonl' holds no examples"):
        prepared(tmp_path / "a.jsonl", encoding(), tmp_path / "out")


def test_a_file_that_cannot_be_read_is_named(encoding: Any, tmp_path: Path) -> None:
    jsonl(tmp_path / "data/a.jsonl", [row(0)])
    (tmp_path / "data/b.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"b\.parquet' is not a Parquet file"):
        prepared(tmp_path / "data", encoding(), tmp_path / "out")


def test_what_takes_long_says_how_far_it_is(
    encoding: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(5)])
    prepared(file, encoding(), tmp_path / "quick")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("plait.jobs.train.dataset._QUIET_S", 0.0)
    manifest = prepared(file, encoding(), tmp_path / "slow")
    assert capsys.readouterr().out == f"prepare slow: 5 rows, {manifest.tokens} tokens\n"


@pytest.fixture
def index(milvus: str, tiny_embedder: Path) -> Iterator[Index]:
    """An index of ten one-line documents."""
    embedding = EmbeddingModel(str(tiny_embedder))
    index = Index.open_or_create(f"test_{uuid4().hex}", embedding_model=str(tiny_embedder), dimension=32, uri=milvus)
    texts = [f"Number {i} is {7 * i}." for i in range(10)]
    chunks = [Chunk(f"{i:032}", f"{i}.md", "", "", text, 0, 0, len(text), 1, "h", 1) for i, text in enumerate(texts)]
    dense = pa.FixedSizeListArray.from_arrays(pa.array(embedding.encode_passages(texts).ravel()), 32)
    index.upsert(chunk_table(chunks).append_column("dense", dense))
    yield index
    index.drop()


def prompts(folder: Path, tokenizer: Any) -> list[str]:
    shards = Shards(folder)
    return [tokenizer.decode(p.input_ids) for refs in shards.in_order(64) for p in shards.read(refs)]


def test_a_share_of_the_examples_carries_passages_and_always_the_same_ones(
    encoding: Any, tokenizer: Any, index: Index, tmp_path: Path
) -> None:
    rows = [row(i % 10) for i in range(60)]
    first, moved = (jsonl(tmp_path / place / "a.jsonl", rows) for place in ("here", "there/and/further"))
    context = ContextConfig(collection=index.name, share=0.5, top_k=1, budget_tokens=100)
    grounded = encoding(context=context, packing=False, max_tokens=400)
    manifest = prepared(first, grounded, tmp_path / "one")
    assert prepared(moved, grounded, tmp_path / "two") == manifest
    assert answers(tmp_path / "one", tokenizer) == [r["answer"] for r in rows]

    has_passage = [INSTRUCTION in prompt for prompt in prompts(tmp_path / "one", tokenizer)]
    assert 15 <= sum(has_passage) <= 45
    assert all("is number" in p and "</passage>" in p for p in prompts(tmp_path / "one", tokenizer) if INSTRUCTION in p)
    other = replace(grounded, seed=1)
    prepared(first, other, tmp_path / "three")
    assert has_passage != [INSTRUCTION in prompt for prompt in prompts(tmp_path / "three", tokenizer)]


def test_passages_leave_weights_and_unused_columns_as_they_are(
    encoding: Any, tokenizer: Any, index: Index, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "What is number 3?"}, {"role": "assistant", "content": "It is 21."}]
    file = jsonl(tmp_path / "a.jsonl", [{"messages": [turns[0], turns[1] | {"weight": 0}, *turns], "id": 1}])
    context = ContextConfig(collection=index.name, share=1.0, top_k=1, budget_tokens=100)
    manifest = prepared(file, encoding(context=context, max_tokens=400), tmp_path / "out")
    assert INSTRUCTION in prompts(tmp_path / "out", tokenizer)[0]
    assert answers(tmp_path / "out", tokenizer) == ["It is 21."]
    assert manifest.unused == ["id"]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 4)])
def test_the_share_of_examples_with_passages_may_be_none_or_all(
    encoding: Any, tokenizer: Any, index: Index, tmp_path: Path, share: float, expected: int
) -> None:
    context = ContextConfig(collection=index.name, share=share, top_k=1, budget_tokens=100)
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(4)])
    prepared(file, encoding(context=context, packing=False, max_tokens=400), tmp_path / "out")
    assert sum(INSTRUCTION in prompt for prompt in prompts(tmp_path / "out", tokenizer)) == expected


def test_a_bad_line_keeps_its_place_when_passages_are_retrieved(encoding: Any, index: Index, tmp_path: Path) -> None:
    context = ContextConfig(collection=index.name, share=1.0)
    file = jsonl(tmp_path / "a.jsonl", [row(0), "{"])
    with pytest.raises(DataError, match=r"a\.jsonl:2 is not valid JSON"):
        prepared(file, encoding(context=context, max_tokens=400), tmp_path / "out")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket on a real local S3 server."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=_S3_PORT, verbose=False)
    server.start()
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("plait-test")
    yield "s3://plait-test"
    server.stop()


def test_a_bucket_is_read_like_a_folder(encoding: Any, bucket: str, tmp_path: Path) -> None:
    import s3fs

    local = jsonl(tmp_path / "data/a.jsonl", [row(i) for i in range(20)])
    pq.write_table(pa.Table.from_pylist([row(i) for i in range(20, 25)]), tmp_path / "data/b.parquet")
    remote = s3fs.S3FileSystem(skip_instance_cache=True)
    remote.put(str(local.parent), "plait-test/data", recursive=True)

    files = find_files(f"{bucket}/data")
    assert [file.uri for file in files] == [f"{bucket}/data/a.jsonl", f"{bucket}/data/b.parquet"]
    assert [file.uri for file in find_files(f"{bucket}/data/*.jsonl")] == [f"{bucket}/data/a.jsonl"]
    there = prepare_dataset(files, encoding(), tmp_path / "there", left_out(tmp_path / "there"))
    assert there.sha256 == prepared(local.parent, encoding(), tmp_path / "here").sha256


def test_a_missing_bucket_or_object_is_named(bucket: str) -> None:
    with pytest.raises(DataError, match=r"There is no data file 's3://plait-test/gone\.jsonl'"):
        find_files(f"{bucket}/gone.jsonl")
    with pytest.raises(DataError, match="'s3://no-such-bucket"):
        find_files("s3://no-such-bucket/a.jsonl")
