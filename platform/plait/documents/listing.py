"""The files of this machine that a folder holds, or that match a pattern.

In: a folder or a pattern with wildcards. Out: regular files, each once, and by name what was left out. One rule holds
for both: a link is followed where its target lies within the folder, so that nobody can put a file of the machine's
into an index by linking to it; who asks for it gets links to files elsewhere, too. It does not know what the files
mean.
"""

import os
import stat
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from glob import has_magic
from pathlib import Path

from plait.errors import DataError

_ALL = ("**", "*")
_NAMED = 3
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class LeftOut:
    """What is not read, by its path inside the folder, and why, as in `notes.md: a link to nothing`."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """Files below `root`, in order, each under one path though links may lead to it on several."""

    root: Path
    files: tuple[Path, ...]
    left_out: tuple[LeftOut, ...] = ()


def files_below(folder: Path, may_link_outside: bool = False) -> Listing:
    """All files below a folder, hidden ones and those in hidden folders left out.

    Raises:
        DataError: when a folder cannot be read, because what is below it would pass for removed.
    """
    return _Walk(folder, may_link_outside).list(_ALL)


def files_matching(pattern: Path, may_link_outside: bool = False) -> Listing:
    """All files that match a pattern, as `docs/**/*.md`; their root is the part of it that has no wildcard.

    `*`, `?` and `[…]` match as in a shell, `**` any number of folders. Hidden files and folders match only a part that
    begins with a dot itself.

    Raises:
        DataError: when a folder that the pattern leads into cannot be read.
    """
    root = part_without_wildcards(pattern)
    if not root.is_dir():
        return Listing(root, ())
    return _Walk(root, may_link_outside).list(pattern.relative_to(root).parts)


def part_without_wildcards(pattern: Path) -> Path:
    """The folders of a pattern before its first wildcard."""
    while has_magic(str(pattern)):
        pattern = pattern.parent
    return pattern


def described(left_out: Sequence[LeftOut]) -> str:
    """How many there are, with the names of the first and why: `2: a.md (a named pipe), b.md (a socket)`."""
    first = ", ".join(f"{each.name} ({each.reason})" for each in left_out[:_NAMED])
    more = ", …" if len(left_out) > _NAMED else ""
    # A name need not be UTF-8, and must not end the line that says so.
    return f"{len(left_out)}: {first}{more}".encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class _Place:
    """A path where something is, its real path, and the parts of the pattern that what is below it must match."""

    path: Path
    real: Path
    parts: tuple[str, ...]


class _Walk:
    """Looks through a folder. What is there itself comes before what links lead to, so that it keeps its own name."""

    def __init__(self, root: Path, may_link_outside: bool) -> None:
        self._root, self._may_link_outside = root, may_link_outside
        self._real_root = Path(os.path.realpath(root))
        self._folders: deque[_Place] = deque()
        self._links: deque[_Place] = deque()
        self._seen: set[tuple[Path, tuple[str, ...]]] = set()  # ends loops
        self._files: dict[Path, Path] = {}
        self._left_out: dict[str, str] = {}
        self._entries = cache(_entries)

    def list(self, parts: tuple[str, ...]) -> Listing:
        self._folders.append(_Place(self._root, self._real_root, parts))
        while self._folders or self._links:
            if self._folders:
                self._look_into(self._folders.popleft())
            else:
                self._follow(self._links.popleft())
        left_out = (LeftOut(name, self._left_out[name]) for name in sorted(self._left_out))
        return Listing(self._root, tuple(sorted(self._files.values())), tuple(left_out))

    def _look_into(self, folder: _Place) -> None:
        if (folder.real, folder.parts) in self._seen:
            return
        self._seen.add((folder.real, folder.parts))
        first, rest = folder.parts[0], folder.parts[1:]
        if first == "**":
            self._folders.append(_Place(folder.path, folder.real, rest or ("*",)))
        for entry in self._entries(folder.real):
            if first == "**":
                self._take(entry, folder, "*", folder.parts)
            else:
                self._take(entry, folder, first, rest)

    def _take(self, entry: os.DirEntry[str], folder: _Place, part: str, rest: tuple[str, ...]) -> None:
        is_hidden = entry.name.startswith(".") and not part.startswith(".")
        if is_hidden or not fnmatchcase(entry.name, part):
            return
        place = _Place(folder.path / entry.name, folder.real / entry.name, rest)
        if entry.is_symlink():
            self._links.append(place)
        elif entry.is_dir(follow_symlinks=False):
            if rest:
                self._folders.append(place)
        elif not rest:
            self._add(place, entry.stat(follow_symlinks=False).st_mode)

    def _follow(self, link: _Place) -> None:
        target = Path(os.path.realpath(link.path))
        try:
            mode = os.stat(target).st_mode
        except OSError as error:
            if not link.parts:
                self._leave_out(link.path, f"a link to what cannot be read ({error.strerror})")
            return
        if stat.S_ISDIR(mode) != bool(link.parts):  # a folder where the pattern wants a file, or the other way round
            return
        is_inside = target.is_relative_to(self._real_root)
        if not is_inside and (link.parts or not self._may_link_outside):
            self._leave_out(link.path, f"a link to {target}, outside of the source")
        elif link.parts:
            self._folders.append(_Place(link.path, target, link.parts))
        else:
            self._add(_Place(link.path, target, ()), mode)

    def _add(self, file: _Place, mode: int) -> None:
        if stat.S_ISREG(mode):
            self._files.setdefault(file.real, file.path)
        else:
            self._leave_out(file.path, next((kind for is_one, kind in _KINDS if is_one(mode)), "no regular file"))

    def _leave_out(self, path: Path, reason: str) -> None:
        self._left_out[path.relative_to(self._root).as_posix()] = reason


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        # What is below would count as removed.
        raise DataError(f"The folder '{folder}' cannot be read ({error.strerror}).", "Mend its permissions.") from error
