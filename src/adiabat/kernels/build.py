"""The C++ kernels of this folder: loaded, and called with tensors."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adiabat import native
from adiabat.errors import CapabilityError, ConfigError

_KINDS = {Tensor: ctypes.c_void_p, int: ctypes.c_int64, float: ctypes.c_double}
SOURCES = Path(__file__).parent


@functools.cache
def library(name: str) -> ctypes.CDLL:
    """The compiled `<name>.cpp` of this folder; raises CapabilityError as `native.library` does."""
    return native.library(SOURCES / f"{name}.cpp")


def available(name: str = "radial_sum") -> str | None:
    """None if kernels can be had here, else the reason why not."""
    try:
        library(name)
    except (CapabilityError, OSError) as error:
        return str(error)
    return None


def same_type(*tensors: Tensor) -> torch.dtype:
    """The floating-point type of all of them; a kernel would read others as rubbish.

    Raises:
        ConfigError: they differ, or it is neither float32 nor float64.
    """
    types = {t.dtype for t in tensors}
    if len(types) > 1 or not types <= {torch.float32, torch.float64}:
        found = ", ".join(sorted(str(t).removeprefix("torch.") for t in types))
        raise ConfigError(f"a kernel was given {found}: it needs one type, float32 or float64 (that of the model).")
    return types.pop()


def call(name: str, function: str, dtype: torch.dtype | None, *arguments: Tensor | int | float) -> None:
    """Calls `<function>_f32` or `_f64` of a library, or `<function>` where there is no floating-point type.

    Tensors go as pointers, whole numbers as int64, others as double.

    Tensors must be contiguous and on the CPU; the number of threads is torch's and comes last.
    """
    own, last = _function(name, function, dtype), torch.get_num_threads()
    assert all(value.is_contiguous() for value in arguments if isinstance(value, Tensor))
    values = [value.data_ptr() if isinstance(value, Tensor) else value for value in arguments]
    if own.argtypes is None:
        own.argtypes = [*(_KINDS[type(value)] for value in arguments), ctypes.c_int64]
    own(*values, last)


@functools.cache
def _function(name: str, function: str, dtype: torch.dtype | None) -> Any:
    ending = {None: "", torch.float32: "_f32", torch.float64: "_f64"}[dtype]
    own = getattr(library(name), function + ending)
    own.restype = None
    return own
