"""`guidellm`, by its command: a few requests of each shape, with texts that it makes."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from trial import URL, feature, run


def measure(request_format: str, **backend: str) -> None:
    """Let the command send three requests; its default model is the first that the server lists."""
    target = {"kind": "openai_http", "target": URL, "request_format": request_format} | backend
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(str(Path(sys.executable).with_name("guidellm")), "run", "--disable-console-interactive"),
            *("--backend", ",".join(f"{key}={value}" for key, value in target.items())),
            *("--tokenizer", f"kind=huggingface_auto,model={os.environ['PLAIT_MODEL_FOLDER']}"),
            *("--data", "kind=synthetic_text,prompt_tokens=32,output_tokens=16"),
            *("--profile", "kind=synchronous", "--constraint", "kind=max_requests,count=3"),
            *("--output", f"kind=json,path={report}"),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-600:] or done.stdout[-600:]
        (benchmark,) = json.loads(report.read_text())["benchmarks"]
    totals = benchmark["metrics"]["request_totals"]
    assert (totals["successful"], totals["errored"]) == (3, 0), benchmark["requests"]["errored"]


@feature
def chat() -> None:
    measure("/v1/chat/completions")


@feature
def completions() -> None:
    measure("/v1/completions")


@feature
def responses() -> None:
    measure("/v1/responses")


@feature
def embeddings() -> None:
    measure("/v1/embeddings", model="embedding")


run()
