import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from plait.cli import app
from plait.errors import InvalidInput
from plait.index.collection import Index, list_collections
from plait.index.stores.store import Store
from plait.jobs.ingest.watch import watch
from plait.recipes import IngestRecipe

pytestmark = pytest.mark.usefixtures("ray_cluster")


def wait_until(is_so: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_a_watched_folder_and_its_index_stay_in_step_until_sigterm(
    recipe: IngestRecipe, docs: Path, tmp_path: Path, milvus: Store
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.model_dump()), encoding="utf-8")
    command = [sys.executable, "-m", "plait.jobs.ingest", str(file), "--watch"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def documents() -> set[str]:
        assert run.poll() is None
        if recipe.collection not in list_collections(milvus):
            return set()
        return set(Index.open(recipe.collection, milvus).document_states("default"))

    try:
        wait_until(lambda: documents() == {"a.md", "b.md", "guide/c.md"})
        (docs / "d.md").write_text("# New\n\nand here", encoding="utf-8")
        (docs / "a.md").unlink()
        wait_until(lambda: documents() == {"b.md", "d.md", "guide/c.md"})
        wait_until(lambda: Index.open(recipe.collection, milvus).stats().freshness is not None)
    finally:
        run.terminate()
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    lines = said.splitlines()
    assert lines[-1] == "no longer watching"
    foreign = [line for line in lines[:-1] if not re.match(rf"starting |(ingest )?{recipe.collection}: \d", line)]
    assert foreign == []  # nothing by Ray, nor by any other library
    in_step_at = Index.open(recipe.collection, milvus).in_step_at()
    assert in_step_at is not None
    assert 0 <= time.time() - in_step_at < 120
    freshness = Index.open(recipe.collection, milvus).stats().freshness
    assert freshness is not None
    assert freshness.documents == 1
    assert 0 < freshness.max_s < 120
    shown = CliRunner().invoke(app, ["collections", "show", recipe.collection]).output
    assert "freshness: 1 documents could be found" in shown


def test_what_is_not_here_cannot_be_watched(recipe: IngestRecipe) -> None:
    elsewhere = recipe.model_copy(update={"sources": ["s3://bucket/docs"]})
    with pytest.raises(InvalidInput, match="'s3://bucket/docs' cannot be watched"):
        watch(elsewhere, print, print)
