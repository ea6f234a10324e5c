"""A potential that runs as one compiled function."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import sys
import time
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from adiabat.compile.build import Backend, Executable, build, check_backend
from adiabat.compile.capture import Program, Tensors
from adiabat.compile.frozen import Frozen
from adiabat.compile.graphs import PREDICTED, graph_from, graph_inputs, graph_layouts
from adiabat.errors import CapabilityError
from adiabat.evaluate import check_request, derive
from adiabat.geometry import Graph
from adiabat.potential import Potential, Prediction
from adiabat.settings import Settings


class CompiledPotential:
    """`graph -> Prediction` as `evaluate` gives it, from one compiled function for all sizes.

    On the CPU, methods that have hand-written kernels run frozen (`Potential.frozen`), which takes a second to make;
    all others, and those on other devices, are compiled by Inductor at the first call, unless an earlier process left
    the result in the cache. Changed weights are seen at the next call. Where nothing of this is possible, one warning
    says why and `evaluate` is used.

    Args:
        potential: any potential; weights stay where they are.
        want: names from `evaluate.QUANTITIES`.
        backend: "auto" as described; "kernels" never uses Inductor; "inductor" and "captured" never use kernels, see
            `adiabat.compile.build.build`.

    Attributes:
        reason: why `evaluate` is used instead, or None.
        executable: the compiled function of the latest call, once there is one.
    """

    def __init__(self, potential: Potential, want: Collection[str] = ("energy", "forces"), backend: Backend = "auto"):
        check_backend(backend)
        self.potential = potential
        self.want = tuple(want)
        self.backend: Backend = backend
        self.reason: str | None = None
        self.executable: Executable | None = None
        self._made: dict[tuple[Any, ...], Executable] = {}  # graphs with ghosts have one of their own
        self._frozen: Frozen | None = None
        if backend in ("auto", "kernels") and potential.device.type == "cpu":
            self._frozen = Frozen(potential, patience=0)

    def __call__(self, graph: Graph) -> Prediction:
        """The prediction for a graph with at least the potential's cutoff, in the potential's own type.

        Raises:
            CapabilityError: as `evaluate` does.
        """
        check_request(self.potential, graph, self.want)
        found = None if self._frozen is None else self._frozen.evaluate(graph, self.want)
        if found is not None:
            return found
        # sizes of zero and environments are left to evaluate: they are rare, or need no speed
        if self.reason is None and graph.system.environment is None:
            inputs = self._inputs(graph)
            if all(t.numel() for t in inputs.values()) and self._ready(inputs, graph.cutoff):
                assert self.executable is not None
                made: dict[str, Any] = dict(self.executable(tensors(self.potential), inputs))
                return Prediction(**made)
        return derive(self.potential, graph, self.want)

    def _inputs(self, graph: Graph) -> Tensors:
        try:
            return graph_inputs(self.potential.prepare(graph))
        except CapabilityError as error:
            self._give_up(error)
            return {}

    def _ready(self, inputs: Tensors, cutoff: float) -> bool:
        """Whether there is an executable for these inputs; makes it."""
        if self.reason is not None:
            return False
        if self.backend == "kernels":
            assert self._frozen is not None or self.potential.device.type != "cpu"
            self._give_up(CapabilityError(self._frozen.reason if self._frozen else "kernels are for the CPU."))
            return False
        layouts = graph_layouts(inputs)
        signature = (cutoff, *layouts.items())
        self.executable = self._made.get(signature)
        if self.executable is not None:
            return True
        potential, want = self.potential, self.want
        runner = Runner(potential)

        def function(constants: Tensors, given: Tensors) -> Mapping[str, Tensor | None]:
            found = runner.with_tensors(constants, graph_from(given, cutoff), want)
            return {name: getattr(found, name) for name in PREDICTED}

        identity = f"{describe(potential)} {sorted(want)} {cutoff}"
        program = Program(function, tensors(potential), layouts, identity, potential.device)
        try:
            self.executable = build(program, self.backend, type(potential).__name__, announce)
            self.executable.verify(tensors(potential), inputs)
            self._made[signature] = self.executable
        except CapabilityError as error:
            self._give_up(error)
            return False
        return True

    def _give_up(self, error: CapabilityError) -> None:
        self.reason = str(error)
        warnings.warn(f"{type(self.potential).__name__} runs uncompiled: {error}", stacklevel=4)


def compiled(
    potential: Potential, want: Collection[str] = ("energy", "forces", "stress"), backend: Backend = "auto"
) -> CompiledPotential:
    """A potential as one compiled function of everything in `want`; see `CompiledPotential`."""
    return CompiledPotential(potential, want, backend)


class Runner(nn.Module):
    """Evaluates a potential with other tensors in place of its parameters and buffers."""

    def __init__(self, potential: Potential):
        super().__init__()
        self.inner = potential

    def forward(self, graph: Graph, want: Collection[str], create_graph: bool) -> Prediction:
        """As `evaluate`, without its checks."""
        return derive(self.inner, graph, want, create_graph)

    def with_tensors(
        self, constants: Tensors, graph: Graph, want: Collection[str], create_graph: bool = False
    ) -> Prediction:
        """The prediction with these parameters and buffers, under the names of `tensors`."""
        own = {f"inner.{name}": value for name, value in constants.items()}
        return torch.func.functional_call(self, own, (graph, want, create_graph))


def tensors(potential: Potential) -> Tensors:
    """All parameters and buffers by name, without gradients."""
    named = dict(potential.named_parameters()) | dict(potential.named_buffers())
    return {name: value.detach() for name, value in named.items()}


def describe(potential: Potential) -> str:
    """Everything but tensors that decides what a potential computes: its modules, their code and plain attributes."""
    lines = []
    for name, module in potential.named_modules():
        kind = type(module)
        plain = {k: v for k, v in vars(module).items() if not k.startswith("_") and _is_plain(v)}
        lines.append(f"{name} {kind.__module__}.{kind.__qualname__} {_source_hash(kind)} {plain}")
    return "\n".join(lines)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, str | int | float | Settings)


@functools.cache
def _source_hash(kind: type) -> str:
    if kind.__module__.startswith(("torch.", "adiabat.")):
        return ""  # their versions are in the key already
    try:
        source = "".join(
            inspect.getsource(c) for c in kind.__mro__ if not c.__module__.startswith(("torch.", "buil"))
        )
    except (OSError, TypeError):  # made in an interactive session: never the same twice
        source = repr((id(kind), os.getpid(), time.time()))
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def announce(sentence: str) -> None:
    """Tells the user what takes long, on stderr."""
    print(f"adiabat: {sentence}", file=sys.stderr, flush=True)
