"""A worker that dies, for real: a crash, an exit and a test that waits for ever, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import last_words
import pytest

DYING = """
import asyncio, ctypes, os
import pytest

def test_crash():
    ctypes.string_at(0)

def test_exit():
    os._exit(3)

async def said(arrived):
    while True:
        yield await arrived.get()

async def listen():
    async for _ in said(asyncio.Queue()):
        pass

@pytest.mark.timeout(1)
async def test_wait():
    await asyncio.gather(listen(), listen())
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says in the end of tests that take their workers along."""
    folder = tmp_path_factory.mktemp("dying")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (folder / "test_dying.py").write_text(DYING)
    plugins = ("xdist", "pytest_timeout", "pytest_asyncio.plugin", "last_words")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-n1", "--timeout-method=thread", *(f"-p{plugin}" for plugin in plugins)],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(Path(last_words.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.stdout.partition("= FAILURES =")[2]


def of_test(report: str, name: str) -> str:
    """The part of the report about one test."""
    found = re.search(rf"crashed while running 'test_dying.py::{name}'\n(.*?)\n(___|===)", report, re.DOTALL)
    assert found, report
    return found[1]


def test_a_crash_names_its_signal_and_where_it_was(report: str) -> None:
    said = of_test(report, "test_crash")
    assert said.startswith("It ended with exit code -11 (SIGSEGV).\n")
    assert re.search(r"test_dying.py\", line \d+ in test_crash", said)


def test_an_exit_says_its_code(report: str) -> None:
    assert of_test(report, "test_exit") == "It ended with exit code 3."


def test_a_test_that_waits_for_ever_says_what_its_threads_and_tasks_wait_for(report: str) -> None:
    said = of_test(report, "test_wait")
    assert said.startswith("It ended with exit code 1.\nIts time was over.\n")
    assert re.search(r"thread MainThread\n(    .*\n)+    .*selectors.py:\d+ EpollSelector.select", said)
    assert re.search(r"task \S+, task \S+\n    .* listen\n    .* said\n    .* Queue.get", said)
