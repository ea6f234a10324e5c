"""An AOTInductor package of a potential: energy, forces and stress without adiabat, and without Python if need be."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import adiabat
from adiabat.compile.build import load, order_kept, quiet
from adiabat.compile.capture import Layout, Program, Tensors, capture, sizes
from adiabat.compile.graphs import SHAPES, graph_from, graph_inputs, graph_layouts
from adiabat.compile.potential import Runner, tensors
from adiabat.elements import symbol
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, PairList, System
from adiabat.geometry.graph import triplets
from adiabat.native import compiler
from adiabat.potential import Potential

FORMAT = "adiabat-export-1"
OUTPUTS = ("energy", "atomic_energies", "forces", "stress")
UNITS = {"energy": "eV", "atomic_energies": "eV", "forces": "eV/Å", "stress": "eV/Å³, tension positive"}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
_ALWAYS = ("positions", "numbers", "cell", "pbc", "system", "pairs", "shifts")
_IF_READ = ("charge", "multiplicity", "head", "triplets")


class _Flat(nn.Module):
    """The captured function with inputs under their names; weights are constants of it."""

    def __init__(self, module: nn.Module, program: Program, constants: Mapping[str, Tensor]):
        super().__init__()
        self.module, self.program = module, program
        self.names = list(constants)
        for k, value in enumerate(constants.values()):
            self.register_buffer(f"constant{k}", value)

        def forward(**inputs: Tensor) -> dict[str, Tensor]:
            return self.named(inputs)

        # export wants every input as a parameter of its own
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in program.inputs]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.forward = forward

    def named(self, inputs: Tensors) -> Tensors:
        """Outputs by name."""
        constants = [self.get_buffer(f"constant{k}") for k in range(len(self.names))]
        found = self.module(*constants, *(inputs[name] for name in self.program.inputs))
        return dict(zip(OUTPUTS, found, strict=True))


def export(potential: Potential, path: Path, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Writes a potential as an AOTInductor package that needs nothing but torch, and checks it against eager.

    Args:
        potential: any local potential that predicts energies of atoms.
        path: of the package, ending in .pt2.
        extra: further entries of the metadata, values that JSON can hold.

    Returns:
        The metadata, which are also inside of the package.

    Raises:
        ConfigError: the path does not end in .pt2.
        CapabilityError: the potential is global or cannot be traced, there is no compiler, or the package's numbers
            differ from eager ones; then nothing is written.
    """
    path = Path(path)
    if path.suffix != ".pt2":
        raise ConfigError(f"the package {path} does not end in .pt2, which torch asks for: rename it.")
    if not potential.local or not potential.conservative:
        raise CapabilityError(f"{type(potential).__name__} cannot be exported: only local, conservative models can.")
    if compiler() is None and potential.device.type == "cpu":
        raise CapabilityError("no C++ compiler was found: install g++, or set CXX.")
    potential = potential.eval()
    program = _program(potential)
    metadata = _metadata(potential, program) | dict(extra or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        _package(program, tensors(potential), metadata, made)
        metadata["largest relative error"] = _check(potential, program, made)
        os.replace(made, path)
    return metadata


def _program(potential: Potential) -> Program:
    """The function of the inputs that the model reads.

    These are the plain list of pairs and triplets where that suffices, else everything that the model prepares.
    """
    real = {"positions", "cell", "charge"}
    layouts = {
        name: Layout(SHAPES[name], potential.dtype if name in real else torch.bool if name == "pbc" else torch.int64)
        for name in (*_ALWAYS, *_IF_READ)
    }
    try:
        return _reading(potential, layouts, False)
    except CapabilityError:
        found: Tensors = {}
        for pbc in (False, True):
            graph = Graph.build(_structure(potential, 7, pbc), potential.cutoff)
            found = found | graph_inputs(potential.prepare(graph.to(potential.device, potential.dtype)))
        every = {name: layout for name, layout in layouts.items() if name != "triplets"} | graph_layouts(found)
        return _reading(potential, every, True)


def _reading(potential: Potential, layouts: Mapping[str, Layout], prepared: bool) -> Program:
    """The function of those inputs that are always there or that the model reads."""
    runner = Runner(potential)

    def function(constants: Tensors, given: Tensors) -> dict[str, Tensor | None]:
        found = runner.with_tensors(constants, _graph(given, potential.cutoff, prepared), OUTPUTS)
        return {name: getattr(found, name) for name in OUTPUTS}

    constants = tensors(potential)
    program = Program(function, constants, layouts, device=potential.device)
    holders = capture(program).module.graph.find_nodes(op="placeholder")[len(constants) :]
    read = {name for name, node in zip(layouts, holders, strict=True) if node.users}
    kept = {name: layout for name, layout in layouts.items() if name in _ALWAYS or name in read}
    return Program(function, constants, kept, device=potential.device)


def _graph(given: Tensors, cutoff: float, prepared: bool = False) -> Graph:
    """A graph of what is given, unless prepared with the plain list of pairs as layout, which needs no width.

    It is a neutral singlet of the first head where the model does not read these.
    """
    cell, numbers = given["cell"], given["numbers"]
    unread = {"charge": cell.new_zeros(cell.shape[0]), "multiplicity": numbers.new_ones(cell.shape[0])}
    unread["head"] = numbers.new_zeros(cell.shape[0])
    graph = graph_from(unread | dict(given), cutoff)
    return graph if prepared else graph.replace(layout=PairList(graph.pairs, graph.system.atoms))


def _package(program: Program, constants: Tensors, metadata: Mapping[str, Any], path: Path) -> None:
    from torch.export import Dim

    captured = capture(program)
    module = _Flat(captured.module, program, constants)
    numbers = sizes(program)
    examples, dynamic = {}, {}
    for name, layout in program.inputs.items():
        shape = [numbers[s] if isinstance(s, str) else s for s in layout.shape]
        examples[name] = torch.zeros(shape, dtype=layout.dtype, device=program.device)
        dynamic[name] = {axis: Dim.DYNAMIC for axis, s in enumerate(layout.shape) if isinstance(s, str)}
    options = {
        "aot_inductor.metadata": {"adiabat": json.dumps(metadata)},
        "aot_inductor.check_lowerbound": False,
        "aot_inductor.enable_line_tables": False,
        "aot_inductor.enable_frame_pointer": False,
        "compile_threads": 1,
    }
    try:
        with quiet(), order_kept():
            from torch._inductor import aoti_compile_and_package

            exported = torch.export.export(module, (), examples, dynamic_shapes=dynamic, strict=False)
            aoti_compile_and_package(exported, package_path=str(path), inductor_configs=options)
    except Exception as error:  # torch's own, of many kinds
        reason = next(iter(str(error).strip().splitlines()), "no message")
        raise CapabilityError(f"the export fails ({type(error).__name__}: {reason}).") from error


def _check(potential: Potential, program: Program, path: Path) -> float:
    """Largest relative error of the package on structures of other sizes; raises beyond TOLERANCE."""
    run, worst, limit = load(path), 0.0, TOLERANCE[potential.dtype]
    for sizes_ in ((7,), (2, 12)):
        system = System.batch([_structure(potential, atoms) for atoms in sizes_])
        graph = Graph.build(system, potential.cutoff).to(potential.device, potential.dtype)
        given = export_inputs(potential.prepare(graph), program.inputs)
        found = dict(zip(OUTPUTS, run(list(given.values())), strict=True))
        expected = evaluate(potential, graph, OUTPUTS)
        for name in OUTPUTS:
            theirs = getattr(expected, name).double()
            error = float((found[name].double() - theirs).abs().max() / theirs.abs().max().clamp(min=1e-3))
            if not error <= limit:
                atoms = "+".join(map(str, sizes_))
                raise CapabilityError(
                    f"the package's {name} of {atoms} atoms differ from eager ones by {error:.1e} relative, more than"
                    f" {limit:.0e}: nothing was written."
                )
            worst = max(worst, error)
    return worst


def export_inputs(graph: Graph, names: Any) -> Tensors:
    """The tensors of a graph, prepared by the model, that an exported function takes, by name and in its order."""
    system = graph.system
    nothing = {"waves": system.numbers.new_zeros((len(system), 1, 3)), "couples": graph.pairs[:, :0]}
    every = nothing | graph_inputs(graph)
    if "triplets" in names and "triplets" not in every:
        every["triplets"] = torch.stack(triplets(graph.centers, graph.system.atoms))
    return {name: every[name].contiguous() for name in names}


def _structure(potential: Potential, atoms: int, pbc: bool = True) -> System:
    """Atoms of the model's elements near the points of a grid 2.1 Å apart, in a slightly skewed cell or in none."""
    random = np.random.default_rng(atoms)
    points = int(np.ceil(atoms ** (1 / 3)))
    grid = np.indices((points,) * 3).reshape(3, -1).T[:atoms]
    cell = 2.1 * points * (np.eye(3) + 0.02 * random.normal(size=(3, 3)))
    positions = (grid + 0.05 * random.normal(size=(atoms, 3))) @ cell / points
    return System.from_arrays(positions, random.choice(potential.elements, atoms), cell if pbc else None, pbc)


def _metadata(potential: Potential, program: Program) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name, value in sorted(tensors(potential).items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return {
        "format": FORMAT,
        "adiabat": adiabat.__version__,
        "torch": torch.__version__,
        "method": getattr(potential.config, "method", type(potential).__name__),
        "elements": [symbol(z) for z in potential.elements],
        "cutoff": potential.cutoff,
        "dtype": str(potential.dtype).removeprefix("torch."),
        "device": potential.device.type,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "units": {"length": "Å"} | UNITS,
        "inputs": {name: [list(l.shape), str(l.dtype).removeprefix("torch.")] for name, l in program.inputs.items()},
        "outputs": list(OUTPUTS),
        "model sha256": digest.hexdigest(),
    }
