"""A package that judges, in a process and an environment of its own; benchmarks/peers/judging_peer.py is its side."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.results import ROOT, peer_python

# Ragas 0.4.3 imports a module that langchain-community dropped in 0.4; DeepEval takes a client of httpx only from
# openai before 3.
_PACKAGES = {
    "Ragas": ("ragas==0.4.3", "langchain-community==0.3.31", "openai==2.54.0"),
    "DeepEval": ("deepeval==4.3.1", "openai==2.54.0"),
}
PEERS = tuple(_PACKAGES)


@dataclass(frozen=True)
class Peer:
    """A peer that is running."""

    process: "subprocess.Popen[str]"

    def ask(self, about: dict[str, Any]) -> dict[str, Any]:
        """What it answers to one line."""
        if self.process.stdin is None or self.process.stdout is None:
            raise SystemExit("A peer has no pipes.")
        self.process.stdin.write(json.dumps(about) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} has ended: see its standard error.")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def peers(names: Sequence[str] = PEERS) -> Iterator[dict[str, Peer]]:
    """Peers by name, until the end of the block."""
    running: dict[str, Peer] = {}
    try:
        for name in names:
            python = peer_python(name.lower(), _PACKAGES[name], shares_pins=False)
            program = ROOT / "benchmarks" / "peers" / f"{name.lower()}_judge.py"
            process = subprocess.Popen(
                [python, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
            running[name] = Peer(process)
        yield running
    finally:
        for peer in running.values():
            peer.process.terminate()
            peer.process.wait()
