"""Stores responses, so that clients can show them again and continue their conversations.

In: a response, the conversation before it, and their owner. Out: the same, by the id of the response, for the same
owner, on every replica of the API and after a restart. Each is one file under PLAIT_HOME/responses. When there are more
than the limits allow, the oldest are deleted. This module knows nothing of HTTP, and nothing of what a response says.
"""

import json
import logging
import os
import re
import threading
import time
import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.errors import NotFound
from plait.serve.messages.arguments import ResponseArguments
from plait.settings import settings
from plait.whole_files import make_private, remove_leftovers, write_whole

_log = logging.getLogger("ray.serve")
_DAY_S = 24 * 60 * 60
_SLACK = 20  # files are counted after each twentieth of the limit: counting them every time is slow
_RESPONSE_ID = re.compile(r"resp_([0-9a-f]{32})")
_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{32})[0-9a-f]{4}")


def new_response_id() -> str:
    return f"resp_{uuid.uuid4().hex}"


def is_response_id(id: str) -> bool:
    return _RESPONSE_ID.fullmatch(id) is not None


def item_id(kind: str, response_id: str, place: int) -> str:
    """The id of the item at a place among those of a response; it says which response keeps the item."""
    return f"{kind}_{response_id.removeprefix('resp_')}{place:04x}"


def response_of_item(id: str) -> str | None:
    """The id of the response that an item came with; None for an id that was not made here."""
    match = _ITEM_ID.fullmatch(id)
    return f"resp_{match[1]}" if match else None


@dataclass(frozen=True)
class StoredResponse:
    """`items`: the conversation before the answer, oldest first; `response`: as it was sent. Both as JSON has them."""

    items: list[dict[str, Any]]
    response: dict[str, Any]

    @property
    def is_under_way(self) -> bool:
        """It was kept before it ended."""
        return self.response.get("status") in ("queued", "in_progress")

    @property
    def conversation(self) -> list[dict[str, Any]]:
        return [*self.items, *self.response["output"]]


class ResponseStorage:
    """The responses under PLAIT_HOME. An owner is a name that is safe in a path."""

    def __init__(self, limits: ResponseArguments) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._since: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # count and bytes since files were counted

    @property
    def keeps_any(self) -> bool:
        """Whether anything is kept at all."""
        return self._limits.max_count > 0

    def keep(self, owner: str, kept: StoredResponse) -> bool:
        """Keep a response; returns whether it is kept.

        Raises:
            InsufficientStorage: when the disk is full.
        """
        data = json.dumps({"items": kept.items, "response": kept.response}, ensure_ascii=False).encode()
        if not self.keeps_any or len(data) > self._limits.max_bytes:
            return False
        folder = self._folder(owner)
        make_private(folder.parent)
        make_private(folder)
        # A power cut may take the last ones: to wait for the disk would take longer than a short answer.
        write_whole(folder / f"{kept.response['id']}.json", data, survives_power_cut=False)
        self._make_room(owner, len(data))
        return True

    def find(self, owner: str, response_id: str) -> StoredResponse:
        """The one of this id.

        Raises:
            NotFound: when there is none of this owner's.
        """
        path = self._path(owner, response_id)
        try:
            if path is not None and self.keeps_any and path.stat().st_mtime >= self._oldest:
                return StoredResponse(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):  # gone this moment, or cut off by a power cut
            pass
        raise NotFound(
            f"There is no response '{response_id[:80]}'.",
            f"One is kept for {self._limits.max_age_days:g} days, unless its request said store: false.",
        )

    def delete(self, owner: str, response_id: str) -> None:
        """Delete a response; later ones keep their copy of its conversation.

        Raises:
            NotFound: when there is none of this owner's.
        """
        self.find(owner, response_id)
        (self._folder(owner) / f"{response_id}.json").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what is too old or too much, whoever owns it, and what killed processes left half-written."""
        for folder in self._folder("").glob("[!.]*"):
            if folder.is_dir():
                with suppress(FileNotFoundError):  # another replica sweeps too
                    remove_leftovers(folder)
                    self._tidy(folder)

    @property
    def _oldest(self) -> float:
        return time.time() - self._limits.max_age_days * _DAY_S

    def _folder(self, owner: str) -> Path:
        return settings().root / "responses" / owner

    def _path(self, owner: str, response_id: str) -> Path | None:
        return self._folder(owner) / f"{response_id}.json" if is_response_id(response_id) else None

    def _make_room(self, owner: str, new_bytes: int) -> None:
        """Delete what is too old or too much of an owner, once enough was added since the last time."""
        with self._lock:
            since = self._since[owner]
            since[0] += 1
            since[1] += new_bytes
            is_much = since[0] * _SLACK > self._limits.max_count or since[1] * _SLACK > self._limits.max_bytes
            if is_much:
                del self._since[owner]
        if is_much:
            try:
                self._tidy(self._folder(owner))
            except OSError as error:  # the new one is kept all the same
                _log.warning("old responses are not deleted: %s", error)

    def _tidy(self, folder: Path) -> None:
        found: list[tuple[float, int, str]] = []
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another replica tidies too
                    if entry.name.endswith(".json"):
                        stat = entry.stat()
                        found.append((stat.st_mtime, stat.st_size, entry.path))
        found.sort()
        count, size = len(found), sum(each[1] for each in found)
        for modified, bytes_, path in found:
            if modified >= self._oldest and count <= self._limits.max_count and size <= self._limits.max_bytes:
                break
            Path(path).unlink(missing_ok=True)
            count, size = count - 1, size - bytes_
