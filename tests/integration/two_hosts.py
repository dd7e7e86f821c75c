"""Two hosts on one machine, a Ray node on each: the head and another, which can be killed, cut off and started again.

A host is a network, a process and a name space of its own: it has its own address and host name, its processes see no
other's, and when it is killed all of them end at once. The hosts hang on a bridge; the machine itself is a third on it,
where Milvus runs. What they share is the file system. Where namespaces cannot be made, two Ray nodes beside each other
on loopback are left: `Hosts(isolated=False)`.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Self

import psutil

from plait.index.stores.milvus.connection import Milvus
from plait.index.stores.milvus.store import MilvusStore
from plait.local.process import answers, free_port
from plait.settings import settings

CPUS = 2
HEAD, OTHER = "a", "b"
_PATIENCE_S = 60.0
# Should this process be killed, what it started ends too.
_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_SPACES = ("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_RAY = (sys.executable, "-m", "ray.scripts.scripts", "start")
_PAGE = Path(__file__).parents[2] / "docs/cluster.md"


def recommended_environment() -> dict[str, str]:
    """Ray's environment, as the documentation recommends it for clusters."""
    exports = re.findall(r"\b(RAY_[A-Za-z_]+)=(\d+)", _PAGE.read_text(encoding="utf-8"))
    return dict(exports)


