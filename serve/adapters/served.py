"""Which adapters the admin API serves under which name, and what is pinned: one small file that every replica follows.

In: what an administrator wants. Out: the same to every replica, a later one and one after a restart too. Every name
carries a generation, so that `support#2` means one set of weights for good. Nothing here loads anything.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from plait.errors import InvalidInput, ModelNotFound, did_you_mean
from plait.strict_json import read_json
from plait.validation import why_unreadable
from plait.whole_files import write_whole

_MAX_BYTES = 64 << 20
_log = logging.getLogger("ray.serve")


class ServedAdapter(BaseModel):
    """A name, and the weights that it means since `generation`."""

    model_config = ConfigDict(frozen=True)

    name: str
    location: str
    generation: int

    @property
    def key(self) -> str:
        """What these weights are called wherever one name must mean one set of weights."""
        return f"{self.name}#{self.generation}"


class ServedSet(BaseModel):
    """All of it. `last_generation` only grows: a name that comes back gets a key that was never used."""

    model_config = ConfigDict(frozen=True)

    adapters: Mapping[str, ServedAdapter] = {}
    pinned: frozenset[str] = frozenset()
    last_generation: int = 0


class ServedAdapters:
    """The set in a file, written whole or not at all; reading it again costs one `stat`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._read = ServedSet()

    def read(self) -> ServedSet:
        """What is wanted now, whichever process wrote it; while the file cannot be read, what was wanted before."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return ServedSet()
        stamp = (status.st_ino, status.st_mtime_ns)  # each writing makes a new file
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._read = self._parsed()
            except InvalidInput as error:
                _log.error("the served adapters are those of before: %s", error)
        return self._read

    def _parsed(self) -> ServedSet:
        """What stands in the file; an entry that cannot be read costs only itself.

        Raises:
            InvalidInput: when the whole file cannot be read.
        """
        if not self._file.exists():
            return ServedSet()
        try:
            values = read_json(self._file, _MAX_BYTES)
            adapters = dict(values.pop("adapters", {}))
            served = ServedSet.model_validate(values)
        except (OSError, TypeError, ValueError, AttributeError) as error:  # the last: it is no object
            raise InvalidInput(
                f"'{self._file}' is not valid ({why_unreadable(error)}).", "Mend or delete it."
            ) from None
        sound = {}
        for name, entry in adapters.items():
            try:
                sound[name] = ServedAdapter.model_validate(entry)
            except ValueError:
                _log.error("'%s' in '%s' cannot be read and is not served; load it again", name, self._file)
        return served.model_copy(update={"adapters": sound})

    def new_generation(self) -> int:
        """A number that no adapter had before."""
        return self._change(lambda served: served.model_copy()).last_generation

    def put(self, adapter: ServedAdapter, may_replace: bool) -> None:
        """Serve an adapter under its name.

        Raises:
            InvalidInput: when the name is taken and must not be replaced.
        """

        def change(served: ServedSet) -> ServedSet:
            if not may_replace:
                _check_is_free(served, adapter.name)
            return served.model_copy(update={"adapters": {**served.adapters, adapter.name: adapter}})

        self._change(change)

    def check_is_free(self, name: str) -> None:
        """Refuse a name that is served already.

        Raises:
            InvalidInput: as vLLM does.
        """
        _check_is_free(self.read(), name)

    def remove(self, name: str) -> None:
        """Serve a name no longer; its pin goes with it.

        Raises:
            ModelNotFound: when nothing was loaded under this name.
        """

        def change(served: ServedSet) -> ServedSet:
            if name not in served.adapters:
                hint = (
                    did_you_mean(name, served.adapters) or "Nothing was; an adapter of the registry leaves by itself."
                )
                raise ModelNotFound(f"No adapter was loaded as '{name}'.", hint)
            left = {other: adapter for other, adapter in served.adapters.items() if other != name}
            return served.model_copy(update={"adapters": left, "pinned": served.pinned - {name}})

        self._change(change)

    def pin(self, name: str, is_pinned: bool) -> None:
        """Keep what a name means in memory, or no longer."""

        def change(served: ServedSet) -> ServedSet:
            return served.model_copy(update={"pinned": served.pinned | {name} if is_pinned else served.pinned - {name}})

        self._change(change)

    def _change(self, change: Callable[[ServedSet], ServedSet]) -> ServedSet:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock"):
            changed = change(self._parsed())
            changed = changed.model_copy(update={"last_generation": changed.last_generation + 1})
            write_whole(self._file, changed.model_dump_json(indent=2))
        return changed


def _check_is_free(served: ServedSet, name: str) -> None:
    if name in served.adapters:
        raise InvalidInput(f"The adapter '{name}' has already been loaded.", "Set load_inplace to true to replace it.")
