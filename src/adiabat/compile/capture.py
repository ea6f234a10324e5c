"""From a function of tensors to one graph of elementary operations with symbolic sizes, derivatives included.

The function is run once on tensors without data. Parameters and buffers come in as inputs of fixed shape, so that new
values need no new graph; everything else has sizes with names ("atoms", "pairs", ...), which stay symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from adiabat.errors import CapabilityError

Tensors = dict[str, Tensor]
Function = Callable[[Tensors, Tensors], Mapping[str, Tensor | None]]
Shape = tuple[str | int, ...]  # a name stands for a size that varies

# about as in a small batch of molecules; what matters is that no two are equal and none is a layer's width
_TYPICAL = {"systems": 11, "atoms": 307, "pairs": 6007, "halves": 3019, "width": 29, "triplets": 60013}
_TYPICAL |= {"bonds": 1009, "angles": 2003, "waves": 53, "couples": 5003, "seats": 41, "near": 4001, "near_width": 19}


@dataclass(frozen=True)
class Layout:
    """One input of varying size: its shape with names for the sizes that vary, and its type."""

    shape: Shape
    dtype: torch.dtype


@dataclass(frozen=True)
class Program:
    """What is to be captured.

    Attributes:
        function: takes constants and inputs by name, gives tensors by name; None for what it does not give.
        constants: tensors whose shapes are fixed; only shape, type and device are read.
        inputs: what varies.
        identity: everything else the function depends on, as text.
        device: of all inputs.
    """

    function: Function
    constants: Mapping[str, Tensor]
    inputs: Mapping[str, Layout]
    identity: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def flat(self, constants: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """The tensors in the order of the captured function's arguments, contiguous."""
        return [constants[k].detach() for k in self.constants] + [inputs[k].contiguous() for k in self.inputs]


@dataclass(frozen=True)
class Captured:
    """A traced function.

    Attributes:
        module: takes the tensors of `Program.flat`, gives a list of tensors.
        arguments: the same arguments without data, sizes as symbols.
        outputs: names of what it gives.
    """

    module: fx.GraphModule
    arguments: list[Tensor]
    outputs: tuple[str, ...]


def capture(program: Program) -> Captured:
    """Traces a program.

    Raises:
        CapabilityError: a size became a fixed number or decided what is computed, so that one graph would not do
            for all sizes; or an operation cannot be traced.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    environment = ShapeEnv()
    mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
    arguments, free = _arguments(program, mode)
    names: list[str] = []

    def flat(*tensors: Tensor) -> list[Tensor]:
        constants = dict(zip(program.constants, tensors, strict=False))
        inputs = dict(zip(program.inputs, tensors[len(constants) :], strict=True))
        made = {k: v for k, v in program.function(constants, inputs).items() if v is not None}
        names[:] = made
        return list(made.values())

    try:
        module = make_fx(flat, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*arguments)
    except Exception as error:  # whatever torch meets in a model's code
        reason = next(iter(str(error).strip().splitlines()), "no message")
        raise CapabilityError(f"the model cannot be traced ({type(error).__name__}: {reason}).") from error
    _check_free(free, [str(guard.expr) for guard in environment.guards])
    strip_detach(module)
    without_mutations(module)
    return Captured(module, arguments, tuple(names))


def strip_detach(module: fx.GraphModule) -> None:
    """Removes `detach`, in place: its result is used inside derivatives, whose own derivative it would cut."""
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.detach.default):
        node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def without_mutations(module: fx.GraphModule) -> None:
    """Turns operations that change their first argument into ones that give a new tensor, in place.

    torch's own derivatives contain some (`masked_fill_` in that of a norm), while Inductor takes graphs for granted
    that have none.

    Raises CapabilityError for a change of a view or of an input, which a new tensor cannot stand for.
    """
    nodes = list(module.graph.nodes)
    for place, node in enumerate(nodes):
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None or not schema.is_mutable:
            continue
        changed = node.args[0]
        packet = str(schema.name).split("::")[1].rstrip("_")
        same = getattr(getattr(torch.ops.aten, packet, None), node.target._overloadname, None)
        returns = getattr(getattr(changed.target, "_schema", None), "returns", ())
        if same is None or changed.op != "call_function" or any(value.alias_info for value in returns):
            raise CapabilityError(f"the model cannot be traced: {node.target} changes a tensor that others share.")
        node.target = same
        later = set(nodes[place + 1 :])
        changed.replace_all_uses_with(node, delete_user_cb=lambda user, later=later: user in later)
    module.recompile()


def _arguments(program: Program, mode: Any) -> tuple[list[Tensor], dict[str, list[tuple[Tensor, int]]]]:
    """Arguments without data, and for each named size the tensors and axes that have it."""
    from torch._dynamo.source import ConstantSource
    from torch.fx.experimental.symbolic_shapes import DimDynamic, StatelessSymbolicContext

    arguments = [mode.from_tensor(t.detach(), static_shapes=True) for t in program.constants.values()]
    numbers = sizes(program)
    free: dict[str, list[tuple[Tensor, int]]] = {}
    for name, layout in program.inputs.items():
        shape = [numbers[s] if isinstance(s, str) else s for s in layout.shape]
        kinds = [DimDynamic.DUCK if isinstance(s, str) else DimDynamic.STATIC for s in layout.shape]
        example = torch.empty(shape, dtype=layout.dtype, device=program.device)
        context = StatelessSymbolicContext(dynamic_sizes=kinds)
        made = mode.from_tensor(example, source=ConstantSource(name), symbolic_context=context)
        arguments.append(made)
        for axis, size in enumerate(layout.shape):
            if isinstance(size, str):
                free.setdefault(size, []).append((made, axis))
    return arguments, free


def sizes(program: Program) -> dict[str, int]:
    """A number for each named size: all different, none a size of a constant or a multiple of one."""
    widths = {size for t in program.constants.values() for size in t.shape if size > 1}
    names = {s for layout in program.inputs.values() for s in layout.shape if isinstance(s, str)}
    sizes: dict[str, int] = {}
    for name in sorted(names):
        size = _TYPICAL.get(name, 97)
        while size in sizes.values() or any(size % width == 0 for width in (2, 3, *widths)):
            size += 2
        sizes[name] = size
    return sizes


def _check_free(free: dict[str, list[tuple[Tensor, int]]], guards: list[str]) -> None:
    """Raises CapabilityError if tracing fixed a size, made two of them equal, or took a decision by one."""
    what = f"a size ({guards[0]})" if guards else None
    seen: set[Any] = set()
    for name, uses in free.items():
        found = {getattr(tensor.shape[axis], "node", None) for tensor, axis in uses}
        symbols = {node.expr for node in found if node is not None and node.expr.is_Symbol}
        if None in found or len(symbols) != 1 or symbols & seen:
            what = f"the number of {name}"
        seen |= symbols
    if what is not None:
        raise CapabilityError(f"the model cannot be traced for all sizes: {what} decides what it computes.")
