"""Compiles the C++ kernels with the machine's own compiler, once per machine and version, and loads them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adiabat.errors import CapabilityError, ConfigError
from adiabat.files import cache_folder

_KINDS = {Tensor: ctypes.c_void_p, int: ctypes.c_int64, float: ctypes.c_double}
SOURCES = Path(__file__).parent
# no -ffast-math: it would flush denormals in the whole process and break NaN checks
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
)


def compiler() -> str | None:
    """The C++ compiler: $CXX if set, else the first of c++, g++ and clang++ that is there."""
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["c++", "g++", "clang++"]:
        found = shutil.which(name.split()[0])
        if found:
            return found
    return None


@functools.cache
def library(name: str) -> ctypes.CDLL:
    """The compiled `<name>.cpp` of this folder, compiled now if this machine has not done so before.

    Raises:
        CapabilityError: there is no compiler, or it refuses the source; the message gives its first complaint.
    """
    program = compiler()
    if program is None:
        raise CapabilityError("no C++ compiler was found for the fast kernels: install g++, or set CXX.")
    flags = [*FLAGS, *(["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else [])]
    target = cache_folder() / "kernels" / f"{name}-{_key(name, program, flags)}.so"
    if not target.exists():
        _compile(program, flags, SOURCES / f"{name}.cpp", target)
    return ctypes.CDLL(str(target))


def available(name: str = "radial_sum") -> str | None:
    """None if kernels can be had here, else the reason why not."""
    try:
        library(name)
    except (CapabilityError, OSError) as error:
        return str(error)
    return None


def _key(name: str, program: str, flags: list[str]) -> str:
    digest = hashlib.sha256()
    for source in (SOURCES / f"{name}.cpp", *sorted(SOURCES.glob("*.hpp"))):
        digest.update(source.read_bytes())
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    digest.update(repr((version, flags, _processor())).encode())
    return digest.hexdigest()[:24]


def _processor() -> str:
    """What decides which instructions -march=native may use."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = [line for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
    return f"{platform.machine()} {platform.processor()} {features}"


def _compile(program: str, flags: list[str], source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        done = subprocess.run(
            [program, *flags, "-o", str(made), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            complaint = next(iter(done.stderr.strip().splitlines()), "no message")
            raise CapabilityError(f"{program} cannot compile {source.name} ({complaint}): try another CXX.")
        os.replace(made, target)


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


def call(name: str, function: str, dtype: torch.dtype, *arguments: Tensor | int | float) -> None:
    """Calls `<function>_f32` or `_f64` of a library: tensors as pointers, whole numbers as int64, others as double.

    Tensors must be contiguous and on the CPU; the number of threads is torch's and comes last.
    """
    native, last = (
        _function(name, f"{function}_{'f32' if dtype == torch.float32 else 'f64'}"),
        torch.get_num_threads(),
    )
    values: list[int | float] = []
    for value in arguments:
        if isinstance(value, Tensor):
            assert value.is_contiguous()
            values.append(value.data_ptr())
        else:
            values.append(value)
    if native.argtypes is None:
        native.argtypes = [*(_KINDS[type(value)] for value in arguments), ctypes.c_int64]
    native(*values, last)


@functools.cache
def _function(name: str, function: str) -> Any:
    native = getattr(library(name), function)
    native.restype = None
    return native
