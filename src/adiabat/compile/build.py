"""From a program to something that runs: compiled by Inductor and kept on disk, or the captured graph as it is."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import adiabat
from adiabat.compile.capture import Program, capture
from adiabat.compile.products import take_faster_products
from adiabat.errors import CapabilityError, ConfigError, did_you_mean
from adiabat.files import cache_folder
from adiabat.kernels.memory import keep_memory
from adiabat.native import compiler

Backend = Literal["auto", "kernels", "inductor", "captured"]
BACKENDS: tuple[Backend, ...] = ("auto", "kernels", "inductor", "captured")
PACKAGE, SIDECAR = "function.pt2", "function.json"
# what a traced function may run through
_CODE = (
    "geometry",
    "nn",
    "descriptors",
    "architectures",
    "compile",
    "potential.py",
    "evaluate.py",
    "fit/losses.py",
    "fit/compiled.py",
    "fit/heads.py",
    "fit/low_rank.py",
)
# profiler's names and tables of lines take a good part of the C++ compiler's time
_OPTIONS: dict[str, Any] = {
    "aot_inductor.package": True,
    "aot_inductor.enable_line_tables": False,
    "aot_inductor.enable_frame_pointer": False,
    "aot_inductor.check_lowerbound": False,
    "compile_threads": 1,
}
_ROOM = 1e4  # roundings by which outputs may differ from eager ones, of their largest value


@dataclass(frozen=True)
class Executable:
    """A function of the tensors of `Program.flat`.

    Attributes:
        run: the function.
        outputs: names of what it gives.
        seconds: what making or loading it took.
        cached: whether it came from the cache on disk.
    """

    program: Program
    run: Callable[[list[Tensor]], list[Tensor]]
    outputs: tuple[str, ...]
    seconds: float
    cached: bool = False

    def __call__(self, constants: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name."""
        return dict(zip(self.outputs, self.run(self.program.flat(constants, inputs)), strict=True))

    def verify(self, constants: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> None:
        """Compares with the uncompiled function: compilers have faults, and a wrong number says nothing of itself.

        Raises:
            CapabilityError: an output differs by more than rounding does.
        """
        found = self(constants, inputs)
        expected = self.program.function(dict(constants), dict(inputs))
        floating = [t.dtype for t in (*constants.values(), *inputs.values()) if t.is_floating_point()]
        room = _ROOM * max(torch.finfo(dtype).eps for dtype in floating)
        for name, value in found.items():
            theirs = expected[name]
            assert theirs is not None
            unequal = (value - theirs.detach()).abs() > room * max(
                1.0, float(theirs.detach().abs().nan_to_num().max())
            )
            if bool((unequal | (value.isnan() != theirs.isnan())).any()):
                raise CapabilityError(f"the compiled function gives another {name} than the uncompiled one.")


def build(
    program: Program, backend: Backend, title: str, announce: Callable[[str], None] | None = None
) -> Executable:
    """Makes a program run.

    Args:
        program: what to run.
        backend: "inductor" compiles; "captured" runs the traced graph operation by operation, for tests; "auto" is
            "inductor".
        title: what to call it in messages.
        announce: told once if compiling begins; nothing is said when the cache has it.

    Raises:
        CapabilityError: it cannot be traced, or there is no compiler, or the compiler fails.
        ConfigError: the backend does not exist.
    """
    check_backend(backend)
    began = time.monotonic()
    if backend == "captured":
        captured = capture(program)
        return Executable(program, lambda t: captured.module(*t), captured.outputs, time.monotonic() - began)
    folder = cache_folder() / "compiled" / key(program)
    cached = (folder / SIDECAR).exists()
    if not cached:
        if compiler() is None and program.device.type == "cpu":
            raise CapabilityError("no C++ compiler was found: install g++, or set CXX.")
        if announce is not None:
            announce(f"compiling {title} for this machine; the result is kept in {folder.parent}.")
        _compile(program, folder)
    outputs = tuple(json.loads((folder / SIDECAR).read_text())["outputs"])
    run = load(folder / PACKAGE)
    keep_memory()
    return Executable(program, run, outputs, time.monotonic() - began, cached)


def check_backend(backend: str) -> None:
    """Raises ConfigError for a backend that does not exist."""
    if backend not in BACKENDS:
        raise ConfigError(f"'{backend}' is not a backend.{did_you_mean(backend, BACKENDS)}")


def key(program: Program) -> str:
    """A name that changes with everything the compiled code depends on."""
    parts: list[Any] = [program.identity, _sources(), torch.__version__, torch.version.cuda, str(program.device)]
    parts += [platform.machine(), platform.system(), torch.backends.cpu.get_cpu_capability(), _processor()]
    parts += [torch.get_num_threads(), os.environ.get("CXX"), sorted(_OPTIONS.items())]
    parts += [(k, tuple(t.shape), str(t.dtype)) for k, t in program.constants.items()]
    parts += [(k, layout.shape, str(layout.dtype)) for k, layout in program.inputs.items()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@functools.cache
def _sources() -> str:
    """Hash of the code that models are made of: a version number does not change while one works on it."""
    digest = hashlib.sha256(adiabat.__version__.encode())
    root = Path(adiabat.__file__).parent
    for name in _CODE:
        part = root / name
        for path in sorted(part.rglob("*.py")) if part.is_dir() else [part]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else [platform.processor()]
    return next((line for line in lines if line.startswith(("model name", "CPU part"))), lines[0] if lines else "")


def _compile(program: Program, folder: Path) -> None:
    """Fills `folder`, all at once: another process either sees everything or nothing."""
    captured = capture(program)
    if program.device.type == "cpu":
        take_faster_products(captured.module, len(program.constants))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, quiet(), order_kept():
        made = Path(temporary) / folder.name
        made.mkdir()
        try:
            from torch._inductor.compile_fx import compile_fx_aot
            from torch._inductor.package import package_aoti

            files: Any = compile_fx_aot(captured.module, [*captured.arguments], config_patches=_OPTIONS)
            package_aoti(str(made / PACKAGE), files)
        except Exception as error:  # the compiler's own, of many kinds
            reason = next(iter(str(error).strip().splitlines()), "no message")
            raise CapabilityError(f"the compiler fails ({type(error).__name__}: {reason}).") from error
        (made / SIDECAR).write_text(json.dumps({"outputs": captured.outputs, "adiabat": adiabat.__version__}))
        if not folder.exists():
            os.replace(made, folder)


@contextmanager
def order_kept() -> Iterator[None]:
    """Makes Inductor of torch 2.13 keep what it knows of changed buffers.

    Its C++ scheduler recomputes a node's loops to see whether two nodes fit into one, and forgets there that the node
    reads a buffer after another one added to it. Sums over neighbors were then read before they were made.
    """
    from torch._inductor.scheduler import SchedulerNode

    compute = SchedulerNode._compute_attrs

    def compute_and_rename(self: Any, *arguments: Any, **named: Any) -> None:
        compute(self, *arguments, **named)
        renames = getattr(self, "mutation_renames", None)  # not there yet while the node is made
        if renames:
            self.set_read_writes(self.read_writes.rename(renames))

    SchedulerNode._compute_attrs = compute_and_rename  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        SchedulerNode._compute_attrs = compute


def load(package: Path) -> Callable[[list[Tensor]], list[Tensor]]:
    """The function in a package made by `build`."""
    with quiet():
        from torch._inductor import aoti_load_package

        return aoti_load_package(str(package)).loader.run  # type: ignore[union-attr]


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch's notes about its own internals from the user."""
    logger = logging.getLogger("torch._inductor")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
