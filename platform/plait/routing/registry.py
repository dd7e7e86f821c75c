"""The registry of policies: names, versions and aliases on MLflow's model registry, as of adapters.

MLflow shows the policy `support` as `policy support`, so that an adapter may have the same name.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from plait.adapters.registered_folders import RegisteredFolder, RegisteredFolders
from plait.errors import InvalidInput, PlaitError
from plait.model_ids import AdapterRef
from plait.routing.folder import POLICY_FILE, SavedPolicy, read_policy

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PolicyVersion:
    """One registered version of a policy."""

    name: str
    version: int
    path: Path
    saved: SavedPolicy
    aliases: tuple[str, ...]

    @property
    def key(self) -> str:
        """`support:3`."""
        return f"{self.name}:{self.version}"


class PolicyRegistry:
    """Policies by name, version and alias.

    Args:
        client: of the tracking server (`tracking_client`).
    """

    def __init__(self, client: object) -> None:
        self._folders = RegisteredFolders(client, "policy", "policies", POLICY_FILE, prefix="policy")

    def register(self, name: str, folder: Path, run_id: str) -> PolicyVersion:
        """Add the policy in a folder as the next version of a name, kept with the run that made it.

        Raises:
            InvalidInput: when the folder holds no policy.
        """
        read_policy(folder)
        return _policy(self._folders.register(name, folder, run_id))

    def resolve(self, ref: AdapterRef, known: PolicyVersion | None = None) -> PolicyVersion:
        """The version that a reference means now; without version or alias, the newest.

        Args:
            known: one that was resolved before; while the reference means it, it is returned and not read again.

        Raises:
            ModelNotFound: with the nearest names, versions or aliases that exist.
            InvalidInput: when what was registered is no policy.
        """
        found = self._folders.resolve(ref)
        if known is not None and (known.name, known.version) == (found.name, found.version):
            return known
        return _policy(found)

    def list(self) -> list[PolicyVersion]:
        """Every version of every policy, by name, newest first; one that cannot be read is left out."""
        found = []
        for version in self._folders.newest_first():
            try:
                found.append(_policy(self._folders.load(version)))
            except PlaitError as error:  # it must not hide the others
                _log.warning("%s:%s is left out: %s", version.name, version.version, error)
        return found


def policy_ref(text: str) -> AdapterRef:
    """`support`, `support:3` or `support@champion`.

    Raises:
        InvalidInput: for any other form.
    """
    try:
        return AdapterRef.parse(text)
    except InvalidInput:
        raise InvalidInput(
            f"'{text[:80]}' is no name of a policy.",
            "Write name, name:version or name@alias; auto, base and rag are taken.",
        ) from None


def _policy(folder: RegisteredFolder) -> PolicyVersion:
    return PolicyVersion(folder.name, folder.version, folder.path, read_policy(folder.path), folder.aliases)
