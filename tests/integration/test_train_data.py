"""Training data on a real Ray Data, from files of any kind to shards of packed rows."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_rows import answers, encoding_of, jsonl, left_out, prepared, row

from plait.documents.row_source import find_rows
from plait.errors import DataError
from plait.jobs.train import packed_rows
from plait.jobs.train.dataset import prepare_dataset
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.objectives.dpo import DpoConfig
from plait.jobs.train.packed_rows import Encoding
from plait.jobs.train.shards import MANIFEST, RowRef, Shards
from plait.local.process import free_port
from plait.models.tokenizer import load_tokenizer

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
def encoding(tiny_model: Path) -> Any:
    """Encoding(objective, **data): how a run of the tiny model encodes its rows."""
    return partial(encoding_of, tiny_model)


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

    monkeypatch.setattr(packed_rows, "encode_and_pack", tell_task)
    monkeypatch.setattr(packed_rows, "_BLOCK_BYTES", 64 * 1024)
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(5000)])
    told = pa.concat_tables(packed_rows.packed_rows(find_rows(str(file)), encoding())).to_pydict()
    assert sum(told["rows"]) == 5000
    assert max(told["rows"]) <= 1000
    assert len(set(told["task"])) >= 3


def test_what_is_complete_is_used_again_and_what_is_not_is_made_anew(encoding: Any, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(5)])
    manifest = prepared(file, encoding(), tmp_path / "out")
    source = find_rows(str(file))
    file.unlink()
    assert prepare_dataset(source, encoding(), tmp_path / "out", left_out(tmp_path / "out")) == manifest
    (tmp_path / "out" / MANIFEST).unlink()
    jsonl(file, [row(i) for i in range(6)])
    assert prepare_dataset(source, encoding(), tmp_path / "out", left_out(tmp_path / "out")).examples == 6
    assert not list(tmp_path.glob(".part-*"))


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


def test_pairs_come_out_chosen_then_rejected(encoding: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(12)]
    prepared(jsonl(tmp_path / "a.jsonl", rows), encoding(DpoConfig(kind="dpo")), tmp_path / "out")
    found = answers(tmp_path / "out", tokenizer)
    pairs = sorted(zip(found[::2], found[1::2], strict=True))
    assert pairs == sorted((f"good {i}", f"bad {i}") for i in range(12))


def test_what_takes_long_says_how_far_it_is(
    encoding: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = jsonl(tmp_path / "a.jsonl", [row(i) for i in range(5)])
    prepared(file, encoding(), tmp_path / "quick")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("plait.jobs.train.dataset._QUIET_S", 0.0)
    manifest = prepared(file, encoding(), tmp_path / "slow")
    assert capsys.readouterr().out == f"prepare slow: 5 rows, {manifest.tokens} tokens\n"


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

    source = find_rows(f"{bucket}/data")
    assert source.parts == [f"{bucket}/data/a.jsonl", f"{bucket}/data/b.parquet"]
    assert find_rows(f"{bucket}/data/*.jsonl").parts == [f"{bucket}/data/a.jsonl"]
    there = prepare_dataset(source, encoding(), tmp_path / "there", left_out(tmp_path / "there"))
    assert there.sha256 == prepared(local.parent, encoding(), tmp_path / "here").sha256


def test_a_missing_bucket_or_object_is_named(bucket: str) -> None:
    with pytest.raises(DataError, match=r"There is nothing at 's3://plait-test/gone\.jsonl'"):
        find_rows(f"{bucket}/gone.jsonl")
    with pytest.raises(DataError, match="'s3://no-such-bucket"):
        find_rows("s3://no-such-bucket/a.jsonl")
