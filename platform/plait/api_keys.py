"""API keys: who may ask a server, and for what.

In: grants. Out: keys, shown once; what is kept is their SHA-256, in one file that every replica of the API reads anew
when it changes. A key is 256 random bits, so a slow hash (for passwords, which are guessed) would protect nothing more.
It knows nothing of HTTP.
"""

import hashlib
import secrets
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plait.errors import InvalidInput, NotFound, Unavailable
from plait.scope import Scope
from plait.settings import settings
from plait.tenants import check_tenant
from plait.validation import why_unreadable
from plait.whole_files import write_whole

_PREFIX = "plait-"
_DAY_S = 24 * 60 * 60

_seen: set[Path] = set()
"""Files of keys that this process has read: one that is gone must not open a server that it closed."""


class KeysUnreadable(Unavailable):
    """The file of keys cannot be read, or is gone: nobody is let in. The sentence names the file."""


class ApiKey(BaseModel):
    """What is kept of a key, and what it may do; None: any. Times are seconds since 1970.

    `tenant`: whose documents it searches and writes. `collections`: the first is searched where a request names none.
    `adapters`: by name, every version of them; the base model is free to all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    sha256: str
    created_at: int
    expires_at: int | None = None
    scopes: frozenset[Scope] = frozenset({Scope.INFER})
    tenant: str | None = None
    collections: tuple[str, ...] | None = Field(None, min_length=1)
    adapters: tuple[str, ...] | None = None

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and time.time() >= self.expires_at


class _KeyFile(BaseModel):
    keys: list[ApiKey]


def create(
    name: str,
    scopes: frozenset[Scope],
    *,
    tenant: str | None = None,
    collections: tuple[str, ...] | None = None,
    adapters: tuple[str, ...] | None = None,
    days: int | None = None,
) -> tuple[ApiKey, str]:
    """Make a key that expires after so many days (None: never); returns what is kept, and the key, which is not.

    Raises:
        InvalidInput: for an administrator's key that is bound to something, or a tenant that cannot have documents.
        KeysUnreadable: when the file of keys cannot be read.
    """
    if Scope.ADMIN in scopes and (tenant, collections, adapters) != (None, None, None):
        raise InvalidInput("A key of the scope admin may do everything.", "Leave out tenant, collections and adapters.")
    if tenant is not None:
        check_tenant(tenant)
    now = int(time.time())
    secret = _PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=secrets.token_hex(4),
        name=name,
        sha256=_hash(secret),
        created_at=now,
        expires_at=None if days is None else now + days * _DAY_S,
        scopes=scopes,
        tenant=tenant,
        collections=collections,
        adapters=adapters,
    )
    with _locked():
        known = all_keys() if settings().keys_path.exists() else None
        _write([*(known or ()), key])
    return key, secret


def revoke(key_id: str) -> ApiKey:
    """Take a key away; a running server refuses it from then on.

    Raises:
        NotFound: when there is none of this id.
        KeysUnreadable: when the file of keys cannot be read.
    """
    with _locked():
        known = all_keys() or ()
        gone = next((key for key in known if key.id == key_id), None)
        if gone is None:
            raise NotFound(f"There is no key '{key_id}'.", "'plait keys list' shows them.")
        _write([key for key in known if key is not gone])
    return gone


def all_keys() -> tuple[ApiKey, ...] | None:
    """Every key, in the order they were made; None as long as none was ever made: then a server is open.

    Raises:
        KeysUnreadable: when the file of keys cannot be read, or is gone: that must not open a server.
    """
    keys = _by_hash()
    return None if keys is None else tuple(keys.values())


def find(secret: str) -> ApiKey | None:
    """What is kept of a key, also when it has expired. Looked up by its hash, so that time tells nothing of others.

    Raises:
        KeysUnreadable: when the file of keys cannot be read.
    """
    return (_by_hash() or {}).get(_hash(secret))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _by_hash() -> Mapping[str, ApiKey] | None:
    file = settings().keys_path
    try:
        status = file.stat()
    except FileNotFoundError:
        if file in _seen or settings().keys_required:
            raise KeysUnreadable(
                f"The file of API keys is not there: {file}", "Bring it back; 'plait keys create' begins another."
            ) from None
        return None
    except OSError as error:
        raise _unreadable(file, error) from None
    _seen.add(file)
    return _read(file, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=1)
def _read(file: Path, _version: tuple[int, int, int]) -> Mapping[str, ApiKey]:
    try:
        known = _KeyFile.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise _unreadable(file, error) from None
    return {key.sha256: key for key in known.keys}


def _unreadable(file: Path, error: Exception) -> KeysUnreadable:
    return KeysUnreadable(f"The file of API keys cannot be read ({why_unreadable(error)}): {file}", "Mend it.")


def _locked() -> FileLock:
    file = settings().keys_path
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file.with_name(file.name + ".lock"))


def _write(keys: list[ApiKey]) -> None:
    file = settings().keys_path.resolve()
    write_whole(file, _KeyFile(keys=keys).model_dump_json(indent=2))
