"""Where adapters come from: only from configured stores, downloaded once, refused when they must not be loaded."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from plait.errors import InvalidInput, ModelNotFound, Unavailable
from plait.local.process import free_port
from plait.serve.adapters.cache import AdapterCache
from plait.serve.adapters.limits import AdapterLimits
from plait.serve.adapters.sources import AdapterSources

LIMITS = AdapterLimits(max_rank=16, max_bytes=1000)


def write_adapter(folder: Path, weights: bytes = b"weights", **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]} | config)
    )
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def sources(tmp_path: Path, *stores: str, max_bytes: int = 10**6) -> AdapterSources:
    return AdapterSources(stores, AdapterCache(tmp_path / "cache", max_bytes), LIMITS)


# ------------------------------------------------------------ stores


def test_a_folder_inside_a_store_is_used_where_it_lies(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "store" / "support")
    assert sources(tmp_path, str(tmp_path / "store")).fetch(str(folder)) == folder


@pytest.mark.parametrize(
    "location",
    ["/etc", "{store}/../other", "{store}/link", "{store}2", "s3://other/support", "s3://bucket/../x", "evil/adapter"],
)
def test_nothing_outside_the_stores_is_opened(tmp_path: Path, location: str) -> None:
    store = tmp_path / "store"
    store.mkdir()
    write_adapter(tmp_path / "other")
    write_adapter(tmp_path / "store2")
    (store / "link").symlink_to(tmp_path / "other")
    allowed = sources(tmp_path, str(store), "s3://bucket", "hub:org")
    with pytest.raises(InvalidInput, match="lies in none of the stores"):
        allowed.fetch(location.format(store=store))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "plait.json"])
@pytest.mark.parametrize("kind", ["link", "link to a link", "relative link", "link to a device", "link in a circle"])
def test_a_file_of_an_adapter_that_is_a_link_out_of_the_stores_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    store = tmp_path / "store"
    folder = write_adapter(store / "support")
    secret = write_adapter(tmp_path / "elsewhere") / name
    secret.touch()
    (folder / name).unlink(missing_ok=True)
    if kind == "link to a link":
        (store / "between").symlink_to(secret)
    target = {
        "link": secret,
        "link to a link": store / "between",
        "relative link": Path("../../elsewhere") / name,
        "link to a device": Path("/dev/zero"),
        "link in a circle": folder / name,
    }[kind]
    (folder / name).symlink_to(target)
    with pytest.raises(InvalidInput, match=r"outside the stores|no path that can be opened|is no file"):
        sources(tmp_path, str(store)).fetch(str(folder))


def test_a_link_inside_the_stores_is_followed_and_a_pipe_is_no_file(tmp_path: Path) -> None:
    store = tmp_path / "store"
    folder, shared = write_adapter(store / "support"), write_adapter(store / "shared")
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.safetensors").symlink_to(shared / "adapter_model.safetensors")
    assert sources(tmp_path, str(store)).fetch(str(folder)) == folder
    os.mkfifo(folder / "plait.json")
    with pytest.raises(InvalidInput, match=r"plait.json' is no file"):
        sources(tmp_path, str(store)).fetch(str(folder))


@pytest.mark.parametrize(
    "location",
    [
        "{store}/a\0b",
        "{store}/\x1b[2J",
        "/\ud83d",
        "s3://bucket/\0",
        "org/na\0me",
        "/" + "a" * 5000,
        "{store}/" + "a" * 300,
        "~nobody-has-this-name/x",
        "{store}/circle",
    ],
)
def test_a_location_that_no_path_has_is_refused_in_a_sentence(tmp_path: Path, location: str) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "circle").symlink_to(store / "circle")
    with pytest.raises(InvalidInput) as refused:
        sources(tmp_path, str(store), "s3://bucket", "hub:*").fetch(location.format(store=store))
    assert len(refused.value.what) < 500
    assert "\0" not in refused.value.what


@pytest.mark.parametrize("location", ["a/..", "org/-name", "org/" + "a" * 200])
def test_what_is_no_id_of_the_hub_is_refused_before_it_is_asked(tmp_path: Path, location: str) -> None:
    with pytest.raises(InvalidInput, match="is no id of the hub"):
        sources(tmp_path, "hub:*").fetch(location)


def test_what_is_no_place_at_all_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no place of an adapter"):
        sources(tmp_path).fetch("http://169.254.169.254/x")


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="There is no folder"):
        sources(tmp_path, str(tmp_path)).fetch(str(tmp_path / "gone"))


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **options: Any) -> str:
        assert not any(pattern.endswith((".bin", ".pt", "*")) for pattern in options["allow_patterns"])
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(Unavailable, match=r"'org/support' could not be fetched from the hub \(no route to host\)"):
        sources(tmp_path, "hub:org").fetch("org/support")


# ------------------------------------------------------------ object stores


@pytest.fixture(scope="module")
def bucket(object_store: Any) -> Any:
    """A bucket on it."""
    object_store.mkdir("adapters")
    return object_store


def test_an_adapter_in_a_bucket_is_downloaded_once_and_again_when_it_changed(bucket: Any, tmp_path: Path) -> None:
    local = write_adapter(tmp_path / "local", weights=b"one")
    (local / "optimizer.pt").write_bytes(b"pickle")
    bucket.put(f"{local}/", "adapters/support", recursive=True)
    from_s3 = sources(tmp_path, "s3://adapters")
    first = from_s3.fetch("s3://adapters/support")
    assert {file.name for file in first.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert (first / "adapter_model.safetensors").read_bytes() == b"one"
    assert from_s3.fetch("s3://adapters/support/") == first
    bucket.pipe("adapters/support/adapter_model.safetensors", b"two")
    second = from_s3.fetch("s3://adapters/support")
    assert second != first
    assert (second / "adapter_model.safetensors").read_bytes() == b"two"


def test_what_is_too_large_pickled_or_missing_in_a_bucket_is_refused_before_it_is_downloaded(
    bucket: Any, tmp_path: Path
) -> None:
    from_s3 = sources(tmp_path, "s3://adapters")
    bucket.pipe("adapters/large/adapter_config.json", b"{}")
    bucket.pipe("adapters/large/adapter_model.safetensors", b"x" * 1001)
    with pytest.raises(InvalidInput, match=r"has 1,001 bytes; this server takes at most 1,000\. .*max_adapter_bytes"):
        from_s3.fetch("s3://adapters/large")
    bucket.pipe("adapters/wordy/adapter_config.json", b"[" * (5 << 20))
    bucket.pipe("adapters/wordy/adapter_model.safetensors", b"x")
    with pytest.raises(InvalidInput, match=r"adapter_config.json' has 5,242,880 bytes; such a file may have"):
        from_s3.fetch("s3://adapters/wordy")
    bucket.pipe("adapters/pickled/adapter_config.json", b"{}")
    bucket.pipe("adapters/pickled/adapter_model.bin", b"x")
    with pytest.raises(InvalidInput, match="holds pickled weights"):
        from_s3.fetch("s3://adapters/pickled")
    with pytest.raises(ModelNotFound, match="nothing at 's3://adapters/gone'"):
        from_s3.fetch("s3://adapters/gone")
    assert not list((tmp_path / "cache").glob("*/")) if (tmp_path / "cache").exists() else True


def test_an_object_store_that_does_not_answer_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(Unavailable, match="'s3://adapters/support' cannot be read"):
        sources(tmp_path, "s3://adapters").fetch("s3://adapters/support")


# ------------------------------------------------------------ the disk tier


def test_the_least_recently_used_folder_is_deleted_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    cache = AdapterCache(tmp_path, max_bytes=250)

    def fill(folder: Path) -> None:
        (folder / "weights").write_bytes(b"x" * 100)

    folders = {name: cache.folder(name, fill) for name in ("a", "b")}
    for age_s, name in ((200, "b"), (100, "a")):
        os.utime(folders[name], (time.time() - age_s,) * 2)
    cache.folder("c", fill)
    assert [folders["a"].exists(), folders["b"].exists()] == [True, False]


def test_a_folder_used_a_moment_ago_is_kept_however_small_the_cache(tmp_path: Path) -> None:
    cache = AdapterCache(tmp_path, max_bytes=0)
    folder = cache.folder("a", lambda folder: (folder / "weights").write_bytes(b"x") and None)
    assert (folder / "weights").exists()


def test_a_download_that_fails_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    cache = AdapterCache(tmp_path, max_bytes=1000)

    def fails(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        cache.folder("a", fails)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert list(cache.folder("a", lambda folder: None).iterdir()) == []


# ------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        ({"r": 17}, b"", r"has rank 17; this server takes at most 16\. .*llm\.max_rank"),
        ({"rank_pattern": {"q_proj": 64}}, b"", "has rank 64"),
        ({}, b"x" * 1001, "has 1,001 bytes"),
        ({"r": "many"}, b"", r"is no adapter configuration\. The field 'r' must be a whole number\."),
        ({"peft_type": None}, b"", r"is no adapter configuration: it has no peft_type\."),
    ],
)
def test_an_adapter_beyond_the_limits_is_refused_with_both_numbers(
    tmp_path: Path, config: dict[str, Any], weights: bytes, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        LIMITS.check(write_adapter(tmp_path, weights, **config), "base")


def test_a_configuration_that_is_no_json_is_refused(tmp_path: Path) -> None:
    write_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(InvalidInput, match="is no valid JSON"):
        LIMITS.check(tmp_path, "base")


def test_a_plain_peft_folder_of_another_base_name_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    monkeypatch.setattr(logging.getLogger("ray.serve"), "propagate", True)
    write_adapter(tmp_path, base_model_name_or_path="google/Gemma-3")
    LIMITS.check(tmp_path, "/models/gemma-3/")
    assert not caplog.records
    LIMITS.check(tmp_path, "/models/llama")
    assert "names the base model 'google/Gemma-3'" in caplog.text
