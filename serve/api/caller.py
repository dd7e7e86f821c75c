"""Who asks, and what they may ask for: the holder of an API key, of PLAIT_ADMIN_KEY, or, without any keys, anybody.

In: the header `Authorization: Bearer <key>`. Out: a `Caller`, which refuses, or narrows, what a request asks for.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from plait import api_keys
from plait.api_keys import ApiKey, Scope
from plait.errors import Forbidden, Unauthorized
from plait.retrieval.request import Retrieval
from plait.settings import settings

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

    def may_use_adapter(self, name: str) -> bool:
        return self.key is None or self.key.adapters is None or name in self.key.adapters

    def may_use_collection(self, name: str) -> bool:
        return self.key is None or self.key.collections is None or name in self.key.collections

    def check_collection(self, name: str) -> None:
        """Refuse a collection that is not for this key, whether or not there is one of the name.

        Raises:
            Forbidden: as said.
        """
        if not self.may_use_collection(name):
            raise Forbidden(
                f"This key may not use the collection '{name[:80]}'.", "GET /v1/vector_stores lists what it may use."
            )

    def bound(self, asked: Retrieval) -> Retrieval:
        """A retrieval of this key's tenant, from its collections; what it names itself must be among them.

        Raises:
            Forbidden: for another tenant, or another collection.
        """
        key = self.key
        if key is None:
            return asked
        bound: dict[str, Any] = {}
        if key.tenant is not None:
            if "tenant" in asked.model_fields_set and asked.tenant != key.tenant:
                raise Forbidden(f"This key is for the tenant '{key.tenant}' only.", "Leave tenant out of the request.")
            bound["tenant"] = key.tenant
        if asked.collection is not None:
            self.check_collection(asked.collection)
        elif key.collections is not None:
            bound["collection"] = key.collections[0]
        return asked.model_copy(update=bound)


async def caller(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]
) -> Caller:
    """Who asks.

    Raises:
        Unauthorized: for a missing, wrong or expired key, where there are keys.
    """
    secret = given.credentials if given else ""
    if _is_admin_key(secret):
        return Caller(frozenset({Scope.ADMIN}))
    key = api_keys.find(secret)
    if key is None:
        if api_keys.all_keys() is not None:
            raise Unauthorized("The API key is missing or wrong.", _REMEDY)
        return Caller(frozenset({Scope.INFER}))
    if key.is_expired:
        raise Unauthorized("The API key has expired.", "Ask whoever runs this server for another.")
    request.state.key_id = key.id
    return Caller(key.scopes, key)


def requires(scope: Scope) -> Callable[[Caller], Awaitable[None]]:
    """A dependency of routes that only some callers may use.

    Raises, when a request comes:
        Forbidden: for a key without the scope, or where nobody has it.
        Unauthorized: without a key, where there is one that has it.
    """

    async def check(asking: Annotated[Caller, Depends(caller)]) -> None:
        if asking.may(scope):
            return
        if asking.key is not None:
            raise Forbidden(f"This key may not do that: it has not the scope '{scope}'.")
        if settings().admin_key is None:
            raise Forbidden("These routes are off.", f"Make a key for them: plait keys create NAME --scope {scope}.")
        raise Unauthorized("The admin key is missing or wrong.", _REMEDY)

    return check


def _is_admin_key(secret: str) -> bool:
    right = settings().admin_key
    return right is not None and hmac.compare_digest(secret.encode(), right.get_secret_value().encode())
