"""The registry of adapters: names, versions, aliases, on MLflow's model registry.

In: an adapter folder and its lineage. Out: an `AdapterVersion` with a local folder to load from. It does not load
adapters, and does not know how they were trained.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from plait.adapters.metadata import FILE_NAME as METADATA_FILE
from plait.adapters.metadata import AdapterMetadata, check_adapter_folder
from plait.adapters.registered_folders import RegisteredFolder, RegisteredFolders
from plait.adapters.tracking import tracking_client
from plait.model_ids import BASE, AdapterRef

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdapterVersion:
    """One registered version of an adapter, with its folder on this machine."""

    name: str
    version: int
    path: Path
    metadata: AdapterMetadata
    aliases: tuple[str, ...] = field(default=())

    @property
    def key(self) -> str:
        """`support:3`: what this version is called wherever one name must mean one set of weights."""
        return f"{self.name}:{self.version}"

    @property
    def created_at(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.metadata.created_at)


class Registry:
    """Adapters by name, version and alias.

    Attributes:
        client: of the tracking server.

    Raises:
        Unavailable: on opening, when a configured tracking server does not answer.
    """

    def __init__(self) -> None:
        self.client = tracking_client()
        self._folders = RegisteredFolders(self.client, "adapter", "adapters", METADATA_FILE, always=(BASE,))

    def register(self, name: str, folder: Path, run_id: str) -> AdapterVersion:
        """Add the adapter in `folder` as the next version of `name`, kept with the run that made it.

        Raises:
            InvalidInput: when the folder is no adapter.
        """
        check_adapter_folder(folder)
        return _adapter(self._folders.register(name, folder, run_id))

    def resolve(self, ref: AdapterRef) -> AdapterVersion:
        """The version that a reference means now; without version or alias, the newest.

        Raises:
            ModelNotFound: with the nearest names, versions or aliases that exist.
        """
        return _adapter(self._folders.resolve(ref))

    def list(self) -> list[AdapterVersion]:
        """Every version of every adapter, by name, newest first; one whose folder is no adapter is left out."""
        found = []
        for version in self._folders.newest_first():
            try:
                found.append(_adapter(self._folders.load(version)))
            except Exception as error:  # whatever is wrong with one, it must not hide the others
                _log.warning("%s:%s is left out: %s", version.name, version.version, error)
        return found

    def set_alias(self, ref: AdapterRef, alias: str) -> AdapterVersion:
        """Let `name@alias` mean the version that `ref` means now."""
        return _adapter(self._folders.set_alias(ref, alias))


def _adapter(folder: RegisteredFolder) -> AdapterVersion:
    return AdapterVersion(folder.name, folder.version, folder.path, AdapterMetadata.read(folder.path), folder.aliases)
