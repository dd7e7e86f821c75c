"""Do the steps of the Dockerfile's target `cpu` without Docker: in a folder, with only the files that Docker would see.

    python k8s/rehearse_image.py /tmp/image      # some minutes; 3 GB

Read from the Dockerfile itself: COPY and RUN of the build stages, with folders of the image inside FOLDER. What needs
root (apt, useradd) is not done. Then the result is asked whether it works, and how large it is.
"""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = ("build", "build-cpu")
LARGEST_BYTES = 3 * 10**9
# Debian's slim image with Python, and the packages of the stage `run`, which are not made here: as installed by apt.
BELOW_BYTES = 130 * 10**6 + 160 * 10**6


def instructions(dockerfile: str) -> list[tuple[str, str, str]]:
    """(stage, instruction, arguments) of each line, continued lines joined and comments left out."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found, stage = [], ""
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.rpartition(" AS ")[2]
        found.append((stage, word, rest))
    return found


def context(dockerignore: str) -> list[Path]:
    """Files that Docker would be sent: git's, less what .dockerignore leaves out (the last matching line counts)."""
    rules = [line for line in dockerignore.splitlines() if line and not line.startswith("#")]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    def is_sent(file: str) -> bool:
        sent = True
        for rule in rules:
            pattern = rule.removeprefix("!").removeprefix("**/")
            parents = [file, *(str(p) for p in Path(file).parents if str(p) != ".")]
            names = parents if "**/" not in rule else [Path(p).name for p in parents]
            if any(fnmatch.fnmatchcase(name, pattern) for name in names):
                sent = rule.startswith("!")
        return sent

    return [Path(file) for file in listed if is_sent(file) and (ROOT / file).is_file()]


def rehearse(folder: Path) -> None:
    """Build in `folder`, which must not exist."""
    image, sources = folder / "opt/plait", folder / "src"
    sources.mkdir(parents=True)
    files = context((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    environment |= {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k.lower().endswith("_proxy")}
    for stage, word, rest in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        if stage not in STAGES:
            continue
        rest = rest.replace("/opt/plait", str(image)).replace("/src", str(sources))
        if word == "ENV":
            for assignment in shlex.split(rest):
                name, _, value = assignment.partition("=")
                environment[name] = value.replace("$PATH", environment["PATH"])
        elif word == "COPY":
            *copied, target = rest.split()
            for file in (f for f in files if any(f.is_relative_to(c) for c in copied)):
                into = sources / target / (file.name if target.endswith("/") else file.relative_to(copied[0]))
                into = sources / file if target == "./" else into
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, into)
        elif word == "RUN":
            print(f"{stage}: {rest[:100]}", flush=True)
            subprocess.run(["sh", "-ec", rest], cwd=sources, env=environment, check=True)
    shutil.rmtree(sources)
    ask(image)


def ask(image: Path) -> None:
    """Whether what was built works from a folder of its own, and how large it is."""
    environment = {"PATH": f"{image}/bin:/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PLAIT_HOME"] = str(image.parent / "home")
    for command in (
        "plait --help",
        "ray --version",
        "python -m plait.jobs.train --help",
        "python -m plait.jobs.ingest --help",
        "python -m plait.jobs.evaluate --help",
        "python -m plait.flows.compare --help",
        "python -c 'import plait.observability.exporter'",
        "python -c 'from plait.serve.app import build; build({})'",
        "pip check",
    ):
        start = time.monotonic()
        subprocess.run(shlex.split(command), cwd="/", env=environment, check=True, stdout=subprocess.DEVNULL)
        print(f"{command}: {time.monotonic() - start:.1f} s", flush=True)
    size = sum(f.lstat().st_size for f in image.rglob("*") if not f.is_dir()) + BELOW_BYTES
    print(f"about {size / 1e9:.2f} GB, Debian's part of it estimated")
    if size > LARGEST_BYTES:
        sys.exit(f"more than {LARGEST_BYTES / 1e9:.0f} GB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python k8s/rehearse_image.py FOLDER")
    rehearse(Path(sys.argv[1]).absolute())
