"""Kits of DScribe's symmetry functions (doi:10.1016/j.cpc.2019.106949)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ase
import numpy as np

from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.symmetry_functions import SymmetryFunction
from adiabat.elements import number, symbols
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Imported, Kit

Arrays = Callable[[ase.Atoms], Mapping[str, np.ndarray]]


def from_kit(kit: Kit) -> Imported:
    """What gives the kit's symmetry functions, and of each variant its derivatives."""
    options = {name: variant["args"] for name, variant in kit.meta["variants"].items()}

    def values(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        return {name: _made(given, atoms)[0] for name, given in options.items()}

    def derivatives(given: Mapping[str, Any]) -> Arrays:
        def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
            rows, slopes = _made(given, atoms)
            return {"derivative": slopes, "derivative_descriptor": rows}

        return arrays

    return Imported({}, arrays={"": values} | {name: derivatives(given) for name, given in options.items()})


def _made(given: Mapping[str, Any], atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Features, and their derivatives by every position `[atoms, atoms, 3, size]`."""
    if atoms.pbc.any():  # the program knows all directions or none
        atoms = atoms.copy()
        atoms.pbc = True
    elements = sorted({number(s) for s in (atoms.symbols if given["species"] == "CASE" else given["species"])})
    descriptor = ACSF(dscribe_functions(given, elements), elements)
    graph = Graph.build(System.from_ase(atoms), descriptor.cutoff)
    values, slopes = (part.numpy() for part in descriptor.jacobian(graph))
    gradient = np.zeros((len(atoms), len(atoms), *slopes.shape[:0:-1]))
    centers, neighbors = graph.pairs.numpy()
    np.add.at(gradient, (centers, neighbors), slopes.swapaxes(1, 2))
    np.add.at(gradient, (centers, centers), -slopes.swapaxes(1, 2))
    return values, gradient


def dscribe_functions(given: Mapping[str, Any], elements: Iterable[int]) -> list[SymmetryFunction]:
    """DScribe's symmetry functions in its order, of its options `r_cut` and `g2_params` to `g5_params`."""
    names, found = symbols(sorted(elements)), []
    pairs: list[dict[str, Any]] = [{"kind": "G1"}]
    pairs += [{"kind": "G2", "eta": eta, "shift": shift} for eta, shift in given.get("g2_params", ())]
    pairs += [{"kind": "G3", "kappa": kappa} for kappa in given.get("g3_params", ())]
    triplets = [
        {"kind": kind.upper(), "eta": eta, "zeta": zeta, "sign": int(sign)}
        for kind in ("g4", "g5")
        for eta, zeta, sign in given.get(f"{kind}_params", ())
    ]
    for center in names:
        own = {"center": center, "cutoff": given["r_cut"]}
        found += [SymmetryFunction(**own, neighbors=(near,), **f) for near in names for f in pairs]
        both = [(one, other) for k, one in enumerate(names) for other in names[: k + 1]]
        found += [SymmetryFunction(**own, neighbors=near, **f) for near in both for f in triplets]
    return found
