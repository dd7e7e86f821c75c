"""The tensors of adapter_model.safetensors, each one finite in the type that a decoder computes in.

In: a file. Out: tensors under PEFT's names. One value that is not a number would spread: products of a batch share
sums, and 0 times NaN is NaN. So it is refused here, before any engine has it. It does not know what a name means.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

_MAX_HEADER_BYTES = 16 << 20
"""A header has some 150 bytes a tensor; an adapter of a large model has thousands of tensors."""
_ADAPTER_NAME = re.compile(r"\.default(?=\.weight$|$)")


def read_tensors(file: Path, dtype: torch.dtype, device: torch.device | str = "cpu") -> Iterator[tuple[str, Tensor]]:
    """Its tensors one by one, in `dtype` on `device`, by name; the name of PEFT's adapter (`lora_A.default.weight`),
    which stays in what a trainer saves of a whole model, is left out.

    Raises:
        ValueError: one line: why the file cannot be read, or which tensor is none of finite numbers.
    """
    try:
        _check_header(file)
        # Read, and not mapped: what is checked here must not change with the file.
        with safe_open(file, framework="pt", device=str(device), backend="pread") as opened:
            seen: set[str] = set()
            for saved_as in opened.keys():  # noqa: SIM118  # no dictionary
                name = _ADAPTER_NAME.sub("", saved_as)
                if name in seen:
                    raise ValueError(f"it has the weight '{name}' twice")
                seen.add(name)
                yield name, _as(opened.get_tensor(saved_as), dtype, saved_as)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error


def check_finite(weight: Tensor, name: str) -> Tensor:
    """The weight, if all of its values are finite.

    Raises:
        ValueError: names it.
    """
    if not _is_finite(weight):
        raise ValueError(f"its weight '{name}' has values that are not finite numbers")
    return weight


def _is_finite(weight: Tensor) -> bool:
    """In one pass and without a copy: a NaN is the least and the greatest of all values."""
    return weight.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(weight))).all())


def _as(weight: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    if not weight.is_floating_point():
        raise ValueError(f"its weight '{name}' is of the type {_name(weight.dtype)}, and not of real numbers")
    converted = weight.to(dtype)
    if not _is_finite(converted):
        check_finite(weight.float() if weight.element_size() < 4 else weight, name)
        raise ValueError(f"its weight '{name}' has values beyond the range of {_name(dtype)}")
    return converted


def _check_header(file: Path) -> None:
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
    if size > _MAX_HEADER_BYTES:
        raise ValueError(f"{file.name} has a header of {size:,} bytes; it may have {_MAX_HEADER_BYTES:,}")


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
