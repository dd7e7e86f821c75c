"""Errors as sentences.

Everything that can go wrong for a user is a `PlaitError`: what is wrong, what to do, and a stable code. It is raised
where the cause is known and shown once at the edge: the CLI prints it and exits with `exit_code`, HTTP answers with
`http_status` and OpenAI's error object. Nothing here knows about either edge.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class PlaitError(Exception):
    """A failure with a cause and a remedy.

    Args:
        what: one sentence that says what is wrong, with the name or value at fault.
        remedy: what the user can do about it.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retry_after_s: float | None = None
    """When to try again, where trying again helps."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)  # both in args, so that the error survives pickling between Ray processes
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


class InvalidInput(PlaitError):
    """What the user gave cannot be used as it is."""

    code, exit_code, http_status = "invalid_input", 2, 400


class InvalidField(InvalidInput):
    """One field of what the user gave cannot be used; `field`: its path, as in `messages.0.content`."""

    def __init__(self, what: str, remedy: str = "", field: str = "") -> None:
        super().__init__(what, remedy)
        self.args = (what, remedy, field)
        self.field = field


class TooLarge(InvalidInput):
    """More bytes than are taken here; the sentence says how many are."""

    code, http_status = "too_large", 413


class RecipeError(InvalidInput):
    code = "invalid_recipe"


class DataError(InvalidInput):
    """A data file that cannot be read, with the line at fault where there is one."""

    code = "invalid_data"


class Unauthorized(PlaitError):
    """A key is missing or wrong."""

    code, http_status = "unauthorized", 401


class Forbidden(PlaitError):
    """What was asked for is not allowed here, or not to this key."""

    code, http_status = "forbidden", 403


class NotFound(PlaitError):
    code, exit_code, http_status = "not_found", 2, 404


class ModelNotFound(NotFound):
    """A base model or an adapter that does not exist, with the nearest names that do."""

    code = "model_not_found"


class CollectionNotFound(NotFound):
    code = "collection_not_found"


class Conflict(PlaitError):
    """The state of the world forbids it: a port in use, another model in the collection."""

    code, http_status = "conflict", 409


class TooSlow(PlaitError):
    """A client did not send its request in time."""

    code, http_status = "request_timeout", 408


class NotFinite(PlaitError):
    """The model's numbers for a request became infinite or NaN, which weights do: no token can be chosen."""

    code = "not_finite"


class Interrupted(PlaitError):
    """The user stopped it; what was done is kept."""

    code, exit_code = "interrupted", 130


class Unavailable(PlaitError):
    """A server that we need does not answer, or is not ready yet."""

    code, http_status = "unavailable", 503
    retry_after_s = 2.0


class InsufficientStorage(PlaitError):
    """A disk is full; what was there before is kept."""

    code, http_status = "insufficient_storage", 507


class DeadlineExceeded(PlaitError):
    """A request's time was over before there was anything to answer."""

    code, http_status = "deadline_exceeded", 504


class Overloaded(PlaitError):
    """A queue is full; try again after `retry_after_s`."""

    code, http_status = "overloaded", 429

    def __init__(self, what: str, remedy: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(what, remedy)
        self.args = (what, remedy, retry_after_s)
        self.retry_after_s = retry_after_s


_MAX_REASON_CHARS = 200
_MAX_NAME = 200  # how alike two names are takes their lengths multiplied


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """'Did you mean a or b?' for the nearest candidates, or a list of some that exist, or nothing.

    >>> did_you_mean("lrr", ["lr", "epochs"])
    "Did you mean 'lr'?"
    """
    known = sorted(set(candidates))
    near = difflib.get_close_matches(name[:_MAX_NAME], known, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(repr(n) for n in near) + "?"
    if known:
        return "Known: " + ", ".join(known[:12]) + (", …" if len(known) > 12 else "") + "."
    return ""


def find_plait_error(error: BaseException | None) -> PlaitError | None:
    """The PlaitError inside an exception of Ray's (task error, training failure), or None.

    Ray wraps what a worker raised in errors of its own; the sentence for the user is at the bottom of that chain.
    """
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen or not isinstance(current, BaseException):
            continue
        seen.add(id(current))
        cause = getattr(current, "cause", None)
        # Ray makes a class that is both its own error and the one inside; the sentence is in the one inside.
        if isinstance(current, PlaitError) and not isinstance(cause, BaseException):
            return current
        pending += [current.__context__, current.__cause__, cause]
        pending += list((getattr(current, "worker_failures", None) or {}).values())
    return None


def first_line(error: BaseException) -> str:
    """What an error of a library says, for the brackets of a sentence of ours.

    Its first line, at most 200 characters, without a full stop; of the system's errors their words, without the file;
    the name of its class where it says nothing.
    """
    said = getattr(error, "strerror", None) or str(error)
    text = next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    return text[:_MAX_REASON_CHARS].rstrip(".")
