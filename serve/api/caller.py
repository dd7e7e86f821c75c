"""Who asks, and what they may ask for: the holder of an API key, of PLAIT_ADMIN_KEY, or, without any keys, anybody.

In: the header `Authorization: Bearer <key>`, or Anthropic's `x-api-key: <key>`. Out: a `Caller`, which refuses, or
narrows, what a request asks for.
"""

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as HttpScope

from plait import api_keys
from plait.api_keys import ApiKey, KeysUnreadable
from plait.client_jobs.tuning import maker_of
from plait.documents.uploads import made_collections
from plait.documents.uploads.reach import EVERYTHING, Reach
from plait.errors import CollectionNotFound, Forbidden, PlaitError, Unauthorized, Unavailable
from plait.retrieval.request import Retrieval
from plait.scope import Scope
from plait.serve.api.errors import error_response
from plait.settings import settings

_OPEN = ("/healthz", "/readyz", "/health", "/ping", "/version", "/docs", "/openapi.json")
_ANTHROPICS_HEADER = "x-api-key"
_log = logging.getLogger("ray.serve")
# Where the file is and what is wrong with it is for the log: whoever asks has shown no key.
_KEYS_UNREADABLE = Unavailable("API keys cannot be checked now.", "Whoever runs this server finds why in its log.")
_REMEDY = "Send the header Authorization: Bearer <key>."


@dataclass(frozen=True)
class Caller:
    """`key`: None for the holder of PLAIT_ADMIN_KEY and, where there are no keys, for anybody: nothing is barred."""

    scopes: frozenset[Scope]
    key: ApiKey | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def tenant(self) -> str | None:
        """Whose documents; None: the server's, or those that the request names."""
        return self.key.tenant if self.key else None

    @property
    def reach(self) -> Reach:
        """Which files."""
        return Reach(tenant=self.key.tenant, collections=self.key.collections) if self.key else EVERYTHING

    @property
    def owner(self) -> str:
        """Who owns what this caller's requests leave here, as a name that is safe in a path. Each key is an owner, and
        a key has one tenant at most."""
        if self.key is not None:
            return hashlib.sha256(self.key.id.encode()).hexdigest()[:32]
        return "admin" if self.may(Scope.ADMIN) else "anybody"

    def may_use_adapter(self, name: str) -> bool:
        """Whether an adapter is for this key; one that it has trained is, and one of another tenant's is not."""
        if self.key is None:
            return True
        made_by = maker_of(name)
        if made_by is not None and None not in (made_by[0].tenant, self.tenant) and made_by[0].tenant != self.tenant:
            return False
        is_own = made_by is not None and made_by[1] == self.owner
        return is_own or self.key.adapters is None or name in self.key.adapters

    def may_use_collection(self, name: str) -> bool:
        return self._is_bound_to(name) and not self._is_of_another_tenant(name)

    def check_collection(self, name: str) -> None:
        """Refuse a collection that is not for this key.

        Raises:
            Forbidden: for one that it is not bound to, whether or not there is one of the name.
            CollectionNotFound: for one that clients of another tenant made.
        """
        remedy = "GET /v1/vector_stores lists what this key may use."
        if not self._is_bound_to(name):
            raise Forbidden(f"This key may not use the collection '{name[:80]}'.", remedy)
        if self._is_of_another_tenant(name):
            raise CollectionNotFound(f"There is no collection '{name[:80]}' here.", remedy)

    def _is_bound_to(self, collection: str) -> bool:
        return self.key is None or self.key.collections is None or collection in self.key.collections

    def _is_of_another_tenant(self, collection: str) -> bool:
        made = made_collections.find(collection)
        return made is not None and None not in (made.tenant, self.tenant) and made.tenant != self.tenant

    def bound(self, options: Retrieval) -> Retrieval:
        """A retrieval of this key's tenant, from its collections; what it names itself must be among them.

        Raises:
            Forbidden: for another tenant, or another collection.
            CollectionNotFound: for a collection that clients of another tenant made.
        """
        key = self.key
        if key is None:
            return options
        bound: dict[str, Any] = {}
        if key.tenant is not None:
            if "tenant" in options.model_fields_set and options.tenant != key.tenant:
                raise Forbidden(f"This key is for the tenant '{key.tenant}' only.", "Leave tenant out of the request.")
            bound["tenant"] = key.tenant
        for name in options.named:
            self.check_collection(name)
        if not options.named and key.collections is not None:
            self.check_collection(key.collections[0])
            bound["collection"] = key.collections[0]
        return options.model_copy(update=bound)


