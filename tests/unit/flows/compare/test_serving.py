"""What serves a comparison is taken down, whatever ends it."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from made_findings import made_recipe

from plait import interruption
from plait.errors import Conflict
from plait.flows.compare import serving as module
from plait.flows.compare.serving import serving


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(module, "connect", lambda: None)
    monkeypatch.setattr(module, "served_since", lambda _: 7.5 if done and done[-1] != "taken down" else None)
    monkeypatch.setattr(module, "_config", lambda _, base_model: base_model)

    def deploy(config: Any, on_progress: Any) -> str:
        done.append(f"deployed {config}")
        return f"http://{config}"

    monkeypatch.setattr(module, "deploy", deploy)
    monkeypatch.setattr(module, "take_down", lambda: done.append("taken down"))
    return done


def test_a_base_model_is_deployed_once_while_it_is_asked(events: list[str], tmp_path: Path) -> None:
    with serving(made_recipe(), url=None, is_kept=False, folder=tmp_path) as served:
        assert [served.url_of("a"), served.url_of("a"), served.url_of("b")] == ["http://a", "http://a", "http://b"]
    assert events == ["deployed a", "deployed b", "taken down"]


def test_it_goes_on_only_where_all_went_well(events: list[str], tmp_path: Path) -> None:
    with serving(made_recipe(model="a"), url=None, is_kept=True, folder=tmp_path) as served:
        served.url_of("a")
    assert events == ["deployed a"]
    with pytest.raises(ZeroDivisionError), serving(made_recipe(), url=None, is_kept=True, folder=tmp_path):
        raise ZeroDivisionError
    assert events == ["deployed a", "taken down"]


def test_what_is_to_go_on_is_the_base_model_also_where_nobody_had_to_be_asked(
    events: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = made_recipe()
    with serving(recipe, url=None, is_kept=True, folder=tmp_path):
        pass
    assert events == [f"deployed {recipe.model}"]
    assert "serving goes on at http" in capsys.readouterr().out
    with serving(recipe, url=None, is_kept=True, folder=tmp_path):
        pass
    assert events == [f"deployed {recipe.model}"]  # it is there still
    with serving(recipe, url=None, is_kept=True, folder=tmp_path) as served:
        served.url_of("a whole model")
    assert events[-1] == f"deployed {recipe.model}"


def test_a_server_that_stands_anyway_is_left_alone(events: list[str], tmp_path: Path) -> None:
    with serving(made_recipe(), url="http://there", is_kept=False, folder=tmp_path) as served:
        assert served.url_of("a") == "http://there"
    assert events == []


def test_what_it_had_begun_to_serve_is_taken_down_on_sigterm(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deploy(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

    monkeypatch.setattr(module, "deploy", deploy)
    with (
        interruption.handled(),
        pytest.raises(KeyboardInterrupt),
        serving(made_recipe(), url=None, is_kept=True, folder=tmp_path) as served,
    ):
        served.url_of("a")
    assert events == ["taken down"]


def test_an_application_that_is_there_is_not_replaced(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "served_since", lambda _: 7.5)
    with pytest.raises(Conflict, match="--url"), serving(made_recipe(), url=None, is_kept=False, folder=tmp_path):
        pytest.fail("it is not served")
    assert events == []


def test_an_application_that_came_while_adapters_were_trained_is_neither_replaced_nor_taken_down(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(made_recipe(), url=None, is_kept=False, folder=tmp_path) as served:
        monkeypatch.setattr(module, "served_since", lambda _: 7.5)
        with pytest.raises(Conflict, match="--url"):
            served.url_of("a")
    assert events == []


def test_one_killed_after_it_had_taken_its_own_down_leaves_nothing_to_take(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serving").write_text("not yet")
    with serving(made_recipe(), url=None, is_kept=False, folder=tmp_path):
        monkeypatch.setattr(module, "served_since", lambda _: 9.5)
    assert events == []


def test_what_a_killed_comparison_left_behind_is_gone_on_with(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "served_since", lambda _: 7.5 if events else None)
    (tmp_path / "serving").write_text("not yet")
    events.append("left by one that was killed")
    with serving(made_recipe(), url=None, is_kept=False, folder=tmp_path) as served:
        served.url_of("a")
    assert events == ["left by one that was killed", "deployed a", "taken down"]
    with pytest.raises(Conflict), serving(made_recipe(), url=None, is_kept=False, folder=tmp_path):
        pytest.fail("it is somebody else's now")


def test_one_that_somebody_served_after_the_one_that_was_kept_is_not_replaced(
    events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = {"plait": 7.5}
    monkeypatch.setattr(module, "served_since", lambda name: since[name] if events else None)
    with serving(made_recipe(model="a"), url=None, is_kept=True, folder=tmp_path) as served:
        served.url_of("a")
    with serving(made_recipe(model="a"), url=None, is_kept=True, folder=tmp_path) as served:
        served.url_of("a")
    assert events == ["deployed a", "deployed a"]
    since["plait"] = 9.5
    with pytest.raises(Conflict), serving(made_recipe(model="a"), url=None, is_kept=True, folder=tmp_path):
        pytest.fail("it is somebody else's")
    assert events == ["deployed a", "deployed a"]
