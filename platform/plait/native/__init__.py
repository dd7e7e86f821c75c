"""Libraries of C code, compiled once with the machine's compiler for the machine's own instructions, and kept under
PLAIT_HOME. The headers beside this file are there for all of them.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from plait.settings import settings

_FLAGS = (
    "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared",
    # What lets sums be vectorised; not -ffast-math, which would also change how the whole process rounds.
    "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-ffinite-math-only",
)  # fmt: skip


class CannotCompile(Exception):
    """Why there is no library; callers go on without it."""


def compiled(folder: Traversable) -> ctypes.CDLL:
    """The library of all C files of a folder, from an earlier build where code, compiler and processor are the same.

    Raises:
        CannotCompile: without a compiler, when it refuses the code, or what it made cannot be loaded.
    """
    try:
        return ctypes.CDLL(str(_compiled(folder)))
    except subprocess.CalledProcessError as error:
        raise CannotCompile("".join(error.stderr.splitlines()[:1])) from error
    except OSError as error:
        raise CannotCompile(str(error)) from error


def has_instructions(*names: str) -> bool:
    """Whether the processor has all of these, named as Linux names them."""
    return set(names) <= set(_processor().split())


def _compiled(folder: Traversable) -> Path:
    compiler = os.environ.get("CC") or next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        raise OSError("there is no C compiler: install gcc, or set CC")
    shared = files("plait.native")
    wide = ["-mprefer-vector-width=512"] if has_instructions("avx512f") else []
    code = [*_code(folder), *_code(shared)]
    kind = hashlib.sha256("\0".join([compiler, *_FLAGS, _processor()]).encode())
    for file in code:
        kind.update(file.read_bytes())
    library = settings().root / "kernels" / f"{kind.hexdigest()[:16]}.so"
    if library.is_file():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=library.parent, suffix=".so", delete=False) as half:
        units = [str(file) for file in code if file.suffix == ".c"]
        command = [compiler, *_FLAGS, *wide, f"-I{shared}", *units, "-o", half.name]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
            os.replace(half.name, library)  # another process may build the same: each whole, the last one stays
        finally:
            Path(half.name).unlink(missing_ok=True)
    return library


def _code(folder: Traversable) -> Sequence[Path]:
    return sorted(Path(str(file)) for file in folder.iterdir() if file.name.endswith((".c", ".h")))


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
