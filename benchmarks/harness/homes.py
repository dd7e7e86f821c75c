"""A place of its own for a benchmark: Ray, MLflow, run folders."""

import os
from pathlib import Path

import ray

from plait.local.process import free_port
from plait.local.stack import stop_all
from plait.settings import settings


def own_home(folder: Path) -> None:
    """A Ray, an MLflow and run folders of this benchmark's own; models stay where they are cached."""
    models = settings().root / "models"
    models.mkdir(parents=True, exist_ok=True)
    home = folder / "home"
    home.mkdir()
    (home / "models").symlink_to(models)
    ports = ("HTTP_PORT", "METRICS_PORT", "RAY_METRICS_PORT", "RAY_DASHBOARD_PORT")
    os.environ |= {f"PLAIT_{name}": str(free_port()) for name in ports} | {"PLAIT_HOME": str(home)}
    settings.cache_clear()


def stop() -> None:
    """End what it started."""
    ray.shutdown()
    stop_all()
