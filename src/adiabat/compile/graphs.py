"""Graphs taken apart into named tensors, and put together again."""

from __future__ import annotations

from typing import Any

from adiabat.compile.capture import Layout, Shape, Tensors
from adiabat.geometry import Bonds, FarPairs, Graph, Halves, NearPairs, Neighborhood, System

_SYSTEM = ("positions", "numbers", "cell", "pbc", "system", "charge", "multiplicity", "head")
_OPTIONAL = ("owned", "triplets", "waves", "couples")
SHAPES: dict[str, Shape] = {
    "positions": ("atoms", 3),
    "numbers": ("atoms",),
    "cell": ("systems", 3, 3),
    "pbc": ("systems", 3),
    "system": ("atoms",),
    "charge": ("systems",),
    "multiplicity": ("systems",),
    "head": ("systems",),
    "pairs": (2, "pairs"),
    "shifts": ("pairs", 3),
    "owned": ("atoms",),
    "slot": ("pairs",),
    "table": ("atoms", "width"),
    "triplets": (2, "triplets"),
    "both": (2, "halves"),
    "half_of": ("pairs",),
    "bonds": (2, "bonds"),
    "angles": (2, "angles"),
    "waves": ("systems", "waves", 3),
    "couples": (2, "couples"),
    "seat": ("atoms",),
    "members": ("systems", "seats"),
    "far": (2, "far_pairs"),
    "far_shifts": ("far_pairs", 3),
    "widths": ("systems",),
    "near": ("near",),
    "near_slot": ("near",),
    "near_table": ("atoms", "near_width"),
}
PREDICTED = (
    *("energy", "atomic_energies", "forces", "stress", "charges", "dipole", "polarizability"),
    *("magnetic_moments", "magnetic_forces", "property", "uncertainty"),
)


def graph_inputs(graph: Graph) -> Tensors:
    """The tensors of a graph by name, the layouts made beforehand among them."""
    inputs = {name: getattr(graph.system, name) for name in _SYSTEM}
    if graph.cutoff != float("inf"):
        inputs |= {"pairs": graph.pairs, "shifts": graph.shifts}
    if isinstance(graph.layout, Neighborhood):
        inputs |= {"slot": graph.layout.slot, "table": graph.layout.table}
    if graph.halves is not None:
        inputs |= {"both": graph.halves.both, "half_of": graph.halves.half_of}
    if graph.bonds is not None:
        inputs |= {"bonds": graph.bonds.both, "angles": graph.bonds.angles}
    if graph.members is not None:
        inputs |= {"seat": graph.members.slot, "members": graph.members.table}
    if graph.far is not None:
        inputs |= {"far": graph.far.pairs, "far_shifts": graph.far.shifts, "widths": graph.far.widths}
    if graph.near is not None and isinstance(graph.near.rows, Neighborhood):
        rows = graph.near.rows
        inputs |= {"near": graph.near.index, "near_slot": rows.slot, "near_table": rows.table}
    optional = {name: getattr(graph, name) for name in _OPTIONAL}
    return inputs | {name: value for name, value in optional.items() if value is not None}


def graph_from(inputs: Tensors, cutoff: float) -> Graph:
    """The graph that `graph_inputs` took apart."""
    fields: dict[str, Any] = {name: inputs[name] for name in _SYSTEM}
    system = System(**fields)
    layout = Neighborhood(inputs["slot"], inputs["table"]) if "slot" in inputs else None
    halves = Halves(inputs["both"], inputs["half_of"]) if "both" in inputs else None
    bonds = Bonds(inputs["bonds"], inputs["angles"]) if "bonds" in inputs else None
    numbers = system.numbers
    pairs = inputs["pairs"] if "pairs" in inputs else numbers.new_zeros((2, 0))
    shifts = inputs["shifts"] if "shifts" in inputs else numbers.new_zeros((0, 3))
    optional: dict[str, Any] = {name: inputs.get(name) for name in _OPTIONAL}
    members = Neighborhood(inputs["seat"], inputs["members"]) if "seat" in inputs else None
    far = FarPairs(inputs["far"], inputs["far_shifts"], inputs["widths"]) if "far" in inputs else None
    made: dict[str, Any] = {"layout": layout, "halves": halves, "bonds": bonds, "members": members, "far": far}
    if "near" in inputs:
        made["near"] = NearPairs(inputs["near"], Neighborhood(inputs["near_slot"], inputs["near_table"]))
    return Graph(system, pairs, shifts, cutoff, **optional, **made)


def graph_layouts(inputs: Tensors) -> dict[str, Layout]:
    """Which sizes of a graph's tensors vary."""
    return {name: Layout(SHAPES[name], value.dtype) for name, value in inputs.items()}
