"""Kits of DScribe's matrices and distributions: Coulomb, sine, Ewald, MBTR, LMBTR, Valle-Oganov.

L. Himanen et al., doi:10.1016/j.cpc.2019.106949; J. Laakso et al., doi:10.1063/5.0151031.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ase
import numpy as np

from adiabat.descriptors.coulomb_matrix import CoulombMatrixConfig
from adiabat.descriptors.distributions import Falloff, Term
from adiabat.descriptors.ewald_matrix import EwaldMatrixConfig
from adiabat.descriptors.lmbtr import LMBTRConfig
from adiabat.descriptors.mbtr import MBTRConfig
from adiabat.descriptors.sine_matrix import SineMatrixConfig
from adiabat.descriptors.structure import StructureConfig
from adiabat.descriptors.valle_oganov import ValleOganovConfig
from adiabat.elements import number
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Imported, Kit

_MATRICES = {
    "CoulombMatrix": CoulombMatrixConfig,
    "SineMatrix": SineMatrixConfig,
    "EwaldSumMatrix": EwaldMatrixConfig,
}
_WEIGHTS = {"r_cut": "cutoff", "scale": "scale", "threshold": "threshold", "sharpness": "sharpness"}


def from_kit(kit: Kit) -> Imported:
    """What gives the kit's rows, variant by variant."""
    variants = kit.meta["variants"]

    def values(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        known = {
            n: g for n, g in variants.items() if atoms.pbc.any() or g["cls"] not in ("SineMatrix", "EwaldSumMatrix")
        }
        return {name: _rows(given["cls"], given["args"], atoms) for name, given in known.items()}

    return Imported({}, arrays={"": values}, differs=_volume if "oganov" in kit.name else None)


def _volume(atoms: ase.Atoms) -> str:
    return "" if atoms.pbc.any() else "the program multiplies by the volume of a molecule, zero"


def _rows(cls: str, given: Mapping[str, Any], atoms: ase.Atoms) -> np.ndarray:
    elements = {
        number(str(s)) for s in (atoms.symbols if given.get("species", "CASE") == "CASE" else given["species"])
    }
    if cls == "LMBTR":
        return _local_rows(given, atoms, elements)
    if cls in _MATRICES:  # which take a molecule, or a crystal in all directions
        atoms = atoms.copy()
        atoms.pbc = cls != "CoulombMatrix"
    return structure_options(cls, given).build(elements).rows([atoms])[0].numpy()


def structure_options(cls: str, given: Mapping[str, Any]) -> StructureConfig:
    """Options of a descriptor of structures, by DScribe's name of its class, as ours."""
    if cls in _MATRICES:
        words = {"atoms": given["n_atoms_max"], "permutation": given.get("permutation", "sorted_l2")}
        return _MATRICES[cls].parse(words | {n: given[n] for n in ("sigma", "seed") if given.get(n) is not None})
    if cls == "ValleOganov":
        grid = {"points": given["n"], "width": given["sigma"], "cutoff": given["r_cut"]}
        return ValleOganovConfig.parse({"quantity": given["function"], **grid})
    return MBTRConfig(terms=(term(given),), normalization=given.get("normalization", "none"))


def term(given: Mapping[str, Any]) -> Term:
    """The one distribution that DScribe's options name."""
    grid, weighting = given["grid"], given.get("weighting") or {}
    words = {ours: weighting[name] for name, ours in _WEIGHTS.items() if name in weighting}
    return Term(
        geometry=given["geometry"]["function"],
        start=grid["min"],
        stop=grid["max"],
        points=grid["n"],
        width=grid["sigma"],
        weight=Falloff(form=weighting.get("function", "unity"), ending="sharp", **words),
        area=given.get("normalize_gaussians", True),
    )


def _local_rows(given: Mapping[str, Any], atoms: ase.Atoms, elements: Iterable[int]) -> np.ndarray:
    """With the blocks that are always zero."""
    config = LMBTRConfig(terms=(term(given),), normalization=given.get("normalization", "none"))
    descriptor = config.build(elements).double()
    graph = Graph.build(System.from_ase(atoms), descriptor.cutoff)
    points, order = config.terms[0].points, config.terms[0].order
    found = descriptor(graph).detach().numpy().reshape(len(atoms), -1, points)
    places, count = _blocks(len(descriptor.elements), order)
    out = np.zeros((len(atoms), count, points))
    out[:, places] = found
    return out.reshape(len(atoms), -1)


def _blocks(kinds: int, order: int) -> tuple[np.ndarray, int]:
    """Where our blocks are among the program's, which has the element X before all others, and how many it has."""
    every = kinds + 1
    if order == 2:
        return np.arange(1, every), every
    couples = every * (every + 1) // 2
    beside = couples + np.arange(kinds)[:, None] * every + np.arange(1, every)
    return np.concatenate([np.arange(every, couples), beside.ravel()]), couples + kinds * every
