"""What is found out before a run computes anything."""

from pathlib import Path

import pytest

from plait.errors import DataError
from plait.jobs.train.prepare import prepare
from plait.recipes import TrainRecipe, load_recipe


def test_a_guessed_encoding_is_said_before_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "train.csv"
    data.write_bytes("question,answer\nWie heißt die Straße?,Bärenweg natürlich\n".encode("cp1252"))
    recipe = load_recipe(TrainRecipe, "lora", [f"data.train={data}", f"data.eval={tmp_path / 'none.jsonl'}"])
    with pytest.raises(DataError, match=r"none\.jsonl"):
        prepare(recipe)
    assert f"data.train: {data}: read as cp1252 (guessed)" in capsys.readouterr().out
