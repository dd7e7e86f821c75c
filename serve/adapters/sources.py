"""Where adapters come from besides the registry: a folder, an object store, a model hub; only from stores that are
configured.

In: a location as it stands in a request (`/data/adapters/support`, `s3://bucket/support`, `org/name`). Out: a local
folder that may be loaded. It does not know what the adapter is called, and loads nothing.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from plait.adapters.methods.saved_config import MAX_CONFIG_BYTES
from plait.errors import InvalidInput, ModelNotFound, PlaitError, Unavailable, first_line
from plait.serve.adapters.cache import AdapterCache
from plait.serve.adapters.limits import AdapterLimits

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_REMOTE = ("s3://", "gs://")
_HUB = "hub:"
_FILES = ("adapter_config.json", "adapter_model.safetensors", "plait.json")
_REQUIRED = _FILES[:2]
_MAX_LOCATION = 4096
"""Linux has no longer paths, S3 no keys above 1,024 bytes."""


class AdapterSources:
    """Fetches adapters.

    Args:
        stores: what a location must lie in: folders, `s3://bucket/prefix`, `gs://…`, `hub:org` or `hub:*`.
        cache: keeps what was downloaded.
        limits: what an adapter must keep to.
    """

    def __init__(self, stores: Sequence[str], cache: AdapterCache, limits: AdapterLimits) -> None:
        self._folders = [Path(s).expanduser().resolve() for s in stores if not s.startswith((*_REMOTE, _HUB))]
        self._remote = [store.rstrip("/") for store in stores if store.startswith(_REMOTE)]
        self._hub = [store.removeprefix(_HUB) for store in stores if store.startswith(_HUB)]
        self._cache, self._limits = cache, limits

    def check_allowed(self, location: str) -> None:
        """Refuse a location outside the stores; opens nothing.

        Raises:
            InvalidInput: says which setting would allow it.
        """
        if len(location) > _MAX_LOCATION or any(
            unicodedata.category(character) in ("Cc", "Cs") for character in location
        ):
            raise InvalidInput(
                f"{location[:80]!r} is no place of an adapter: it holds a character that no path has, or too many."
            )
        if location.startswith(_REMOTE):
            is_allowed = ".." not in location.split("/") and any(
                location.rstrip("/") == store or location.startswith(f"{store}/") for store in self._remote
            )
        elif _is_folder(location):
            # Resolved first: a link inside a store must not lead out of it.
            folder = _resolved(location)
            is_allowed = any(folder.is_relative_to(store) for store in self._folders)
        elif _HUB_ID.fullmatch(location):
            is_allowed = "*" in self._hub or location.partition("/")[0] in self._hub
        else:
            raise InvalidInput(
                f"'{location}' is no place of an adapter.",
                "Give a folder, s3://bucket/prefix, a hub id (org/name), or a name in the registry.",
            )
        if not is_allowed:
            raise InvalidInput(
                f"'{location}' lies in none of the stores that this server may open.",
                "Put the adapter into one of them, or add its place to llm.adapter_stores.",
            )

    def fetch(self, location: str) -> Path:
        """The local folder of an adapter, downloaded if need be.

        Raises:
            InvalidInput: outside the stores, or no adapter.
            ModelNotFound: when nothing is there.
            Unavailable: when the store does not answer.
        """
        self.check_allowed(location)
        if location.startswith(_REMOTE):
            return self._from_object_store(location)
        if _is_folder(location):
            folder = _resolved(location)
            if not _is_there(folder):
                raise ModelNotFound(f"There is no folder '{location}'.")
            check_links(folder, self._folders)
            return folder
        folder = _from_hub(location)
        check_links(
            folder, [folder.resolve().parent.parent]
        )  # the hub's cache holds the files themselves beside its snapshots
        return folder

    def _from_object_store(self, location: str) -> Path:
        import fsspec

        try:
            store, root = fsspec.core.url_to_fs(location, use_listings_cache=False)
            listed = {str(entry["name"]).rpartition("/")[2]: entry for entry in store.ls(root, detail=True)}
            files = {name: listed[name] for name in _FILES if name in listed}
            self._check_listing(location, listed, files)
            return self._cache.folder(
                _content_key(location, files.values()),
                lambda folder: store.get([entry["name"] for entry in files.values()], [str(folder / n) for n in files]),
            )
        except PlaitError:
            raise
        except FileNotFoundError:
            raise ModelNotFound(f"There is nothing at '{location}'.", "Check the bucket and the prefix.") from None
        except Exception as error:  # each store has errors of its own, and all of them mean that it cannot be read
            raise Unavailable(
                f"'{location}' cannot be read ({first_line(error)}).", "Check the store and its credentials."
            ) from error

    def _check_listing(self, location: str, listed: dict[str, Any], files: dict[str, Any]) -> None:
        """Refuse before anything is downloaded what would be refused after."""
        missing = [name for name in _REQUIRED if name not in files]
        if missing:
            pickled = [name for name in listed if name.endswith((".bin", ".pt"))]
            if pickled:
                raise InvalidInput(
                    f"'{location}' holds pickled weights ({pickled[0]}), which can run code when loaded.",
                    "Save the adapter as safetensors.",
                )
            raise InvalidInput(f"'{location}' is no adapter: {missing[0]} is missing.")
        self._limits.check_size(location, int(files["adapter_model.safetensors"]["size"]))
        for name, entry in files.items():
            if name.endswith(".json") and int(entry["size"]) > MAX_CONFIG_BYTES:
                raise InvalidInput(
                    f"'{location}/{name}' has {int(entry['size']):,} bytes; such a file may have {MAX_CONFIG_BYTES:,}."
                )


def check_links(folder: Path, stores: Sequence[Path]) -> None:
    """Refuse an adapter with a file that is a link out of the stores, or no file (a device, a pipe).

    Raises:
        InvalidInput: names the file.
    """
    for name in _FILES:
        file = folder / name
        if not file.is_symlink() and not file.exists():
            continue
        target = _resolved(str(file))
        if not any(target.is_relative_to(store) for store in stores):
            raise InvalidInput(
                f"'{file}' is a link to a file outside the stores that this server may open.",
                "Put the file itself there.",
            )
        if not target.is_file():
            raise InvalidInput(f"'{file}' is no file.")


def _resolved(location: str) -> Path:
    """The path with every link followed.

    Raises:
        InvalidInput: when there is none: links in a circle, a home of nobody, a name that is too long.
    """
    try:
        folder = Path(location).expanduser().resolve()
        folder.is_dir()  # to resolve passes over a name that is too long
        return folder
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_path(location, error) from None


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError as error:  # a name that is too long, a folder that is closed to this user
        raise _no_path(str(folder), error) from None


def _no_path(location: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"'{location[:200]}' is no path that can be opened ({first_line(error)}).")


def _is_folder(location: str) -> bool:
    return location.startswith(("/", ".", "~"))


def _content_key(location: str, entries: Iterable[dict[str, Any]]) -> str:
    """Changes when anything that lies there changes."""
    marks = [f"{e['name']}:{e['size']}:{e.get('ETag') or e.get('etag') or e.get('LastModified')}" for e in entries]
    return "\n".join([location.rstrip("/"), *sorted(marks)])


def _from_hub(location: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(location, allow_patterns=list(_FILES)))
    except HFValidationError as error:
        raise InvalidInput(f"'{location}' is no id of the hub ({error}).") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise Unavailable(
            f"The adapter '{location}' could not be fetched from the hub ({first_line(error)}).",
            "Check the id, the network and HF_TOKEN.",
        ) from error
