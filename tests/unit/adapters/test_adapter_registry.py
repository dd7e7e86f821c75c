"""The registry's list when somebody broke one of its adapters: the others are listed."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plait.adapters import registry
from plait.adapters.metadata import AdapterMetadata
from plait.errors import InvalidInput
from plait.models.chat import FORMATS


class _Tracking:
    """What MLflow says of adapters that lie in folders."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def search_registered_models(self) -> list[Any]:
        return [self.get_registered_model(name) for name in self._folders]

    def get_registered_model(self, name: str) -> Any:
        return SimpleNamespace(name=name, aliases={})

    def search_model_versions(self, condition: str) -> list[Any]:
        name = condition.split("'")[1]
        return [SimpleNamespace(name=name, version="1", source=str(self._folders[name]))]


def saved(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    about = AdapterMetadata(
        base_model="base",
        base_sha256="0",
        dataset_sha256="0",
        recipe={},
        method="lora",
        chat_format=FORMATS["plain"],
        run_id="r",
        run_key="k",
        plait_version="0",
        created_at="2026-01-01T00:00:00+00:00",
        metrics={"eval_loss": 0.5},
    )
    (folder / "plait.json").write_text(json.dumps(about.model_dump(mode="json") | changes))
    return folder


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_text("[" * 100_000),
        lambda file: file.write_text("{"),
        lambda file: file.write_bytes(b"\xff\xfe"),
        lambda file: file.write_text(file.read_text().replace("2026-01-01T", "once upon a time ")),
        lambda file: file.write_text(file.read_text().replace("0.5", "NaN")),
        lambda file: file.write_text(file.read_text().replace("0.5", "1e400")),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (file.unlink(), file.symlink_to(file)),
        lambda file: file.write_text(file.read_text() + " " * (5 << 20)),
    ],
)
def test_one_broken_adapter_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], Any]
) -> None:
    folders = {name: saved(tmp_path / name) for name in ("a", "broken", "c")}
    damage(folders["broken"] / "plait.json")
    monkeypatch.setattr(registry, "tracking_client", lambda: _Tracking(folders))
    assert [version.key for version in registry.Registry().list()] == ["a:1", "c:1"]
    with pytest.raises(InvalidInput):
        AdapterMetadata.read(folders["broken"])


def test_a_loss_that_is_no_number_is_left_out_and_breaks_nothing(tmp_path: Path) -> None:
    saved(tmp_path / "old", metrics={"loss": None, "eval_loss": 0.5})  # as a diverged run was written before
    assert AdapterMetadata.read(tmp_path / "old").metrics == {"eval_loss": 0.5}
    about = AdapterMetadata.read(tmp_path / "old").model_copy()
    diverged = AdapterMetadata.model_validate(about.model_dump() | {"metrics": {"loss": float("nan"), "steps": 3}})
    diverged.write(tmp_path / "old")
    assert AdapterMetadata.read(tmp_path / "old").metrics == {"steps": 3}


@pytest.mark.parametrize("field", [{"stop": [""]}, {"stop": ["x"] * 65}, {"special_tokens": [""]}])
def test_a_chat_format_that_would_fail_each_request_is_refused(tmp_path: Path, field: dict[str, Any]) -> None:
    saved(tmp_path / "odd", chat_format=FORMATS["plain"].model_dump(mode="json") | field)
    with pytest.raises(InvalidInput, match=r"plait.json' is no description of an adapter. The field 'chat_format\."):
        AdapterMetadata.read(tmp_path / "odd")
