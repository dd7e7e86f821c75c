"""Requests that come from within, as those of a batch do: answered as if they had come over HTTP.

In: a request, and the key whose rights it has. Out: status, id and body of the answer. The whole API is in between,
with its limits, its checks and its log; only the key is not sent, because nobody keeps it.
"""

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from plait.client_jobs.batches import Served
from plait.errors import PlaitError
from plait.serve.api.caller import admit, caller_of
from plait.serve.api.errors import error_response
from plait.serve.api.request_context import ID_HEADER


async def answered_inside(api: ASGIApp, key_id: str | None, base_url: str, path: str, body: bytes) -> Served:
    """What the API answers.

    Args:
        api: the whole of it.
        key_id: of the key; None: whoever may do everything.
        base_url: the address by which the client reached this server, for links in answers.
        path: the route, which is asked with POST.
        body: JSON.
    """
    try:
        asking = caller_of(key_id)
    except PlaitError as error:
        refused = error_response(error)
        return Served(refused.status_code, "", bytes(refused.body))

    async def as_caller(scope: Scope, receive: Receive, send: Send) -> None:
        admit(scope, asking)
        scope["state"]["is_of_batch"] = True
        await api(scope, receive, send)

    # An error of the API is its answer, too: 500, as its log explains.
    transport = httpx.ASGITransport(as_caller, raise_app_exceptions=False)
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url=base_url, timeout=None) as client:
        answer = await client.post(path, content=body, headers=headers)
    return Served(answer.status_code, answer.headers.get(ID_HEADER, ""), answer.content)
