"""Batches that clients order: requests of a file, and the answers so far.

In: a file of requests; answers as they come, in any order. Out: what is wrong with the file, by line; what lacks an
answer; answers in the order of the requests. This module does not know who answers.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from plait.client_jobs.folders import ClientJob, JobFolders
from plait.documents.uploads import uploaded_files
from plait.strict_json import parse_json

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
_ENDED: tuple[Status, ...] = ("failed", "completed", "expired", "cancelled")
Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
MAX_ERRORS = 100
_MAX_ID = 512


class BatchError(BaseModel):
    """What is wrong with a batch. `line`: of its file, from 1."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Used(BaseModel):
    """What all answers together took: tokens, and their cost where the server has prices."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None


class Batch(ClientJob):
    """An order to answer requests.

    Attributes:
        key_id: the API key whose rights the requests have; None: the server's own admin key.
        base_url: the address by which the client reached the server, for links in answers.
        output_expires_after_s: how long its files are kept; None: until they are deleted.
        model: what the first request asks for.
        total, completed, failed: requests.
        stuck: submissions one after the other that answered nothing; `answered_before`: what was answered when the last
            one ended.
    """

    key_id: str | None
    base_url: str
    status: Status = "validating"
    endpoint: Endpoint
    input_file_id: str
    completion_window: str = "24h"
    expires_at: int
    output_expires_after_s: int | None = None
    model: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    stuck: int = 0
    answered_before: int = 0
    errors: tuple[BatchError, ...] = ()
    usage: Used | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def input_file(self) -> Path:
        return uploaded_files.file(self.input_file_id).path

    @property
    def answers(self) -> "AnswerLog":
        return AnswerLog(BATCHES.folder(self.id) / "answers.log")


BATCHES: JobFolders[Batch] = JobFolders(Batch, "batches", "batch_", "batch", "/v1/batches")


class BatchRequest(NamedTuple):
    """A request of a batch. `place`: among the requests, from 0. `body`: JSON."""

    place: int
    custom_id: str
    body: str


class Served(NamedTuple):
    """What the API answers to a request of a batch; `body`: JSON."""

    status: int
    request_id: str
    body: bytes


@dataclass(frozen=True)
class Checked:
    """What a file of requests holds; `errors`: the first ones of all."""

    total: int
    model: str | None
    errors: tuple[BatchError, ...]


class _BadRequest(ValueError):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


def check_requests(file: Path, endpoint: str, max_requests: int) -> Checked:
    """Look at every line of a file before any request is answered."""
    errors: list[BatchError] = []
    seen: dict[str, int] = {}
    model: str | None = None
    for line, text in _lines(file):
        try:
            request = _parsed(text, endpoint)
            if (first := seen.setdefault(request["custom_id"], line)) != line:
                raise _BadRequest(
                    "duplicate_custom_id",
                    f"The custom_id {request['custom_id']!r:.80} stands on line {first}, too.",
                    "custom_id",
                )
            model = model or request["body"]["model"]
        except _BadRequest as bad:
            if len(errors) < MAX_ERRORS:
                errors.append(
                    BatchError(code=bad.code, message=f"Line {line}: {bad.message}", line=line, param=bad.param)
                )
        if len(seen) > max_requests:
            message = f"The file holds more than {max_requests:,} requests. Send several batches."
            return Checked(len(seen), model, (BatchError(code="too_many_requests", message=message, line=line),))
    if not seen and not errors:
        errors.append(BatchError(code="empty_file", message="The file holds no request."))
    return Checked(len(seen), model, tuple(errors))


def read_requests(file: Path) -> Iterator[BatchRequest]:
    """The requests of a file that was checked."""
    for place, (_, text) in enumerate(_lines(file)):
        request = json.loads(text)
        yield BatchRequest(place, request["custom_id"], json.dumps(request["body"], ensure_ascii=False))


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that hold something, by their number, from 1."""
    with file.open("rb") as opened:
        for number, text in enumerate(opened, start=1):
            text = text.removeprefix(b"\xef\xbb\xbf").strip()
            if text:
                yield number, text


