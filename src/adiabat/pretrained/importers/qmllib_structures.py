"""Kits of qmllib's representations of molecules: Coulomb matrices, bag of bonds, symmetry functions, SLATM."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ase
import numpy as np

from adiabat.descriptors.aev import AEV, Terms
from adiabat.descriptors.bag_of_bonds import BagOfBondsConfig
from adiabat.descriptors.coulomb_matrix import CoulombMatrixConfig
from adiabat.descriptors.slatm import ASLATM, ASLATMConfig, SLATMConfig, Spectra
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Imported, Kit

_ALTERNATIVE = {"sigmas": (0.1, 0.1), "dgrids": (0.05, 0.05), "rcut": 4.0, "rpower": 6}
"""Of `atomic_alt`, which the kit does not say: found from its numbers."""
Arrays = Callable[[ase.Atoms], Mapping[str, np.ndarray]]


def from_kit(kit: Kit) -> Imported:
    """What gives the kit's rows, as far as there are pages for them."""
    options = kit.meta["hyperparameters"]
    return Imported({}, arrays={"": _matrices(options) if "bob" in kit.name else _spectra(options, kit.outputs())})


def _matrices(options: Mapping[str, Any]) -> Arrays:
    size = options["size"]
    room = dict(sorted(options["asize"].items(), key=lambda item: item[1]))  # of equal numbers the first named first

    def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        def matrix(permutation: str) -> np.ndarray:
            config = CoulombMatrixConfig.parse({"atoms": size, "permutation": permutation})
            return config.build(atoms.numbers).rows([atoms])[0].numpy()

        sides = {"coulomb_rownorm": "sorted_l2", "coulomb_unsorted": "none"}
        found = {name: matrix(way).reshape(size, size)[np.tril_indices(size)] for name, way in sides.items()}
        bags = BagOfBondsConfig(atoms=room).build(atoms.numbers).rows([atoms])[0].numpy()
        eigenvalues = np.sort(matrix("eigenspectrum"))[::-1]  # there by themselves, not by magnitude
        rows = _functions(options["acsf"], atoms)
        return found | {"coulomb_eig": eigenvalues, "bob": bags, "acsf": rows}

    return arrays


def _functions(given: Mapping[str, Any], atoms: ase.Atoms) -> np.ndarray:
    """Symmetry functions of atoms, which are ANI's as published, without NeuroChem's factors."""
    near, far = given["bin_min"], (given["rcut"], given["acut"])
    terms = Terms(
        cutoff=far[0],
        radial_eta=(given["eta2"],),
        radial_shifts=tuple(np.linspace(near, far[0], given["nRs2"])),
        angular_cutoff=far[1],
        angular_eta=(given["eta3"],),
        zeta=(given["zeta"],),
        angular_shifts=tuple(np.linspace(near, far[1], given["nRs3"])),
        angles=tuple(np.linspace(0.0, np.pi, given["nTs"])),
    )
    descriptor = AEV(terms, given["elements"], weight=1.0, shrink=1.0).double()
    return descriptor(Graph.build(System.from_ase(atoms), descriptor.cutoff)).detach().numpy()


def _spectra(options: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> Arrays:
    def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        key = atoms.info.get("name", atoms.info.get("case"))
        found = {}
        for name in (
            name for name in ("global", "global_case", "atomic", "atomic_alt") if f"{key}/{name}" in outputs
        ):
            types = json.loads(str(outputs.get(f"{key}/{name}/mbtypes", outputs["mbtypes_all"])))
            found[name] = spectra(_ALTERNATIVE if name == "atomic_alt" else options, types, atoms, "atomic" in name)
        return found

    return arrays


def spectra(given: Mapping[str, Any], types: Sequence[Sequence[int]], atoms: ase.Atoms, local: bool) -> np.ndarray:
    """SLATM with qmllib's options and order of blocks (`mbtypes`), of the structure or `local`ly of atoms."""
    (width, angle_width), (step, angle_step) = given["sigmas"], given["dgrids"]
    grids = Spectra(step=step, width=width, angle_step=angle_step, angle_width=angle_width, power=given["rpower"])
    elements = [z for (z,) in (t for t in types if len(t) == 1)]
    options = {"cutoff": given["rcut"], "spectra": grids, "ending": "sharp"}
    if local:
        descriptor = ASLATMConfig.parse(options).build(elements).double()
        graph = Graph.build(System.from_ase(atoms), descriptor.cutoff)
        rows = descriptor(graph).detach().numpy()
        return np.stack(
            [_of_atom(row, int(z), types, descriptor) for row, z in zip(rows, atoms.numbers, strict=True)]
        )
    whole = SLATMConfig.parse(options).build(elements)
    row, parts, kinds = whole.rows([atoms])[0].numpy(), whole.atoms, len(whole.elements)
    n, m = len(parts.distances), len(parts.angles)
    one, pairs, triplets = np.split(row, [kinds, kinds + parts.couples * n])
    pairs, triplets = pairs.reshape(-1, n), triplets.reshape(kinds, -1, m)
    place, block = {z: k for k, z in enumerate(whole.elements)}, parts.block.numpy()
    made = {
        1: lambda z: one[[place[z]]],
        2: lambda a, b: pairs[block[place[a], place[b]]],
        3: lambda a, middle, b: triplets[place[middle], block[place[a], place[b]]],
    }
    return np.concatenate([made[len(t)](*t) for t in types])


def _of_atom(row: np.ndarray, own: int, types: Sequence[Sequence[int]], atoms: ASLATM) -> np.ndarray:
    """An atom's row with the blocks that are zero, as its element is not theirs."""
    kinds, n, m = len(atoms.elements), len(atoms.distances), len(atoms.angles)
    pairs, triplets = row[1 : 1 + kinds * n].reshape(kinds, n), row[1 + kinds * n :].reshape(-1, m)
    place, block = {z: k for k, z in enumerate(atoms.elements)}, atoms.block.numpy()
    found = []
    for t in types:
        if len(t) == 1:
            found.append(row[:1] * (t[0] == own))
        elif len(t) == 2:
            found.append(pairs[place[t[1] if t[0] == own else t[0]]] * (own in t))
        else:
            found.append(triplets[block[place[t[0]], place[t[2]]]] * (t[1] == own))
    return np.concatenate(found)
