"""Kernels in C for what torch leaves slow on CPUs: many small operations a layer, attention over blocks, adapters.

They are called through ctypes on the memory of torch tensors and share torch's OpenMP threads. Without a compiler
everything works all the same, more slowly: the operations have a form in torch too.
"""

import ctypes
import logging
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from plait.native import CannotCompile, compiled

_log = logging.getLogger(__name__)
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
        return Kernels(compiled(files("plait.engines.torch.kernels")))
    except CannotCompile as reason:
        _log.warning("The CPU kernels cannot be built (%s); serving is slower without them.", reason)
        return None


class Kernels:
    """The functions of the library, by their names in C. Tensors become pointers; the threads are torch's."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
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