class Hosts:
    """Both hosts, the link between them, and the cluster on them. A context: what it starts ends with it.

    Args:
        isolated: in namespaces; else two Ray nodes on loopback, whose link cannot be cut.
        checks: Ray's environment for the checks between its nodes; None: the recommended one.
    """

    def __init__(self, isolated: bool, checks: Mapping[str, str] | None = None) -> None:
        self.isolated = isolated
        self._name = f"plait{secrets.token_hex(3)}"
        self._net = _free_network() if isolated else "127.0.0"
        self.addresses = {HEAD: f"{self._net}.1", OTHER: f"{self._net}.{2 if isolated else 1}"}
        self._folder = Path(tempfile.mkdtemp(prefix="pl-", dir="/tmp"))  # short, for the sake of Ray's sockets
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._others: list[subprocess.Popen[str]] = []
        self._milvus: subprocess.Popen[bytes] | None = None
        self._gcs_port, self.http_port, self._milvus_port = free_port(), free_port(), free_port()
        self.store = MilvusStore(Milvus(f"http://{self._net}.{254 if isolated else 1}:{self._milvus_port}", ""))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            **(recommended_environment() if checks is None else checks),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PLAIT_HOME": str(settings().root),
            "PLAIT_RAY_ADDRESS": f"{self.addresses[HEAD]}:{self._gcs_port}",
            "PLAIT_MILVUS_URI": self.store.address,
            "PLAIT_BIND": "0.0.0.0" if isolated else "127.0.0.1",
            "PLAIT_HTTP_PORT": str(self.http_port),
        }

    def __enter__(self) -> Self:
        try:
            if self.isolated:
                self._make_network()
            self._start_milvus()
            self._watch()
            self.start(HEAD)
            self.start(OTHER)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._nodes):
            self.kill(name)
        for process in (*self._others, *([self._milvus] if self._milvus else [])):
            process.kill()
            process.wait()
        if self.isolated:
            for name in (HEAD, OTHER):
                _ip("netns", "del", self._namespace(name), check=False)  # with its end of the link, and so the other
            _ip("link", "del", self._name, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    # ------------------------------------------------------------ what happens to a host

    def start(self, name: str) -> None:
        """Start the Ray node of a host; returns when the cluster has it."""
        before = self._nodes_alive()
        options = {
            "--node-ip-address": self.addresses[name],
            "--num-cpus": CPUS,
            "--object-store-memory": 100_000_000,
            "--dashboard-agent-listen-port": free_port(),
            "--temp-dir": self._folder / name,
        }
        if name == HEAD:
            options |= {"--port": self._gcs_port, "--ray-client-server-port": free_port()}
            options |= {"--include-dashboard": "false"}
        else:
            options |= {"--address": self.environment["PLAIT_RAY_ADDRESS"]}
        flags = ["--head"] if name == HEAD else []
        command = [
            *_RAY,
            *flags,
            *("--block", "--disable-usage-stats"),
            *(f"{key}={value}" for key, value in options.items()),
        ]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._nodes[name] = subprocess.Popen(
                [*self._entering(name), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A node knows nothing of Plait: what its work needs comes with the work.
                env={key: value for key, value in self.environment.items() if not key.startswith("PLAIT_")},
                cwd=self._folder,
                start_new_session=True,
            )
        # One that has just been killed may still be taken for alive.
        wait_until(lambda: bool(self._nodes_alive() - before), f"the Ray node of host {name} did not come up")

    def kill(self, name: str) -> None:
        """End every process of a host at once."""
        node = self._nodes.pop(name)
        family = [node.pid, *(child.pid for child in _descendants(node.pid))]
        # In a process namespace the end of its first process is the end of all; what is not in one is ended by id.
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.wait()

    def restart(self, name: str) -> None:
        """End what is left of a host and start its Ray node anew."""
        self.kill(name)
        self.start(name)

    def cut(self, name: str) -> None:
        """Take a host off the network: whatever is sent to it is lost without a word."""
        _ip("link", "set", self._port(name), "down")

    def heal(self, name: str) -> None:
        """Put it back."""
        _ip("link", "set", self._port(name), "up")

    def alive(self) -> int:
        """Nodes that the head takes for alive; 0 while there is no head."""
        return len(self._nodes_alive())

    # ------------------------------------------------------------ what runs on a host

    def run(self, name: str, *command: str) -> subprocess.Popen[str]:
        """Start a command on a host; its output is piped."""
        process = subprocess.Popen(
            [*self._inside(name), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )
        self._others.append(process)
        return process

    def workers(self, name: str, title: str) -> list[psutil.Process]:
        """Ray's worker processes on a host that run what has this in its title."""
        found = _descendants(self._nodes[name].pid)
        return [process for process in found if title in " ".join(_command_line(process))]

    # ------------------------------------------------------------ how it is made

    def _nodes_alive(self) -> set[str]:
        """The ids that Ray gave them."""
        return set(seen.read_text().split()) if (seen := self._folder / "alive").is_file() else set()

    def _watch(self) -> None:
        """Keep the living nodes' ids in a file; a process of its own, because a process has one Ray token."""
        script = f"""
import time
from pathlib import Path
from ray._raylet import GcsClient

seen = Path({str(self._folder / "alive")!r})
while True:
    try:
        client = GcsClient(address={self.environment["PLAIT_RAY_ADDRESS"]!r})
        while True:
            nodes = client.get_all_node_info(timeout=5).values()
            seen.with_suffix(".new").write_text(" ".join(node.node_id.hex() for node in nodes if node.state == 0))
            seen.with_suffix(".new").rename(seen)
            time.sleep(0.1)
    except Exception:
        time.sleep(0.2)
"""
        with (self._folder / "watch.log").open("wb") as log:
            self._others.append(
                subprocess.Popen(
                    [*_WITH_US, sys.executable, "-c", script], env=self.environment, stdout=log, stderr=log, text=True
                )
            )

    def _start_milvus(self) -> None:
        host, _, port = self.store.address.removeprefix("http://").partition(":")
        server = [*_WITH_US, str(Path(sys.executable).parent / "milvus-lite"), "server", "--host", host, "--port", port]
        with (self._folder / "milvus.log").open("wb") as log:
            self._milvus = subprocess.Popen(
                [*server, "--data-dir", str(self._folder / "milvus")], stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: answers(host, int(port)), "Milvus did not come up")

    def _make_network(self) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{self._net}.254/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        for name, address in self.addresses.items():
            space, port = self._namespace(name), self._port(name)
            _ip("netns", "add", space)
            _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", port, "master", self._name, "up")
            for inside in (f"addr add {address}/24 dev eth0", "link set lo up", "link set eth0 up"):
                _ip("-n", space, *inside.split())

    def _namespace(self, name: str) -> str:
        return f"{self._name}-{name}"

    def _port(self, name: str) -> str:
        """The bridge's end of a host's link."""
        return f"{self._name}{name}"

    def _entering(self, name: str) -> Sequence[str]:
        """What makes a command the first process of a host."""
        if not self.isolated:
            return ()
        named = ("sh", "-c", 'hostname "$0"; "$@"; exit $?', self._namespace(name))
        return (*_WITH_US, "ip", "netns", "exec", self._namespace(name), *_SPACES, *named)

    def _inside(self, name: str) -> Sequence[str]:
        """What makes a command another process of a host."""
        if not self.isolated:
            return ()
        first = psutil.Process(self._nodes[name].pid).children()[0].pid
        return ("nsenter", "--target", str(first), "--net", "--uts", "--mount", "--pid")


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = _PATIENCE_S) -> float:
    """Wait, and say how long it took, in seconds."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < timeout_s, what
        time.sleep(0.05)
    return time.monotonic() - started


@cache
def no_namespaces() -> str | None:
    """Why this machine, or this user, cannot make hosts in namespaces; None: it can."""
    name = f"plait{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", name)
        try:
            _ip("link", "add", name, "type", "bridge")
            _ip("link", "del", name)
            subprocess.run(["ip", "netns", "exec", name, *_SPACES, "hostname", name], check=True, capture_output=True)
        finally:
            _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return (getattr(error, "stderr", b"").decode() or str(error)).strip()
    return None


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


def _free_network() -> str:
    """The first three bytes of a network that this machine has no route to."""
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    taken = set(re.findall(r"\b10\.213\.(\d+)\.", routes))
    # Any of them: others on this machine may look for one at the same time.
    return f"10.213.{secrets.choice([n for n in range(256) if str(n) not in taken])}"


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _measure(checks: Mapping[str, str] | None) -> None:
    """Print how long it takes until a lost host is taken for dead, and until one that was cut off ends its work."""
    for lose in (Hosts.kill, Hosts.cut):
        with Hosts(isolated=True, checks=checks) as hosts:
            time.sleep(10)  # the first checks have been made
            since = time.monotonic()
            lose(hosts, OTHER)
            dead_s = ended_s = None
            while time.monotonic() - since < 180 and (dead_s is None or (lose == Hosts.cut and ended_s is None)):
                if dead_s is None and hosts.alive() == 1:
                    dead_s = time.monotonic() - since
                if lose == Hosts.cut and ended_s is None and not hosts.workers(OTHER, "raylet/raylet"):
                    ended_s = time.monotonic() - since
                time.sleep(0.05)
            print(f"{lose.__name__}: dead after {dead_s} s, what runs there has ended after {ended_s} s", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["PLAIT_HOME"] = home
        _measure({} if "--defaults" in sys.argv else None)
