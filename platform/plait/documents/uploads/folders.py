"""Where uploads lie: PLAIT_HOME/uploads (on shared storage, where several machines serve), one folder a file.

What belongs together is put there by one rename. A file of state that cannot be read costs only its own entry: that is
listed with its error, and can be deleted.
"""

import logging
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from plait.settings import settings
from plait.validation import why_unreadable

_log = logging.getLogger(__name__)

_ID = re.compile(r"file-[0-9a-f]{32}")


def is_file_id(text: str) -> bool:
    """It has the form of an uploaded file's id."""
    return _ID.fullmatch(text) is not None


def root() -> Path:
    return settings().root / "uploads"


def folder_of(file_id: str) -> Path:
    return root() / file_id


def folders() -> Iterable[Path]:
    return (folder for folder in root().glob("file-*") if is_file_id(folder.name))


def unreadable(path: Path, error: Exception) -> str:
    """A sentence about a state file that cannot be read; the reason is logged once."""
    reason = log_unreadable(path, error)
    return f"What the server noted of this file cannot be read ({reason}). Delete it and send it again."


def log_unreadable(path: Path, error: Exception) -> str:
    """Log once that a state file cannot be read; returns why."""
    reason = why_unreadable(error)
    _log_once(path, reason)
    return reason


@cache
def _log_once(path: Path, reason: str) -> None:
    _log.error("'%s' cannot be read (%s); all other files are served", path, reason)
