"""Folders by name, version and alias, on MLflow's model registry: what the registries of adapters and policies share.

In: a folder and the run that made it. Out: a `RegisteredFolder` on this machine. It does not know what is in a folder.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from plait.errors import InvalidInput, ModelNotFound, did_you_mean
from plait.model_ids import AdapterRef
from plait.settings import settings

_BETWEEN = " "
"""Stands between what is registered and its name, which has none: an adapter and a policy may have the same name."""


@dataclass(frozen=True)
class RegisteredFolder:
    """One version of something that is registered."""

    name: str
    version: int
    path: Path
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class RegisteredFolders:
    """Everything of one kind.

    Attributes:
        client: of the tracking server.
        what: one of them, in sentences, and the folder of its artefacts in a run.
        plural: the folder under PLAIT_HOME of those from elsewhere.
        marker: a file that each folder has.
        prefix: of the names that MLflow shows; empty: none.
        always: names that there are without being registered, for hints.
    """

    client: Any
    what: str
    plural: str
    marker: str
    prefix: str = ""
    always: tuple[str, ...] = ()

    def register(self, name: str, folder: Path, run_id: str) -> RegisteredFolder:
        """Add a folder as the next version of a name, kept with the run that made it."""
        from mlflow.exceptions import MlflowException

        self.client.log_artifacts(run_id, str(folder), self.what)
        try:
            self.client.create_registered_model(self._shown(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self.client.get_run(run_id).info.artifact_uri}/{self.what}"
        return self.load(self.client.create_model_version(self._shown(name), source, run_id))

    def resolve(self, ref: AdapterRef) -> RegisteredFolder:
        """The version that a reference means now; without version or alias, the newest.

        Raises:
            ModelNotFound: with the nearest names, versions or aliases that exist.
        """
        versions = self.versions(ref.name)
        if not versions:
            hint = did_you_mean(ref.name, [*self.always, *self.names()])
            raise ModelNotFound(f"There is no {self.what} '{ref.name}'.", hint)
        if ref.alias is not None:
            aliases = self._aliases(self._shown(ref.name))
            if ref.alias not in aliases:
                hint = did_you_mean(ref.alias, aliases) or "It has no aliases yet."
                raise ModelNotFound(f"The {self.what} '{ref.name}' has no alias '{ref.alias}'.", hint)
            wanted = int(aliases[ref.alias])
        else:
            wanted = ref.version or max(versions)
        if wanted not in versions:
            existing = ", ".join(str(v) for v in sorted(versions)[-12:])
            raise ModelNotFound(f"The {self.what} '{ref.name}' has no version {wanted}.", f"It has: {existing}.")
        return self.load(versions[wanted])

    def names(self) -> list[str]:
        """All names, sorted."""
        shown = [model.name for model in self.client.search_registered_models()]
        return sorted(name.rpartition(_BETWEEN)[2] for name in shown if name.rpartition(_BETWEEN)[0] == self.prefix)

    def newest_first(self) -> Iterator[Any]:
        """Every version of every name, as MLflow has it: by name, newest first."""
        for name in self.names():
            versions = self.versions(name)
            for number in sorted(versions, reverse=True):
                yield versions[number]

    def set_alias(self, ref: AdapterRef, alias: str) -> RegisteredFolder:
        """Let `name@alias` mean the version that `ref` means now."""
        version = self.resolve(ref)
        self.client.set_registered_model_alias(self._shown(version.name), alias, str(version.version))
        return self.resolve(AdapterRef(version.name, alias=alias))

    def versions(self, name: str) -> dict[int, Any]:
        """The versions of a name, by number, as MLflow has them.

        Raises:
            InvalidInput: when it cannot be a name.
        """
        if "'" in name:
            raise InvalidInput(f"{name!r} is no {self.what} name.")
        return {int(v.version): v for v in self.client.search_model_versions(f"name='{self._shown(name)}'")}

    def load(self, version: Any) -> RegisteredFolder:
        """A version that MLflow has, with its folder on this machine."""
        name, number = version.name.rpartition(_BETWEEN)[2], int(version.version)
        # A search leaves the aliases out; only the model itself lists them.
        aliases = self._aliases(version.name)
        return RegisteredFolder(
            name=name,
            version=number,
            path=self._local_folder(version, name),
            aliases=tuple(sorted(alias for alias, of in aliases.items() if int(of) == number)),
        )

    def _shown(self, name: str) -> str:
        return f"{self.prefix}{_BETWEEN}{name}" if self.prefix else name

    def _aliases(self, shown: str) -> Mapping[str, str]:
        aliases: Mapping[str, str] = self.client.get_registered_model(shown).aliases
        return aliases

    def _local_folder(self, version: Any, name: str) -> Path:
        location = urlparse(version.source)
        if location.scheme in ("", "file"):
            return Path(unquote(location.path))
        import mlflow

        folder = settings().root / self.plural / name / str(version.version)
        if not (folder / self.marker).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            mlflow.artifacts.download_artifacts(
                artifact_uri=version.source, dst_path=str(folder), tracking_uri=settings().mlflow_uri
            )
        return folder
