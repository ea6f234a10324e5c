"""Plain values of the calls that stored weights are made of: containers, numpy arrays, torch tensors.

Each builder takes the arguments of one known function and makes the value itself; the function that the pickle names
is never imported or called. What a builder does not take stays an inert record.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.originals.inert import Name
from adiabat.pretrained.originals.unpickle import NOT_BUILT, Builder

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
}
_DTYPE = re.compile(r"([biufc]\d{1,2}|[USV]\d{1,6}|\?)")  # plain numbers, texts and bytes: no objects, no records
_REPEATED = 1_000_000


@dataclass(eq=False)
class Storage:
    """One stored run of numbers that tensors look at.

    Attributes:
        values: `[numbers]`, of the storage's type.
    """

    values: Tensor

    @staticmethod
    def dtype(kind: Any) -> torch.dtype:
        """Number type of a storage class that a pickle names."""
        if not isinstance(kind, Name) or kind.name not in _STORAGES:
            raise CheckpointError(f"tensors of {kind} cannot be read: {', '.join(_STORAGES)} can.")
        return _STORAGES[kind.name]


def _ordered_dict(args: tuple[Any, ...]) -> Any:
    if not args:
        return {}
    if len(args) == 1 and isinstance(args[0], list | tuple):
        pairs = args[0]
        if all(isinstance(p, list | tuple) and len(p) == 2 and isinstance(p[0], str | int) for p in pairs):
            return dict(pairs)
    return NOT_BUILT


def _default_dict(args: tuple[Any, ...]) -> Any:
    return {}


def _of_list(kind: type) -> Builder:
    """list, tuple, set and frozenset of one list."""

    def build(args: tuple[Any, ...]) -> Any:
        if not args:
            return kind()
        if len(args) != 1 or not isinstance(args[0], list | tuple):
            return NOT_BUILT
        if kind in (set, frozenset) and not all(isinstance(v, str | int | float | bytes | None) for v in args[0]):
            return NOT_BUILT
        return kind(args[0])

    return build


def _bytes(args: tuple[Any, ...]) -> Any:
    """`_codecs.encode(text, "latin1")`: how protocols below 3 write bytes."""
    if len(args) == 2 and isinstance(args[0], str) and args[1] in ("latin1", "latin-1"):
        return args[0].encode("latin-1")
    return NOT_BUILT


def _bytes_of(kind: type) -> Builder:
    """bytes and bytearray of nothing, bytes or text; not of a number, which would allocate."""

    def build(args: tuple[Any, ...]) -> Any:
        if not args:
            return kind()
        if len(args) == 1 and isinstance(args[0], bytes):
            return kind(args[0])
        data = _bytes(args)
        return data if data is NOT_BUILT else kind(data)

    return build


def _first(args: tuple[Any, ...]) -> Any:
    return args[0] if args else NOT_BUILT


def _size(args: tuple[Any, ...]) -> Any:
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], list | tuple) else NOT_BUILT


def _number_type(args: tuple[Any, ...]) -> Any:
    """A numpy dtype once its byte order is known."""
    (record,) = args
    code = record.args[0] if record.args else None
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else None
    if not isinstance(code, str) or not _DTYPE.fullmatch(code) or order not in ("<", ">", "|", "="):
        return NOT_BUILT
    return np.dtype(code).newbyteorder(order)


def _array(args: tuple[Any, ...]) -> Any:
    """A numpy array once its data are known: state (version, shape, dtype, Fortran order, bytes)."""
    (record,) = args
    if not isinstance(record.state, tuple) or len(record.state) != 5:
        return NOT_BUILT
    _, shape, dtype, fortran, data = record.state
    return _array_of(data, dtype, shape, "F" if fortran else "C")


def _array_of(data: Any, dtype: Any, shape: Any, order: str) -> Any:
    if isinstance(data, str):  # written by Python 2
        data = data.encode("latin-1")
    plain = (
        isinstance(dtype, np.dtype)
        and dtype.itemsize > 0
        and isinstance(data, bytes | bytearray)
        and isinstance(shape, tuple)
    )
    if not plain or not all(type(n) is int and n >= 0 for n in shape):
        return NOT_BUILT
    if math.prod(shape) * dtype.itemsize != len(data):
        raise CheckpointError(f"a stored array of shape {shape} has {len(data)} bytes: the file is damaged.")
    if not data:
        return np.zeros(shape, dtype)
    return np.frombuffer(bytes(data), dtype).reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(args: tuple[Any, ...]) -> Any:
    if len(args) != 4 or not isinstance(args[3], str):
        return NOT_BUILT
    return _array_of(*args)


def _scalar(args: tuple[Any, ...]) -> Any:
    if len(args) != 2:
        return NOT_BUILT
    value = _array_of(args[1], args[0], (), "C")
    return value if value is NOT_BUILT else value[()]


def _tensor(args: tuple[Any, ...]) -> Any:
    """A view of a storage: (storage, offset, size, stride, ...)."""
    if len(args) < 4 or not isinstance(args[0], Storage):
        return NOT_BUILT
    values, offset, size, stride = args[0].values, args[1], args[2], args[3]
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise CheckpointError("a stored tensor has a negative size or stride: the file is damaged.")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else 0
    if last >= max(values.numel(), 1) or (count and not values.numel()):
        raise CheckpointError(f"a stored tensor of shape {tuple(size)} is larger than its storage: damaged file.")
    if count > max(values.numel(), _REPEATED):
        raise CheckpointError(f"a stored tensor repeats its {values.numel()} numbers {count} times: refused.")
    if not count:
        return values.new_zeros(tuple(size))
    return values.as_strided(tuple(size), tuple(stride), offset)


def _tensor_v3(args: tuple[Any, ...]) -> Any:
    """As `_tensor`, with the number type beside an untyped storage: (storage, offset, size, stride, ..., dtype)."""
    if len(args) < 7 or not isinstance(args[0], Storage) or not isinstance(args[6], Name):
        return NOT_BUILT
    dtype = getattr(torch, args[6].name, None) if args[6].name in _NUMBER_TYPES else None
    if dtype is None:
        return NOT_BUILT
    return _tensor((Storage(args[0].values.view(dtype)), *args[1:4]))


_NUMBER_TYPES = frozenset(str(dtype).removeprefix("torch.") for dtype in _STORAGES.values())


def _plain(kind: type) -> Builder:
    def build(args: tuple[Any, ...]) -> Any:
        return args[0] if len(args) == 1 and isinstance(args[0], kind) else NOT_BUILT

    return build


def _slice(args: tuple[Any, ...]) -> Any:
    good = 1 <= len(args) <= 3 and all(a is None or type(a) is int for a in args)
    return slice(*args) if good else NOT_BUILT


def _complex(args: tuple[Any, ...]) -> Any:
    return complex(*args) if len(args) == 2 and all(type(a) is float for a in args) else NOT_BUILT


BUILDERS: Mapping[str, Builder] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "_codecs.encode": _bytes,
    **{
        f"{module}.{kind.__name__}": _of_list(kind)
        for module in ("builtins", "__builtin__")
        for kind in (list, tuple, set, frozenset)
    },
    **{
        f"{module}.{kind.__name__}": _bytes_of(kind)
        for module in ("builtins", "__builtin__")
        for kind in (bytes, bytearray)
    },
    **{f"{module}.slice": _slice for module in ("builtins", "__builtin__")},
    **{f"{module}.complex": _complex for module in ("builtins", "__builtin__")},
    **{
        name: build
        for module in ("numpy.core", "numpy._core")
        for name, build in (
            (f"{module}.multiarray._reconstruct.__setstate__", _array),
            (f"{module}.multiarray.scalar", _scalar),
            (f"{module}.numeric._frombuffer", _from_buffer),
        )
    },
    "numpy.dtype.__setstate__": _number_type,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    # TorchScript's typed containers
    "torch.jit._pickle.build_intlist": _plain(list),
    "torch.jit._pickle.build_doublelist": _plain(list),
    "torch.jit._pickle.build_boollist": _plain(list),
    "torch.jit._pickle.build_tensorlist": _plain(list),
    "torch.jit._pickle.restore_type_tag": _first,
}
