"""C++ sources of this package, compiled with the machine's own compiler, once per machine and version, and loaded."""

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

from adiabat.errors import CapabilityError
from adiabat.files import cache_folder

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
def library(source: Path) -> ctypes.CDLL:
    """A compiled `.cpp`, compiled now if this machine has not done so before; headers beside it count as its own.

    Raises:
        CapabilityError: there is no compiler, or it refuses the source; the message gives its first complaint.
    """
    program = compiler()
    if program is None:
        raise CapabilityError("no C++ compiler was found for the fast kernels: install g++, or set CXX.")
    flags = [*FLAGS, *(["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else [])]
    target = cache_folder() / "kernels" / f"{source.stem}-{_key(source, program, flags)}.so"
    if not target.exists():
        _compile(program, flags, source, target)
    return ctypes.CDLL(str(target))


def _key(source: Path, program: str, flags: list[str]) -> str:
    digest = hashlib.sha256()
    for file in (source, *sorted(source.parent.glob("*.hpp"))):
        digest.update(file.read_bytes())
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
