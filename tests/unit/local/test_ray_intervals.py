"""The intervals of the local Ray head: known to the installed Ray, and the user's where the user has set them."""

from pathlib import Path

import pytest
import ray

from plait.local.ray_intervals import intervals

_RAY = Path(ray.__file__).parent
_READ_IN_PYTHON = (
    "serve/_private/constants.py",
    "dashboard/consts.py",
    "dashboard/modules/event/event_consts.py",
    "dashboard/modules/reporter/reporter_consts.py",
    "_private/log_monitor.py",
)


def test_the_installed_ray_reads_every_one() -> None:
    compiled = (_RAY / "core/src/ray/gcs/gcs_server").read_bytes()
    python = "".join((_RAY / file).read_text(encoding="utf-8") for file in _READ_IN_PYTHON)
    unknown = [name for name in intervals() if name.encode() not in compiled and f'"{name}"' not in python]
    assert unknown == []


def test_one_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.1")
    assert intervals()["RAY_SERVE_CONTROL_LOOP_INTERVAL_S"] == "0.1"
    assert intervals()["LOG_NAME_UPDATE_INTERVAL_S"] != "0.1"
