"""The registry of adapters: names, versions, aliases, on MLflow's model registry.

In: an adapter folder and its lineage. Out: an `AdapterVersion` with a local folder to load from. It does not load
adapters, and does not know how they were trained.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from plait.adapters.metadata import FILE_NAME as METADATA_FILE
from plait.adapters.metadata import AdapterMetadata, check_adapter_folder
from plait.adapters.tracking import tracking_client
from plait.errors import InvalidInput, ModelNotFound, did_you_mean
from plait.model_ids import AdapterRef
from plait.settings import settings

_ARTIFACT = "adapter"
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

    Raises:
        Unavailable: on opening, when a configured tracking server does not answer.
    """

    def __init__(self) -> None:
        self._client = tracking_client()

    def register(self, name: str, folder: Path, run_id: str) -> AdapterVersion:
        """Add the adapter in `folder` as the next version of `name`, kept with the run that made it.

        Raises:
            InvalidInput: when the folder is no adapter.
        """
        from mlflow.exceptions import MlflowException

        check_adapter_folder(folder)
        self._client.log_artifacts(run_id, str(folder), _ARTIFACT)
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{_ARTIFACT}"
        return self._load(self._client.create_model_version(name, source, run_id))

    def resolve(self, ref: AdapterRef) -> AdapterVersion:
        """The version that a reference means now; without version or alias, the newest.

        Raises:
            ModelNotFound: with the nearest names, versions or aliases that exist.
        """
        versions = self._versions(ref.name)
        if not versions:
            names = [model.name for model in self._client.search_registered_models()]
            raise ModelNotFound(f"There is no adapter '{ref.name}'.", did_you_mean(ref.name, ["base", *names]))
        if ref.alias is not None:
            aliases = self._client.get_registered_model(ref.name).aliases
            if ref.alias not in aliases:
                hint = did_you_mean(ref.alias, aliases) or "It has no aliases yet."
                raise ModelNotFound(f"The adapter '{ref.name}' has no alias '{ref.alias}'.", hint)
            wanted = int(aliases[ref.alias])
        else:
            wanted = ref.version or max(versions)
        if wanted not in versions:
            existing = ", ".join(str(v) for v in sorted(versions)[-12:])
            raise ModelNotFound(f"The adapter '{ref.name}' has no version {wanted}.", f"It has: {existing}.")
        return self._load(versions[wanted])

    def list(self) -> list[AdapterVersion]:
        """Every version of every adapter, by name, newest first; one whose folder is no adapter is left out."""
        found = []
        for model in sorted(self._client.search_registered_models(), key=lambda m: m.name):
            versions = self._versions(model.name)
            for number in sorted(versions, reverse=True):
                try:
                    found.append(self._load(versions[number]))
                except Exception as error:  # whatever is wrong with one, it must not hide the others
                    _log.warning("%s:%s is left out: %s", model.name, number, error)
        return found

    def set_alias(self, ref: AdapterRef, alias: str) -> AdapterVersion:
        """Let `name@alias` mean the version that `ref` means now."""
        version = self.resolve(ref)
        self._client.set_registered_model_alias(version.name, alias, str(version.version))
        return self.resolve(AdapterRef(version.name, alias=alias))

    def _versions(self, name: str) -> dict[int, Any]:
        if "'" in name:
            raise InvalidInput(f"{name!r} is no adapter name.")
        return {int(v.version): v for v in self._client.search_model_versions(f"name='{name}'")}

    def _load(self, version: Any) -> AdapterVersion:
        folder = self._local_folder(version)
        # A search leaves the aliases out; only the model itself lists them.
        aliases = self._client.get_registered_model(version.name).aliases
        return AdapterVersion(
            name=version.name,
            version=int(version.version),
            path=folder,
            metadata=AdapterMetadata.read(folder),
            aliases=tuple(sorted(a for a, number in aliases.items() if int(number) == int(version.version))),
        )

    def _local_folder(self, version: Any) -> Path:
        location = urlparse(version.source)
        if location.scheme in ("", "file"):
            return Path(unquote(location.path))
        import mlflow

        folder: Path = settings().root / "adapters" / version.name / str(version.version)
        if not (folder / METADATA_FILE).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            mlflow.artifacts.download_artifacts(
                artifact_uri=version.source, dst_path=str(folder), tracking_uri=settings().mlflow_uri
            )
        return folder
