"""The command line: quick to help, one sentence and an exit code for whatever goes wrong."""

import resource
import subprocess
import sys
from inspect import signature
from pathlib import Path
from statistics import median

import pytest
import typer
from changed_settings import changed_settings
from typer.testing import CliRunner

from plait.cli import app, main
from plait.jobs.evaluate.command import evaluate
from plait.recipes import EvaluateRecipe

COMMANDS = (
    *(
        "ingest",
        "plan",
        "train",
        "serve",
        "ask",
        "evaluate",
        "compare",
        "promote",
        "rollback",
        "lineage",
        "status",
        "stop",
    ),
    *("jobs submit", "jobs list", "jobs status", "jobs logs", "jobs stop"),
    *("collections list", "collections show", "collections fit", "collections quarantine", "collections drop"),
    *("adapters list", "adapters show", "adapters alias", "adapters rollouts"),
    *("data make-questions", "data export-feedback"),
    *("route train", "route show", "route explain", "route evaluate"),
    *("keys create", "keys list", "keys revoke"),
    *(
        "metrics scrape-config",
        "metrics show",
        "metrics rules",
        "metrics dashboards",
        "metrics local",
        "metrics kubernetes",
    ),
)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and error output of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    code = ended.value.code
    return (code if isinstance(code, int) else 0), capsys.readouterr().err


def test_help_takes_no_more_than_fifteen_bare_interpreters() -> None:
    bare, plait = [sys.executable, "-c", "pass"], [str(Path(sys.executable).parent / "plait"), "--help"]
    # In CPU time and side by side: other work on the machine must not fail this.
    assert median(_cpu_s(plait) / _cpu_s(bare) for _ in range(9)) <= 15


def _cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


_HELP = """
import sys
from plait.cli import main
try:
    main(["--help"])
except SystemExit:
    slow = {"importlib.metadata", "rich.markdown", "rich.traceback"}
    slow |= {"asyncio", "httpx", "numpy", "pydantic", "ray", "yaml"}
    print(*sorted(slow & set(sys.modules)), file=sys.stderr)
"""


def test_help_imports_nothing_that_takes_long() -> None:
    shown = subprocess.run([sys.executable, "-c", _HELP], capture_output=True, text=True, check=True)
    assert "Commands" in shown.stdout
    assert shown.stderr.split() == []


def test_the_overview_says_of_every_command_and_option_what_it_does() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.replace("│", " ").split())
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert f"{name} {' '.join((command.help or '').partition(chr(10) * 2)[0].split())}" in shown
    assert "--debug Show the traceback of an error. [env var: PLAIT_DEBUG]" in shown


@pytest.mark.parametrize("command", [*COMMANDS, "evaluate calibrate", "evaluate label"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert f"plait {command}" in " ".join(result.output.replace("│", " ").split()).partition("Example")[2]


def test_the_table_of_commands_above_is_complete() -> None:
    group = typer.main.get_command(app)
    names = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        names |= {f"{name} {sub}" for sub in getattr(command, "commands", {})} or {name}
    assert names == set(COMMANDS)


def test_an_unknown_field_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "train", "qlora", "train.lrr=1")
    assert code == 2
    assert "The field 'train.lrr' is not known or not supported. Did you mean 'train.lr'" in error
    assert "Traceback" not in error


def test_a_missing_data_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "train", "qlora", "data.train=/no/such.jsonl")
    assert (code, error) == (2, error)
    assert "There is no file or folder '/no/such.jsonl'" in error


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("package:no-such-package", "The model package 'no-such-package' is not installed"),
        ("./no/such/folder", "There is no model folder './no/such/folder'"),
        ("package:rich", "The package 'rich' holds no model"),
    ],
)
def test_a_wrong_model_id_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, source: str, complaint: str
) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"question": "a", "answer": "b"}\n')
    code, error = run(capsys, "train", "qlora", f"data.train={file}", f"model.source={source}")
    assert code == 2
    assert complaint in error


def test_a_server_that_is_not_there_is_a_failure_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "ask", "hello", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "No server answers at http://127.0.0.1:9" in error
    assert "plait serve" in error


@pytest.mark.parametrize(
    "question", ["-5 degrees?", "--model or what?", "-h is help?", "- what = this?", "-5?", "-?", "--x?"]
)
def test_a_question_may_begin_with_a_dash(
    question: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("plait.chat_client.ask", lambda *arguments: asked.append(arguments[1:3]) or sys.exit(0))
    assert run(capsys, "ask", question, "top_k=5", "--model", "base") == (0, "")
    assert asked == [("base", question)]


@pytest.mark.parametrize("url", ["-a b", "http://[::1", "http://a b"])
def test_an_address_that_is_none_is_named_as_it_was_given(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "ask", "hello", "--url", url)
    assert code == 1
    assert f"No server answers at {url} (" in error


def test_a_model_may_begin_with_a_dash_and_an_option_must_be_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("plait.chat_client.ask", lambda *arguments: asked.append(arguments[1:3]) or sys.exit(0))
    assert run(capsys, "ask", "-5?", "--model", "-a b") == (0, "")
    assert asked == [("-a b", "-5?")]
    code, error = run(capsys, "ask", "hello", "--modle", "base")
    assert (code, "No such option" in error) == (2, True)


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_DEBUG", "")  # so that it is put back after the test
    code, error = run(capsys, "--debug", "train", "qlora", "train.lrr=1")
    assert code == 2
    assert "Traceback" in error
    assert "plait: Recipe 'qlora'" in error


def test_a_full_disk_is_said_in_the_systems_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device", "/data/x")

    monkeypatch.setattr("plait.recipes.load_recipe", no_space)
    code, error = run(capsys, "train", "qlora")
    assert (code, error) == (1, "plait: No space left on device: /data/x\n")


def test_an_error_of_ours_is_called_a_bug(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("plait.recipes.load_recipe", broken)
    code, error = run(capsys, "train", "qlora")
    assert code == 1
    assert "This is a bug in Plait; run again with --debug" in error


def test_a_setting_that_makes_no_sense_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with changed_settings(metrics_port="abc"):
        code, error = run(capsys, "status")
    assert code == 2
    assert "PLAIT_METRICS_PORT is 'abc'" in error


def test_the_help_of_evaluate_says_what_its_recipe_takes_by_itself() -> None:
    options = signature(evaluate).parameters
    for name in ("max_tokens", "concurrency"):
        assert options[name].default.show_default == str(EvaluateRecipe.model_fields[name].default)
