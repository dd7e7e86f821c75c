"""What benchmarks share: their options, an environment for each peer, and a section each in docs/benchmarks.md."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
_PAGE = ROOT / "docs" / "benchmarks.md"
_ENVIRONMENTS = ROOT / "benchmarks" / ".environments"
_TITLE = """# Benchmarks

Each section is written by the command that stands in it. Figures are medians of the runs, in brackets the smallest and
the largest; ratios are of medians. Peers run in environments of their own, turn by turn with Plait, on the same data.
"""


@dataclass(frozen=True)
class Options:
    """`quick` runs less, to see that it works: its figures are not for the page."""

    quick: bool
    as_json: bool
    runs: int
    cases: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    is_partial: bool = False
    minutes: float = 0.0
    model: str = ""
    judge_model: str = ""
    folders: tuple[Path, ...] = ()


def options(
    description: str,
    runs: int = 3,
    cases: Sequence[str] = (),
    systems: Sequence[str] = (),
    minutes: float | None = None,
    model: str = "",
    judge_model: str = "",
    folders: Sequence[Path] = (),
) -> Options:
    """Read the command line that all benchmarks have.

    With cases and systems, some of them can be chosen, and with a model another one. Of a judge there is no usual one:
    the section names it. One that runs for a time, `minutes`, is not repeated. One that measures what is there already
    takes `folders`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.set_defaults(only=(), systems=(), model=model, judge_model="")
    parser.add_argument("--quick", action="store_true", help="one short run, nothing is written")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    if minutes is not None:
        parser.add_argument("--minutes", type=float, default=minutes, help="how long it runs; --quick: 1")
        given = parser.parse_args()
        return Options(given.quick, given.json, runs, minutes=1.0 if given.quick else given.minutes)
    parser.add_argument("--runs", type=int, default=runs, help="how often everything is measured")
    if cases:
        parser.add_argument("--only", nargs="+", choices=cases, default=cases, help="these cases; nothing is written")
    if systems:
        parser.add_argument("--systems", nargs="+", choices=systems, default=systems, help="these; nothing is written")
    if model:
        parser.add_argument("--model", default=model, help="source of the base model; nothing is written of another")
    if judge_model:
        parser.add_argument("--judge-model", default=judge_model, help="source of the model that judges")
    if folders:
        parser.add_argument(
            "folders",
            nargs="*",
            type=Path,
            default=folders,
            help="default: the usual ones; nothing is written of others",
        )
    given = parser.parse_args()
    runs = 1 if given.quick else given.runs
    some_cases = tuple(case for case in cases if case in given.only)
    some_systems = tuple(system for system in systems if system in given.systems)
    is_partial = (some_cases, some_systems, given.model) != (tuple(cases), tuple(systems), model)
    is_partial |= bool(folders) and tuple(given.folders) != tuple(folders)
    return Options(
        given.quick,
        given.json,
        runs,
        some_cases,
        some_systems,
        is_partial,
        model=given.model,
        judge_model=given.judge_model,
        folders=tuple(given.folders) if folders else (),
    )


def peer_python(name: str, packages: Sequence[str], shares_pins: bool = True) -> Path:
    """The interpreter of a peer's own environment, made the first time.

    `shares_pins`: it has our torch and our versions of what both use; else it has whatever the peer's own packages ask
    for, and no torch.
    """
    python = _ENVIRONMENTS / name / "bin" / "python"
    done = _ENVIRONMENTS / name / "packages.json"
    if done.is_file() and json.loads(done.read_text()) == list(packages):
        return python
    print(f"installing {' '.join(packages)} into {_ENVIRONMENTS / name}", flush=True)
    constraints = ROOT / "constraints.txt"
    subprocess.run([sys.executable, "-m", "venv", str(_ENVIRONMENTS / name)], check=True)
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    if shares_pins:
        subprocess.run([str(ROOT / ".ci" / "install-torch"), str(python), str(constraints)], check=True)
        command += ["-c", str(constraints)]
    subprocess.run([*command, *packages], check=True)
    done.write_text(json.dumps(list(packages)))
    return python


def spread(values: Sequence[float], shown: Callable[[float], str] = "{:.0f}".format) -> str:
    """Median, smallest and largest, as text."""
    return f"{shown(median(values))} ({shown(min(values))} to {shown(max(values))})"


def publish(
    name: str,
    title: str,
    body: str,
    ratios: Mapping[str, float],
    given: Options,
    counts: Mapping[str, Any] | None = None,
) -> None:
    """Print a result; write it into docs/benchmarks.md unless it was a quick run, or one of some cases.

    `counts`: more in the JSON.
    """
    command = f"python benchmarks/{name}.py" + (f" --runs {given.runs}" if given.runs != 3 else "")
    command += f" --minutes {given.minutes:g}" if given.minutes else ""
    command += " --judge-model SOURCE" if given.judge_model else ""
    measured = f"Measured {datetime.now(UTC):%Y-%m-%d} on {_cpu()}."
    section = f"## {title}\n\n    {command}\n\n{body.strip()}\n\n{measured}\n"
    print(section)
    if not given.quick and not given.is_partial:
        _replace_section(name, section)
    if given.as_json:
        print(json.dumps({"benchmark": name, "quick": given.quick, "ratios": ratios, **(counts or {})}))


def _replace_section(name: str, section: str) -> None:
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = _PAGE.read_text(encoding="utf-8") if _PAGE.is_file() else _TITLE
    marked = f"{begin}\n{section}{end}"
    if begin in text:
        before, _, rest = text.partition(begin)
        text = before + marked + rest.partition(end)[2]
    else:
        text = f"{text.rstrip()}\n\n{marked}\n"
    _PAGE.write_text(text, encoding="utf-8")


def _cpu() -> str:
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{os.cpu_count()} cores of {name}"


def last_json(output: str) -> dict[str, Any]:
    """The object on the last line of what a program printed."""
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found
