"""What a model has replied, kept by content, so that asking again what was asked costs nothing.

In: a `Generate` and its identity. Out: a `Generate` that asks it only what it was not asked before. Replies lie in one
SQLite file; whoever asks at the same time may share it. The conversations themselves are not kept, only their hashes.
A model that changes under its name is still taken for itself: name a version, or delete the file.
"""

import asyncio
import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plait.errors import Unavailable, first_line
from plait.models.generate import Generate, Generated
from plait.models.message import Message

_TABLE = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID"
_WAIT_S = 30.0
"""How long a writer waits for others."""


class ReplyCache:
    """Replies by key in a file, for any number of threads and processes.

    Raises:
        Unavailable: when the file cannot be opened, read or written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._database.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise self._unavailable(error) from error
        self._one_at_a_time = threading.Lock()

    def get(self, key: str) -> Generated | None:
        """What is kept under a key."""
        row = self._execute("SELECT reply FROM replies WHERE key = ?", key)
        return None if row is None else Generated(**json.loads(row[0]) | {"is_kept": True})

    def put(self, key: str, reply: Generated) -> None:
        """Keep a reply; the last one under a key stays."""
        fields = {name: value for name, value in asdict(reply).items() if name != "is_kept"}
        self._execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", key, json.dumps(fields))

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def _execute(self, statement: str, *values: str) -> Any:
        try:
            with self._one_at_a_time, closing(self._database.execute(statement, values)) as cursor:
                return cursor.fetchone()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"The kept replies in '{self._file}' cannot be used ({first_line(error)}).",
            "Move the file away: models are asked again then.",
        )


class CachedGenerate:
    """A model whose replies are kept. What is asked twice at once is asked once.

    Args:
        model: asked for what is not kept.
        identity: of the model: its name and where it is; replies of another are not its own.
        cache: where replies are kept.
    """

    def __init__(self, model: Generate, identity: str, cache: ReplyCache) -> None:
        self._model, self._identity, self._cache = model, identity, cache
        self._under_way: dict[str, asyncio.Lock] = {}

    async def generate(
        self, messages: Sequence[Message], max_tokens: int, json_schema: Mapping[str, Any] | None = None
    ) -> Generated:
        """See `Generate`; also raises what `ReplyCache` does."""
        said = [asdict(message) for message in messages]
        asked = json.dumps([self._identity, said, max_tokens, json_schema])
        key = hashlib.sha256(asked.encode()).hexdigest()
        lock = self._under_way.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                kept = await asyncio.to_thread(self._cache.get, key)
                if kept is not None:
                    return kept
                made = await self._model.generate(messages, max_tokens, json_schema)
                await asyncio.to_thread(self._cache.put, key, made)
                return made
        finally:
            self._under_way.pop(key, None)
