"""How many trainings run at once, and what becomes of the others when one fails."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plait.errors import PlaitError
from plait.flows.compare import side_by_side
from plait.flows.compare.side_by_side import at_once
from plait.recipes import TrainRecipe, load_recipe


def recipe(name: str, **scale: float) -> TrainRecipe:
    fields = [f"scale.{field}={value}" for field, value in scale.items()]
    return load_recipe(TrainRecipe, "lora", [f"name={name}", *fields])


@pytest.mark.parametrize(
    ("recipes", "resources", "expected"),
    [
        ([recipe("a"), recipe("b")], {"CPU": 64.0}, 1),
        ([recipe("a", gpus_per_worker=1), recipe("b", gpus_per_worker=1)], {"CPU": 64.0, "GPU": 8.0}, 2),
        ([recipe(n, gpus_per_worker=1, workers=2) for n in "abcd"], {"CPU": 64.0, "GPU": 4.0}, 2),
        ([recipe(n, gpus_per_worker=1, cpus_per_worker=8) for n in "abcd"], {"CPU": 16.0, "GPU": 4.0}, 2),
        ([recipe("a", gpus_per_worker=8)], {"CPU": 4.0, "GPU": 4.0}, 1),
        ([recipe("a", gpus_per_worker=1), recipe("b")], {"CPU": 64.0, "GPU": 8.0}, 1),
    ],
)
def test_as_many_are_trained_at_once_as_the_gpus_allow(
    recipes: Sequence[TrainRecipe], resources: dict[str, float], expected: int
) -> None:
    assert at_once(recipes, resources) == expected


def test_when_one_fails_the_others_are_asked_to_end_and_no_more_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import pathlib, signal, sys, time\n"
        f"name = pathlib.Path(sys.argv[1]).read_text().partition('\"name\":\"')[2].partition('\"')[0]\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "(here / f'{name}.begun').touch()\n"
        "signal.signal(signal.SIGTERM, lambda *_: ((here / f'{name}.saved').touch(), sys.exit(143)))\n"
        "while name == 'fails' and not (here / 'waits.begun').exists(): time.sleep(0.01)\n"
        "if name == 'fails': time.sleep(0.2); print('The disk is full.'); sys.exit(1)\n"
        "time.sleep(60)\n"
    )
    begun = side_by_side.subprocess.Popen

    def popen(command: Sequence[str], **options: Any) -> Any:
        return begun([sys.executable, "-c", script, command[3]], **options)

    monkeypatch.setattr(side_by_side.subprocess, "Popen", popen)
    started = time.monotonic()
    with pytest.raises(PlaitError, match=r"training of fails failed: The disk is full"):
        side_by_side._train_in_processes([recipe("fails"), recipe("waits"), recipe("never")], places=2)
    assert time.monotonic() - started < 30
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fails.begun", "waits.begun", "waits.saved"]
    assert "[fails] The disk is full." in capsys.readouterr().out
