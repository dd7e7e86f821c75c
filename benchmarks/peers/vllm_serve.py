"""`vllm serve` in its own environment, with every core, for as long as a block runs."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.results import ROOT

from plait.local.process import free_port

_START_TIMEOUT_S = 600
_KV_CACHE_GIB = 2
"""Room for 16 requests of 4,096 tokens of Gemma 3 270M."""


def vllm_command() -> Path:
    """`vllm` of its environment, made the first time."""
    folder = ROOT / "benchmarks" / ".environments" / "vllm"
    install = ROOT / ".ci" / "install-vllm"
    subprocess.run([str(install), sys.executable, str(folder), str(ROOT / "constraints.txt")], check=True, cwd=ROOT)
    return folder / "bin" / "vllm"


@contextmanager
def vllm_serve(
    model: Path, batch_size: int, adapters: dict[str, Path], rank: int, log: Path, options: Sequence[str] = ()
) -> Iterator[str]:
    """Serve a base model as `base` and adapters by their names; gives the address."""
    port = free_port()
    command = [str(vllm_command()), "serve", str(model), "--served-model-name", "base", "--dtype", "bfloat16"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-num-seqs", str(batch_size)]
    command += ["--max-model-len", "4096", *options]
    if adapters:
        command += ["--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", str(rank), "--lora-modules"]
        command += [f"{name}={folder}" for name, folder in adapters.items()]
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))  # left to itself vLLM keeps a core free
    environment = os.environ | {
        "VLLM_CPU_OMP_THREADS_BIND": cores,
        "VLLM_CPU_KVCACHE_SPACE": str(_KV_CACHE_GIB),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    raise SystemExit(f"vllm serve did not start:\n{log.read_text()[-3000:]}")
