"""Environments of clients: each has the pinned packages of one client, and is made once for each set of pins.

Packages of Python lie in an environment of their own, packages of Node in a folder. A client says what its trial needs
besides; where this machine has not got it, the trial is left out.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TRIALS = HERE / "trials"
ENVIRONMENTS = HERE / ".environments"


class Missing(Exception):
    """Says what this machine lacks for a trial."""


@dataclass(frozen=True)
class Client:
    """A client, its trial in `trials`, and the pinned packages that it takes.

    `takes_torch`: they need torch, of which the CPU build is enough. `programs`: the trial gets the path of the first
    of these that is there. `needs_documents`: it wants `plait serve` with a collection, which takes minutes, so it is
    run only where it is named.
    """

    name: str
    trial: str
    packages: tuple[str, ...]
    takes_torch: bool = False
    programs: tuple[str, ...] = ()
    needs_documents: bool = False

    def command(self) -> list[str]:
        """How the trial is run; its environment is made where it is not there.

        Raises:
            Missing: when this machine lacks what the trial needs.
        """
        is_node = self.trial.endswith(".mjs")
        if is_node:
            _found("npm")
        program = [_found(*self.programs)] if self.programs else []
        folder = ENVIRONMENTS / self.name
        pins = folder / "pins"
        if not pins.exists() or pins.read_text() != "\n".join(self.packages):
            shutil.rmtree(folder, ignore_errors=True)
            self._install_node(folder) if is_node else self._install_python(folder)
            pins.write_text("\n".join(self.packages))
        if not is_node:
            return [str(folder / "bin/python"), str(TRIALS / self.trial), *program]
        for module in (self.trial, "trial.mjs"):  # Node finds packages beside the module alone
            shutil.copy(TRIALS / module, folder)
        node = folder / "node_modules/.bin/node"  # of the package `node`, where a client needs another version
        return [str(node) if node.exists() else "node", str(folder / self.trial), *program]

    def _install_node(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
        subprocess.run(["npm", "install", "--silent", "--omit=optional", *self.packages], cwd=folder, check=True)

    def _install_python(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = folder / "bin/python"
        if self.takes_torch:
            subprocess.run([ROOT / ".ci/install-torch", python, ROOT / "constraints.txt"], check=True)
        pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *self.packages], check=True)


def _found(*programs: str) -> str:
    """The path of the first of these programs that is there."""
    path = next(filter(None, map(shutil.which, programs)), None)
    if path is None:
        raise Missing(f"there is no {' and no '.join(programs)}")
    return path
