"""Who may change what is served: the holder of PLAIT_ADMIN_KEY."""

import hmac
from typing import Annotated

from fastapi import Header

from plait.errors import Forbidden, Unauthorized
from plait.settings import settings


def check_admin_key(authorization: Annotated[str, Header()] = "") -> None:
    """Refuse who does not hold the admin key.

    Raises:
        Forbidden: when this server has no admin key.
        Unauthorized: for a missing or wrong one.
    """
    key = settings().admin_key
    if key is None:
        raise Forbidden("The admin routes are off.", "Set PLAIT_ADMIN_KEY where the server starts.")
    scheme, _, given = authorization.partition(" ")
    is_right = hmac.compare_digest(given.strip().encode(), key.get_secret_value().encode())
    if scheme.lower() != "bearer" or not is_right:
        raise Unauthorized("The admin key is missing or wrong.", "Send the header Authorization: Bearer <key>.")
