"""Frozen potentials: kernels, and what lies between them as one list of operations without autograd."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from adiabat.compile.capture import Layout, Program, Shape, Tensors, capture
from adiabat.compile.graphs import PREDICTED, SHAPES, graph_from, graph_inputs
from adiabat.errors import CapabilityError
from adiabat.evaluate import derive
from adiabat.geometry import Graph
from adiabat.kernels.memory import keep_memory
from adiabat.kernels.pairs import PairIndex
from adiabat.potential import Potential, Prediction

_SHAPES: dict[str, Shape] = {**SHAPES, "begins": ("bounds",), "order": ("pairs",), "order_begins": ("bounds",)}


class Frozen:
    """A potential's frozen copy, made when first needed and again when its weights have changed.

    Small systems spend most of their time between operations. From the call number `patience` on, the copy's
    operations, derivatives included, are therefore traced once and then run without autograd, with everything that
    depends on weights alone computed beforehand; tracing takes seconds, about as long as a thousand steps.

    Args:
        potential: on the CPU.
        patience: how many evaluations with the same wishes come before the trace; None for never.

    Attributes:
        reason: why there is no frozen copy, or None.
    """

    def __init__(self, potential: Potential, patience: int | None = 200):
        self.potential = potential
        self.patience = patience
        self.reason: str | None = None
        self._copy: Potential | None = None
        self._tensors = [*potential.parameters(), *potential.buffers()]
        self._state: list[tuple[int, int]] = []
        self._calls: dict[Any, int] = {}
        self._traced: dict[Any, Callable[[Tensors], dict[str, Tensor]] | None] = {}

    def model(self) -> Potential | None:
        """The frozen copy of the present weights, or None."""
        state = [(t.data_ptr(), t._version) for t in self._tensors]
        if state != self._state and self.reason is None:
            self._calls, self._traced = {}, {}
            try:
                self._copy, self._state = self.potential.frozen(), state
                keep_memory()
            except CapabilityError as error:
                self._copy, self.reason = None, str(error)
        return self._copy

    def evaluate(self, graph: Graph, want: Collection[str]) -> Prediction | None:
        """As `evaluate.derive`; None if kernels cannot serve."""
        model = None if "hessian" in want else self.model()
        if model is None:
            return None
        graph = model.prepare(graph)
        run = self._run(model, graph, want)
        if run is None:
            return derive(model, graph, want)
        with torch.no_grad():
            found: dict[str, Any] = run(_inputs(graph))
        return Prediction(**found)

    def _run(
        self, model: Potential, graph: Graph, want: Collection[str]
    ) -> Callable[[Tensors], dict[str, Tensor]] | None:
        """The traced function, once it is time for it and if the graph is of the ordinary kind."""
        if self.patience is None or not isinstance(graph.layout, PairIndex):
            return None
        if graph.system.environment is not None or not graph.pairs.shape[1]:
            return None
        key = frozenset(want), graph.cutoff, graph.owned is None
        self._calls[key] = self._calls.get(key, 0) + 1
        if self._calls[key] <= self.patience:
            return None
        if key not in self._traced:
            try:
                self._traced[key] = traced(model, graph, want)
            except CapabilityError:  # the copy itself still serves
                self._traced[key] = None
        return self._traced[key]


def quickest(potential: Potential) -> Potential:
    """The frozen copy of a potential for many evaluations with its present weights, or itself if there is none.

    Not for the Hessian, which frozen copies do not have.
    """
    if potential.device.type != "cpu" or potential.is_frozen:
        return potential
    return Frozen(potential).model() or potential


def traced(model: Potential, graph: Graph, want: Collection[str]) -> Callable[[Tensors], dict[str, Tensor]]:
    """A frozen model as a function of the tensors of a prepared graph like this one, for any number of atoms.

    Raises CapabilityError if the model cannot be traced.
    """
    cutoff = graph.cutoff
    layouts = {name: Layout(_SHAPES[name], value.dtype) for name, value in _inputs(graph).items()}

    def function(_: Tensors, given: Tensors) -> Mapping[str, Tensor | None]:
        bare = graph_from(given, cutoff)
        both = given["begins"], given["order"], given["order_begins"]
        found = derive(model, bare.replace(layout=PairIndex(bare.pairs, bare.system.atoms, *both)), want)
        return {name: getattr(found, name) for name in PREDICTED}

    program = Program(function, {}, layouts, "", model.device)
    captured = capture(program)
    fold(captured.module)
    shorten(captured.module)

    def run(inputs: Tensors) -> dict[str, Tensor]:
        return dict(zip(captured.outputs, captured.module(*program.flat({}, inputs)), strict=True))

    return run


def _inputs(graph: Graph) -> Tensors:
    layout = graph.layout
    assert isinstance(layout, PairIndex)
    own = {"begins": layout.begins, "order": layout.order, "order_begins": layout.order_begins}
    return graph_inputs(graph) | own


def shorten(module: fx.GraphModule) -> None:
    """Takes out slices that are the whole tensor, and their derivatives, in place."""
    aten = torch.ops.aten
    for target, skipped in ((aten.slice.Tensor, 0), (aten.slice_backward.default, 1)):
        for node in module.graph.find_nodes(op="call_function", target=target):
            start, end, *step = node.args[2 + skipped :]
            if start in (0, None) and end == sys.maxsize and step in ([], [1]):
                node.replace_all_uses_with(node.args[0])
                module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def fold(module: fx.GraphModule) -> None:
    """Replaces operations on constants alone by their results, in place."""
    values: dict[fx.Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            values[node] = getattr(module, str(node.target))
        elif node.op == "call_function" and node.all_input_nodes and all(n in values for n in node.all_input_nodes):
            arguments, keywords = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*arguments, **keywords)
    for node, value in values.items():
        if node.op != "call_function" or not isinstance(value, Tensor) or all(user in values for user in node.users):
            continue
        name = f"folded_{node.name}"
        module.register_buffer(name, value.detach())
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.get_attr(name))
    module.graph.eliminate_dead_code()
    module.recompile()
