"""Tries packages of clients against the API: each in an environment of its own, each feature by itself.

    python tests/clients/run.py [--model SOURCE] [CLIENT …]

Prints a line a feature, `client<TAB>feature<TAB>works` or what failed; exits with 1 when one did. The environments are
made under `.environments` beside this file; `server.log` is there, too. What this machine lacks (npm, Chromium) leaves
out its trials, with a line.
"""

import argparse
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from environments import ENVIRONMENTS, HERE, Client, Missing
from with_documents import serving_documents

from plait.local.process import free_port
from plait.models.source import resolve_model
from plait.recipes import DEFAULT_MODEL

TRIAL_TIMEOUT_S = 1800.0  # the longest scores 640 texts with a small model, on two cores that may be busy
BROWSERS = ("chromium", "chromium-headless-shell", "google-chrome")

CLIENTS = (
    Client("openai", "openai_python.py", ("openai==3.57.0",)),
    Client("openai-stores", "openai_python_stores.py", ("openai==3.57.0",)),
    Client("openai-agents", "openai_agents.py", ("openai-agents==0.24.0", "openai==3.57.0")),
    Client("pydantic-ai", "pydantic_ai_slim.py", ("pydantic-ai-slim[openai]==2.68.0", "openai==3.57.0")),
    Client("langchain", "langchain_openai_package.py", ("langchain-openai==1.7.4", "openai==3.57.0")),
    Client("instructor", "instructor_package.py", ("instructor==1.17.0", "openai==3.3.0")),
    Client("litellm", "litellm_package.py", ("litellm==1.110.2", "openai==3.57.0")),
    Client(
        "llama-index",
        "llama_index_packages.py",
        (
            "llama-index-llms-openai-like==0.8.1",
            "llama-index-embeddings-openai-like==0.4.0",
            "llama-index-core==0.14.25",
            "openai==2.54.0",
        ),
    ),
    Client("anthropic", "anthropic_package.py", ("anthropic==2.14.0",)),
    Client("lm-eval", "lm_eval_harness.py", ("lm-eval[api]==0.4.13", "transformers==5.23.0")),
    Client("guidellm", "guidellm_package.py", ("guidellm==0.8.1",), takes_torch=True),
    Client("openai-node", "openai_node.mjs", ("openai@6.49.0",)),
    Client("promptfoo", "promptfoo_package.mjs", ("promptfoo@0.123.1", "@libsql/linux-x64-gnu@0.5.29", "node@22.23.3")),
    Client("browser", "browser_page.py", ("playwright==1.65.2",), programs=BROWSERS),
    Client(
        "open-webui",
        "open_webui.py",
        ("open-webui==0.12.4", "playwright==1.65.2"),
        takes_torch=True,
        programs=BROWSERS,
        needs_documents=True,
    ),
)


def main() -> None:
    """Make the environments, start the server, try the clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="source of the model that answers")
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=", ".join(each.name for each in CLIENTS))
    chosen = parser.parse_args()
    commands = {}
    for client in CLIENTS:
        if client.name in chosen.clients or not (chosen.clients or client.needs_documents):
            try:
                commands[client] = client.command()
            except Missing as missing:
                print(f"{client.name}\tleft out: {missing}", flush=True)
    failed = 0
    for needs_documents, serve in ((False, serving), (True, serving_documents)):
        trials = {client: command for client, command in commands.items() if client.needs_documents == needs_documents}
        if trials:
            with serve(resolve_model(chosen.model)) as server:
                failed += sum(_try(client, command, server) for client, command in trials.items())
    sys.exit(1 if failed else 0)


@contextmanager
def serving(model: Path) -> Iterator[dict[str, str]]:
    """What trials are told of a server with this model, as variables of their environment."""
    port, pages_port, page_port = free_port(), free_port(), free_port()
    page_origin = f"http://127.0.0.1:{page_port}"
    home = ENVIRONMENTS / "home"  # answers and files that are kept do not mix with those of the user's own server
    home.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe()  # for stores and files, which nobody may change without one
    environment = os.environ | {"PLAIT_HOME": str(home), "PLAIT_ADMIN_KEY": key, "GOMP_SPINCOUNT": "10000"}
    command = [sys.executable, str(HERE / "server.py"), str(model), str(port), str(pages_port), page_origin]
    with (ENVIRONMENTS / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            while not _answers(f"http://127.0.0.1:{port}/v1/models"):
                if server.poll() is not None:
                    raise SystemExit(f"The server did not start: see {log.name}")
                time.sleep(0.2)
            yield {
                "PLAIT_URL": f"http://127.0.0.1:{port}/v1",
                "PLAIT_URL_FOR_PAGES": f"http://127.0.0.1:{pages_port}/v1",
                "PLAIT_PAGE_ORIGIN": page_origin,
                "PLAIT_KEY": key,
                "PLAIT_MODEL_FOLDER": str(model),
                "PLAIT_PYTHON": sys.executable,
            }
        finally:
            server.terminate()
            server.wait()
            plait = Path(sys.executable).with_name("plait")  # the server has started a Milvus
            subprocess.run([plait, "stop"], stdout=log, stderr=log, env=environment, check=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def _try(client: Client, command: list[str], server: dict[str, str]) -> int:
    """Run a client's trial; returns how many features failed, at least 1 where the trial itself did."""
    # Nothing of the caller's: no key of a hosted API, and no other address of one.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {"NO_PROXY": "127.0.0.1,localhost", "HF_HUB_OFFLINE": "1"} | server
    try:
        trial = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{client.name}\tthe trial itself\tfails: it has not ended after {TRIAL_TIMEOUT_S:.0f} s", flush=True)
        return 1
    lines = trial.stdout.splitlines()
    for line in lines:
        print(f"{client.name}\t{line}", flush=True)
    failed = sum("\tfails" in line for line in lines)
    if trial.returncode != failed:
        print(f"{client.name}\tthe trial itself\tfails: {trial.stderr[-2000:]}", flush=True)
        failed += 1
    return failed


if __name__ == "__main__":
    main()
