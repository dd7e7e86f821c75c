"""The stage that asks: requests in, what the application answers out.

Several requests are under way at a time, in threads of one worker. A request that finds the application full, or not
there for a moment, waits and asks again: those who wait for their answers themselves come first.
"""

import time
import uuid
from typing import Any

import pyarrow as pa

from plait.client_jobs.batches import Answer, Batch, Served
from plait.errors import Unavailable, first_line

ANSWERS = pa.schema([("place", pa.int64()), ("is_good", pa.bool_()), ("line", pa.binary())])
_BUSY = (429, 503)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_GIVE_UP_S = 300.0
"""So long the application may be away, as while it is deployed anew."""


class AskApplication:
    """Asks for a block of requests, one after the other; those whose time is over are left out."""

    def __init__(self, batch: Batch, application: str) -> None:
        from ray import serve

        self._batch = batch
        self._answer: Any = serve.get_deployment_handle("Ingress", application).options(method_name="answer")

    def __call__(self, requests: pa.Table) -> pa.Table:
        """Answers of the schema ANSWERS.

        Raises:
            Unavailable: when the application does not answer for five minutes.
        """
        answers = []
        for row in requests.to_pylist():
            served = self._served(row["body"])
            if served is not None:
                request_id = f"batch_req_{uuid.uuid4().hex[:24]}"
                answer = Answer.of(request_id, row["place"], row["custom_id"], served)
                answers.append({"place": answer.place, "is_good": answer.is_good, "line": answer.line})
        return pa.Table.from_pylist(answers, ANSWERS)

    def _served(self, body: str) -> Served | None:
        """The answer to one request; None: there is none before the batch ends."""
        batch, pause_s, away_since = self._batch, _FIRST_PAUSE_S, None
        while time.time() < batch.expires_at:
            try:
                served = Served(
                    *self._answer.remote(batch.key_id, batch.base_url, batch.endpoint, body.encode()).result()
                )
            except Exception as error:  # a replica that died, or none that is there: Serve's and Ray's errors
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > _GIVE_UP_S:
                    raise Unavailable(f"The application does not answer ({first_line(error)}).") from error
            else:
                if served.status not in _BUSY:
                    return served
                away_since = None
            time.sleep(min(pause_s, max(0.0, batch.expires_at - time.time())))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return None
