"""The folder of a run: what was asked, every trial and every score, written as they come.

    run.json                what is asked, and when the run began and ended
    trials/part-*.parquet   one row a trial (tables.TRIALS)
    scores/part-*.parquet   one row a score (tables.SCORES)

A run that did not end is gone on with by whoever asks the same again; one that has ended is never written to again. It
does not know how anything is asked or judged.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, TypeAdapter

from plait.errors import Conflict, NotFound
from plait.evaluation.kept_json import read_kept
from plait.evaluation.runs.parts import Parts
from plait.evaluation.runs.tables import ADDED_TO_TRIALS, SCORES, TRIALS, score_of, score_row, trial_of, trial_row
from plait.evaluation.runs.trial import Trial, TrialScore
from plait.settings import settings
from plait.whole_files import write_whole

_MANIFEST, _LOCK = "run.json", "run.lock"


class Manifest(BaseModel):
    """What a run asks, as JSON, and when it began and ended (None: it has not)."""

    model_config = ConfigDict(frozen=True)

    asks: dict[str, Any]
    started_at: datetime
    finished_at: datetime | None = None

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """That of a folder; None where it has none.

        Raises:
            DataError: when it cannot be read.
        """
        return read_kept(folder / _MANIFEST, TypeAdapter(cls))


class Run:
    """A run in its folder, for the one process that writes to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trials = Parts(folder / "trials", TRIALS, ["key"], ADDED_TO_TRIALS)
        self._scores = Parts(folder / "scores", SCORES, ["trial", "metric", "judge"])

    def trials(self) -> dict[str, Trial]:
        """What is kept, by key."""
        return {row["key"]: trial_of(row) for row in self._trials.rows()}

    def scores(self) -> list[TrialScore]:
        """The scores that are kept."""
        return [score_of(row) for row in self._scores.rows()]

    def add_trial(self, trial: Trial) -> None:
        """Take a trial; `flush` writes it."""
        self._trials.add(trial_row(trial))

    def add_score(self, scored: TrialScore) -> None:
        """Take a score; `flush` writes it."""
        self._scores.add(score_row(scored))

    def flush(self) -> None:
        """Write what was added since the last time.

        Raises:
            InsufficientStorage: when the disk is full.
        """
        self._trials.flush()
        self._scores.flush()

    def finish(self, trials: Collection[str]) -> None:
        """Note that nothing is missing.

        Args:
            trials: keys of all trials. Others were asked before an alias moved, and are removed with their scores.
        """
        keys = frozenset(trials)
        self._trials.merge(lambda row: row["key"] in keys)
        self._scores.merge(lambda row: row["trial"] in keys)
        manifest = Manifest.read(self.folder)
        assert manifest is not None
        self._note(manifest.model_copy(update={"finished_at": datetime.now(UTC)}))

    def _note(self, manifest: Manifest) -> None:
        write_whole(self.folder / _MANIFEST, manifest.model_dump_json(indent=2))


@contextmanager
def begun(asks: Mapping[str, Any], name: str, folder: Path | None = None) -> Iterator[Run]:
    """The run that asks the same and has not ended, or else a new one; nobody else writes to it meanwhile.

    Args:
        asks: everything that the replies follow from, as JSON has it.
        name: of a new run, below PLAIT_HOME/evaluations; a number is added.
        folder: of the run, where it is not to be named by itself.

    Raises:
        Conflict: when the folder holds another run, or one that has ended, or another process is at work in it.
    """
    asks = Manifest(asks=dict(asks), started_at=datetime.now(UTC)).model_dump(mode="json")["asks"]
    place, lock = _given(folder, asks) if folder is not None else _found(settings().root / "evaluations", name, asks)
    try:
        run = Run(place)
        if Manifest.read(place) is None:
            run._note(Manifest(asks=asks, started_at=datetime.now(UTC)))
        try:
            yield run
        finally:
            run.flush()
    finally:
        lock.release()


def opened(folder: Path) -> Run:
    """A run that is there, for reading.

    Raises:
        NotFound: when the folder holds none.
    """
    if Manifest.read(folder) is None:
        raise NotFound(f"'{folder}' holds no run of an evaluation.", f"It would have a {_MANIFEST}.")
    return Run(folder)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / _MANIFEST).is_file()


def earlier_runs(folder: Path) -> list[Path]:
    """Folders of runs of the same name that began before, newest first."""
    name, _, number = folder.name.rpartition("-")
    if not number.isdecimal():
        return []
    before = [n for n in _numbers(folder.parent, name) if n < int(number)]
    return [folder.parent / f"{name}-{n}" for n in sorted(before, reverse=True)]


def _given(folder: Path, asks: Mapping[str, Any]) -> tuple[Path, FileLock]:
    if folder.exists() and not folder.is_dir():
        raise Conflict(f"'{folder}' is a file, and a run is a folder.", "Choose another name.")
    folder.mkdir(parents=True, exist_ok=True)
    if not is_run(folder) and any(each.name != _LOCK for each in folder.iterdir()):
        raise Conflict(f"'{folder}' holds other files, and no run.", "Choose another folder.")
    lock = _locked(folder)
    if lock is None:
        raise Conflict(f"Another process is at work in '{folder}'.", "Wait for it, or choose another folder.")
    try:
        there = Manifest.read(folder)
        if there is not None and (there.finished_at is not None or there.asks != asks):
            which = "a run that asks something else" if there.finished_at is None else "a run that has ended"
            raise Conflict(f"'{folder}' holds {which}.", "Choose another folder, or remove it.")
    except BaseException:
        lock.release()
        raise
    return folder, lock


def _found(parent: Path, name: str, asks: Mapping[str, Any]) -> tuple[Path, FileLock]:
    """The newest run of this name that is to be gone on with, or a new folder; locked."""
    numbers = _numbers(parent, name)
    for number in sorted(numbers, reverse=True):
        folder = parent / f"{name}-{number}"
        if _goes_on(folder, asks) and (lock := _locked(folder)) is not None:
            if _goes_on(folder, asks):
                return folder, lock
            lock.release()  # another process has ended it this very moment
    number = max(numbers, default=0)
    while True:
        number += 1
        try:
            (parent / f"{name}-{number}").mkdir(parents=True)
        except FileExistsError:  # another process began one this very moment
            continue
        lock = _locked(parent / f"{name}-{number}")
        assert lock is not None
        return parent / f"{name}-{number}", lock


def _numbers(parent: Path, name: str) -> list[int]:
    found = (path.name.removeprefix(f"{name}-") for path in parent.glob(f"{escape(name)}-*"))
    return [int(number) for number in found if number.isdecimal()]


def _goes_on(folder: Path, asks: Mapping[str, Any]) -> bool:
    there = Manifest.read(folder)
    return there is not None and there.finished_at is None and there.asks == asks


def _locked(folder: Path) -> FileLock | None:
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock
