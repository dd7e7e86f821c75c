"""Deletes what of responses is no longer to be kept, beside the requests, for as long as a replica of the API runs.

In: the limits. Out: nothing; a thread deletes now and every hour, even where no client asks for anything.
"""

import logging
import threading
import time

from plait.serve.api.responses.cancellation import forget_old
from plait.serve.api.responses.storage import ResponseStorage
from plait.serve.messages.arguments import ResponseArguments

_log = logging.getLogger("ray.serve")
_EVERY_S = 60 * 60.0


def start(limits: ResponseArguments) -> threading.Thread:
    """Start to delete; the thread ends with its process."""
    thread = threading.Thread(target=_tidy, args=(ResponseStorage(limits),), name="tidy-responses", daemon=True)
    thread.start()
    return thread


def _tidy(storage: ResponseStorage) -> None:
    while True:
        for step in (storage.sweep, forget_old):
            try:
                step()
            except OSError as error:
                _log.warning("old responses are not deleted: %s", error)
        time.sleep(_EVERY_S)
