"""The structures of decoder.h and decoder.c as ctypes sees them. Addresses are of tensors that outlive the call."""

from collections.abc import Sequence
from ctypes import Array, Structure, c_double, c_int64

from torch import Tensor

MOST_MODULES = 3
TOGETHER = 6
"""Rows that the kernels compute at once."""


class LinearFields(Structure):
    _fields_ = [(name, c_int64) for name in ("weight", "scale", "bias", "inputs", "outputs")]


class AttentionFields(Structure):
    _fields_ = [
        *[(name, c_int64) for name in ("heads", "kv_heads", "dim", "norm")],
        ("epsilon", c_double),
        ("scaling", c_double),
        ("window", c_int64),
    ]


class SiteFields(Structure):
    _fields_ = [
        ("linear", LinearFields),
        ("modules", c_int64),
        ("ends", c_int64 * MOST_MODULES),
        ("adapters", c_int64),
    ]


class LayerFields(Structure):
    _fields_ = [
        *[(name, SiteFields) for name in ("qkv", "out", "gate_up", "down")],
        ("attention", AttentionFields),
        *[(name, c_int64) for name in ("after_attention", "before_mlp", "after_mlp", "following")],
        *[(name, c_int64) for name in ("cos", "sin", "keys", "values", "activation")],
    ]


class StepFields(Structure):
    _fields_ = [
        (name, c_int64)
        for name in ("tokens", "span_count", "block_size", "row_count", "inner_width", "spans", "slots", "rows")
    ]


class MemoryFields(Structure):
    _fields_ = [
        (name, c_int64)
        for name in (
            "hidden", "normed", "qkv", "mixed", "output", "gate_up", "gated", "inner", "attention", "int8"
        )
    ]  # fmt: skip


def address(tensor: Tensor | None) -> int:
    """0, which is C's null, for None."""
    return 0 if tensor is None else tensor.data_ptr()


def ends(widths: Sequence[int]) -> "Array[c_int64]":
    return (c_int64 * MOST_MODULES)(*widths)