def _parsed(text: bytes, endpoint: str) -> dict[str, Any]:
    try:
        request = parse_json(text)
    except ValueError as error:
        raise _BadRequest("invalid_json_line", f"it is no valid JSON ({str(error)[:200]}).") from None
    if not isinstance(request, dict):
        raise _BadRequest("invalid_json_line", "it is no JSON object.")
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _MAX_ID:
        raise _BadRequest("missing_custom_id", f"it needs a custom_id of 1 to {_MAX_ID} characters.", "custom_id")
    if request.get("method") != "POST":
        raise _BadRequest("invalid_method", "its method must be POST.", "method")
    if request.get("url") != endpoint:
        raise _BadRequest("invalid_url", f"its url must be {endpoint}, as that of the batch.", "url")
    body = request.get("body")
    if not isinstance(body, dict):
        raise _BadRequest("invalid_body", "its body must be an object.", "body")
    if not isinstance(body.get("model"), str):
        raise _BadRequest("missing_model", "its body names no model.", "body.model")
    for field in ("stream", "background"):
        if body.get(field):
            raise _BadRequest("invalid_body", f"{field} has no place in a batch.", f"body.{field}")
    return request


@dataclass(frozen=True)
class Answer:
    """An answer of a request: the line that a client gets, as JSON. `is_good`: its status is below 400."""

    place: int
    is_good: bool
    line: bytes

    @classmethod
    def of(cls, request_id: str, place: int, custom_id: str, served: Served) -> "Answer":
        """What the API answered to the request at a place. `request_id`: of the line itself."""
        response = {"status_code": served.status, "request_id": served.request_id, "body": json.loads(served.body)}
        line = {"id": request_id, "custom_id": custom_id, "response": response, "error": None}
        return cls(place, served.status < 400, json.dumps(line, ensure_ascii=False).encode())


class _Kept(NamedTuple):
    start: int
    length: int
    is_good: bool


class AnswerLog:
    """The answers so far, as they came, in a file that one process appends to: a line is place, 1 or 0, and JSON."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, answers: list[Answer]) -> None:
        """Keep answers; a process that is killed leaves at most half a line."""
        with self._file.open("ab") as file:
            file.writelines(b"%d %d %s\n" % (a.place, a.is_good, a.line) for a in answers)

    def forget(self) -> None:
        """Delete all of them."""
        self._file.unlink(missing_ok=True)

    def cut_half_a_line(self) -> None:
        """Forget what a killed process left; before the first `append` of a process."""
        if self._file.is_file():
            end = sum(len(line) for line in self._whole_lines(0))
            with self._file.open("r+b") as file:
                file.truncate(end)

    def count(self, start: int) -> tuple[int, int, int]:
        """Good and bad answers from a byte on, and the byte after the last whole one."""
        good = bad = 0
        for line in self._whole_lines(start):
            is_good = line.split(b" ", 2)[1] == b"1"
            good, bad, start = good + is_good, bad + (not is_good), start + len(line)
        return good, bad, start

    def places(self) -> dict[int, _Kept]:
        """Where the answer of each request stands; of a request that was answered twice, the first."""
        found: dict[int, _Kept] = {}
        at = 0
        for line in self._whole_lines(0):
            place, is_good, text = line.split(b" ", 2)
            found.setdefault(int(place), _Kept(at + len(line) - len(text), len(text), is_good == b"1"))
            at += len(line)
        return found

    def lines(self, wanted: list[_Kept]) -> Iterator[bytes]:
        """The lines of answers, each with its newline."""
        if not wanted:
            return
        with self._file.open("rb") as file:
            for kept in wanted:
                file.seek(kept.start)
                yield file.read(kept.length)

    def _whole_lines(self, start: int) -> Iterator[bytes]:
        if not self._file.is_file():
            return
        with self._file.open("rb") as file:
            file.seek(start)
            for line in file:
                if line.endswith(b"\n"):
                    yield line
