"""The files that a batch ends with: answers and errors, each in the order of the requests.

In: a batch whose answers are all there that will be. Out: the batch with the ids of its files, and what it used.
"""

import json
import math
from collections.abc import Iterator, Sequence

from plait.client_jobs.batches import Batch, Used, read_requests
from plait.documents.uploads import uploaded_files
from plait.errors import NotFound

_EXPIRED = {"code": "batch_expired", "message": "The batch expired before this request was answered."}


def with_results(batch: Batch) -> Batch:
    """Write the files of a batch; where nothing would stand in one, there is none.

    Raises:
        InsufficientStorage: when the disk is full.
    """
    answers = batch.answers
    kept = answers.places()
    in_order = [kept[place] for place in sorted(kept)]
    good, bad = [each for each in in_order if each.is_good], [each for each in in_order if not each.is_good]
    unanswered = list(_unanswered(batch, set(kept))) if batch.status == "expired" else []
    return batch.model_copy(
        update={
            "completed": len(good),
            "failed": len(bad) + len(unanswered),
            "usage": _usage(answers.lines(good)),
            "output_file_id": _file(batch, "output", answers.lines(good)) if good else None,
            "error_file_id": _file(batch, "error", _both(answers.lines(bad), unanswered))
            if bad or unanswered
            else None,
        }
    )


def _unanswered(batch: Batch, answered: set[int]) -> Iterator[bytes]:
    try:
        requests = read_requests(batch.input_file)
    except NotFound:  # the client has deleted it
        return
    for request in requests:
        if request.place not in answered:
            line = {
                "id": f"batch_req_{batch.id.removeprefix('batch_')}{request.place:x}",
                "custom_id": request.custom_id,
                "response": None,
                "error": _EXPIRED,
            }
            yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _both(first: Iterator[bytes], second: Sequence[bytes]) -> Iterator[bytes]:
    yield from first
    yield from second


def _file(batch: Batch, kind: str, lines: Iterator[bytes]) -> str:
    name = f"{batch.id}_{kind}.jsonl"
    expires_after_s = batch.output_expires_after_s
    data = _Lines(lines)
    return uploaded_files.save(name, "batch_output", data, batch.of, expires_after_s, is_bounded=False).id


class _Lines:
    """Lines as something to read from."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines

    def read(self, size: int, /) -> bytes:
        """A line, however long; nothing at the end."""
        return next(self._lines, b"")


def _usage(lines: Iterator[bytes]) -> Used:
    read = cached = written = 0
    costs = []
    for line in lines:
        body = json.loads(line)["response"]["body"]
        usage = body.get("usage") or {}
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        read += usage.get("prompt_tokens", usage.get("input_tokens", 0))
        cached += details.get("cached_tokens", 0)
        written += usage.get("completion_tokens", usage.get("output_tokens", 0))
        costs.append((body.get("plait") or {}).get("cost"))
    known = [cost for cost in costs if cost is not None]
    return Used(
        input_tokens=read, cached_tokens=cached, output_tokens=written, cost=math.fsum(known) if known else None
    )
