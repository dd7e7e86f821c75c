"""Kernels in C for what torch leaves slow on CPUs: many small operations a layer, attention over blocks, adapters.

Built once with the machine's C compiler, for the machine's own instructions, kept under PLAIT_HOME, and called through
ctypes on the memory of torch tensors. They share torch's OpenMP threads. Without a compiler everything works all the
same, more slowly: the operations have a form in torch too.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plait.settings import settings

_log = logging.getLogger(__name__)
_FLAGS = (
    "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared",
    # What lets sums be vectorised; not -ffast-math, which would also change how the whole process rounds.
    "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-ffinite-math-only",
)  # fmt: skip
_POINTER, _LONG, _FLOAT, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_float, ctypes.c_int
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "decode": (*[_POINTER] * 4, *[_LONG] * 2, _INT),
    "linear": (*[_POINTER] * 4, _LONG, _INT),
    "low_rank": (*[_POINTER] * 6, *[_LONG] * 5, _INT),
    "rms_norm": (_POINTER, _POINTER, _FLOAT, _POINTER, _LONG, _LONG, _INT),
    "add_and_norm": (_POINTER, _POINTER, _POINTER, _POINTER, _FLOAT, _POINTER, _LONG, _LONG, _INT),
    "gated_activation": (_POINTER, _POINTER, _LONG, _LONG, _INT, _INT),
    "attend": (*[_POINTER] * 10, *[_LONG] * 3, _INT),
    "int8_likeliest": (*[_POINTER] * 7, *[_LONG] * 3, _INT),
    "has_int8": (),
}


@cache
def kernels() -> "Kernels | None":
    """The kernels of this machine, built when they are first asked for; None, and a line in the log, where they cannot
    be built."""
    try:
        return Kernels(_built())
    except (OSError, subprocess.CalledProcessError) as error:
        detail = error.stderr.splitlines()[:1] if isinstance(error, subprocess.CalledProcessError) else [str(error)]
        _log.warning("The CPU kernels cannot be built (%s); serving is slower without them.", "".join(detail))
        return None


class Kernels:
    """The functions of the library, by their names in C. Tensors become pointers; the threads are torch's."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        for name, arguments in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, _INT if name == "has_int8" else None
        self.has_int8 = bool(self._library.has_int8())

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._library, name)

        def call(*arguments: Tensor | float | None) -> None:
            function(*[_plain(a) for a in arguments], torch.get_num_threads())

        self.__dict__[name] = call  # found without this method from now on
        return call


def _plain(argument: Tensor | float | None) -> Any:
    return argument.data_ptr() if isinstance(argument, Tensor) else argument


def _built() -> Path:
    """The library, from an earlier build where source, compiler and processor are the same."""
    compiler = os.environ.get("CC") or next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        raise OSError("there is no C compiler: install gcc, or set CC")
    folder = files("plait.serve.engines.kernels")
    sources = sorted(Path(str(f)) for f in folder.iterdir() if f.name.endswith((".c", ".h")))
    kind = hashlib.sha256("\0".join([compiler, *_FLAGS, _processor()]).encode())
    for source in sources:
        kind.update(source.read_bytes())
    library = settings().root / "kernels" / f"{kind.hexdigest()[:16]}.so"
    if not library.is_file():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=library.parent, suffix=".so", delete=False) as half:
            units = [str(source) for source in sources if source.suffix == ".c"]
            try:
                subprocess.run(
                    [compiler, *_FLAGS, *_wide(), *units, "-o", half.name], check=True, capture_output=True, text=True
                )
                os.replace(half.name, library)  # another process may build the same: each whole, the last one stays
            finally:
                Path(half.name).unlink(missing_ok=True)
    return library


def _wide() -> list[str]:
    return ["-mprefer-vector-width=512"] if "avx512" in _processor() else []


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