class KeyCheck:
    """ASGI middleware: finds out who asks, before anything of the request's body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        is_known = "caller" in scope.get("state", {})  # a request of a batch, which comes from within
        if scope["type"] == "http" and scope["path"] not in _OPEN and not is_known:
            try:
                _look(scope)
            except KeysUnreadable as error:
                _log.error("%s", error)
                await error_response(_KEYS_UNREADABLE)(scope, receive, send)
                return
            except PlaitError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _look(scope: HttpScope) -> None:
    headers = Headers(scope=scope)
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    secret = given.strip() if scheme.lower() == "bearer" else headers.get(_ANTHROPICS_HEADER, "")
    admit(scope, _caller(secret))


def admit(scope: HttpScope, caller: Caller) -> None:
    """Let a request be one of this caller's."""
    key_id = caller.key.id if caller.key else None
    scope.setdefault("state", {}).update(caller=caller, is_admin=caller.may(Scope.ADMIN), key_id=key_id)


def _caller(secret: str) -> Caller:
    if _is_admin_key(secret):
        return Caller(frozenset({Scope.ADMIN}))
    keys = api_keys.all_keys()
    if keys is None:
        return Caller(frozenset({Scope.INFER}))
    return _holder(api_keys.find(secret))


def caller_of(key_id: str | None) -> Caller:
    """Who ordered something that is done now; `key_id`: of the key; None: whoever may do everything.

    Raises:
        Unauthorized: when the key was revoked, or has expired, meanwhile.
        KeysUnreadable: when the file of keys cannot be read.
    """
    if key_id is None:
        return Caller(frozenset({Scope.ADMIN}))
    return _holder(next((key for key in api_keys.all_keys() or () if key.id == key_id), None))


def _holder(key: ApiKey | None) -> Caller:
    if key is None:
        raise Unauthorized("The API key is missing or wrong.", _REMEDY)
    if key.is_expired:
        raise Unauthorized("The API key has expired.", "Ask whoever runs this server for another.")
    return Caller(key.scopes, key)


# The schemes are for the description of the API alone: the middleware has read the key.
async def caller(
    request: Request,
    _: Annotated[Any, Security(HTTPBearer(auto_error=False))],
    __: Annotated[Any, Security(APIKeyHeader(name=_ANTHROPICS_HEADER, auto_error=False))],
) -> Caller:
    """Who asks."""
    found: Caller = request.state.caller
    return found


def requires(*scopes: Scope) -> Callable[[Caller], Awaitable[None]]:
    """A dependency of routes that only callers with one of some scopes may use.

    Raises, when a request comes:
        Forbidden: for a key without these scopes, or where nobody has them.
        Unauthorized: without a key, where there is one that has one of them.
    """
    named = " or ".join(f"'{scope}'" for scope in scopes)

    async def check(asking: Annotated[Caller, Depends(caller)]) -> None:
        if any(map(asking.may, scopes)):
            return
        if asking.key is not None:
            raise Forbidden(f"This key may not do that: it has not the scope {named}.")
        if settings().admin_key is None:
            raise Forbidden(
                f"This is for keys of the scope {named}, and there is none.",
                f"Make one: plait keys create NAME --scope {scopes[0]}. The first key closes the API to everybody "
                "without one.",
            )
        raise Unauthorized("The admin key is missing or wrong.", _REMEDY)

    return check


def _is_admin_key(secret: str) -> bool:
    right = settings().admin_key
    return right is not None and hmac.compare_digest(secret.encode(), right.get_secret_value().encode())
