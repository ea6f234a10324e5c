"""Kits of featomic beyond SOAP: LODE, and spherical expansions in radial functions that come as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ase
import numpy as np
import torch
from torch import Tensor

from adiabat.descriptors.density_expansion import DensityExpansion
from adiabat.descriptors.density_radial import RadialTable
from adiabat.descriptors.lode import LODEConfig
from adiabat.errors import CapabilityError
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers import soap
from adiabat.pretrained.importers.soap import Arrays
from adiabat.pretrained.kit import Imported, Kit


def from_kit(kit: Kit) -> Imported:
    """What gives the kit's arrays, for each of its variants."""
    variants: Mapping[str, Any] = kit.meta["hyperparameters"]
    arrays: dict[str, Arrays] = {}
    for name, options in variants.items():
        density, basis = options["density"]["type"], options["basis"]["type"]
        if density == "SmearedPowerLaw":
            arrays[name] = _potential(lode_options(options))
        elif basis == "Explicit":
            arrays[name] = _tabulated(options)
        else:
            arrays |= soap.from_kit(kit).arrays
    return Imported({}, arrays=arrays)


def lode_options(given: Mapping[str, Any]) -> LODEConfig:
    """Options of a LodeSphericalExpansion as ours."""
    density, basis = given["density"], given["basis"]
    if basis["type"] != "TensorProduct" or basis["radial"]["type"] != "Gto" or density["scaling"] is not None:
        raise CapabilityError("of featomic's LodeSphericalExpansion, only the Gto basis without scaling is read.")
    return LODEConfig(
        cutoff=basis["radial"]["radius"],
        exponent=density["exponent"],
        smearing=density["smearing"],
        reach=given["k_cutoff"],
        n_max=basis["radial"]["max_radial"] + 1,
        l_max=basis["max_angular"],
        center_weight=density["center_atom_weight"],
    )


def _of_degrees(found: Tensor, l_max: int) -> dict[str, np.ndarray]:
    """Coefficients `[atoms, channels, (l_max + 1)²]` as one array for each degree."""
    values = found.transpose(1, 2).numpy()
    return {f"l{l}": values[:, l * l : (l + 1) ** 2] for l in range(l_max + 1)}


def _potential(config: LODEConfig) -> Arrays:
    def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        if not atoms.pbc.all():  # of these the kit has a message only
            return {}
        expansion = config.expansion(sorted({int(z) for z in atoms.numbers})).double()
        graph = Graph.build(System.from_ase(atoms, torch.float64), config.cutoff)
        return _of_degrees(expansion(graph), config.l_max)

    return arrays


def _tabulated(given: Mapping[str, Any]) -> Arrays:
    """Point densities in tabulated functions, without a cutoff function."""
    density, cutoff, tables = given["density"], given["cutoff"], given["basis"]["by_angular"]
    if density["type"] != "DiracDelta" or density["scaling"] or cutoff["smoothing"]["type"] != "Step":
        raise CapabilityError("of featomic's tabulated functions, only those of points without smoothing are read.")
    radius, counts = cutoff["radius"], [len(t["points"][0]["values"]) for t in tables.values()]
    if list(tables) != [str(l) for l in range(len(counts))]:
        raise CapabilityError(
            f"featomic's tabulated functions have degrees {', '.join(tables)}: all from 0 are read."
        )
    n_max, l_max = max(counts), len(counts) - 1
    table = _hermite(list(tables.values()), n_max, radius)

    def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        elements = sorted({int(z) for z in atoms.numbers})
        kinds = torch.arange(len(elements))
        center = density["center_atom_weight"] * torch.eye(len(elements))
        ones = torch.ones(len(elements))
        expansion = DensityExpansion(elements, table, n_max, l_max, kinds, ones, center, radius, 0.0).double()
        graph = Graph.build(System.from_ase(atoms, torch.float64), radius)
        found = expansion.from_vectors(graph.vectors(), graph)
        return {f"l{l}": _of_degrees(found[:, :, :count].flatten(1, 2), l)[f"l{l}"] for l, count in enumerate(counts)}

    return arrays


def _hermite(tables: list[Mapping[str, Any]], n_max: int, radius: float) -> RadialTable:
    """Cubic polynomials between the points of tables, one for each l; functions that a degree lacks are zero."""
    points = np.array([p["position"] for p in tables[0]["points"]])
    step = points[1] - points[0]
    out = np.zeros((len(points) - 1, 6, n_max, len(tables)))
    for l, given in enumerate(tables):
        places = np.array([p["position"] for p in given["points"]])
        if not np.allclose(places, np.linspace(0.0, radius, len(points)), rtol=0.0, atol=1e-9 * radius):
            raise CapabilityError("featomic's tabulated functions are read if all have the same equidistant points.")
        f, g = (np.array([p[name] for p in given["points"]]) for name in ("values", "derivatives"))
        absent = np.zeros((len(points), n_max - f.shape[1]))
        f, g = (np.concatenate((x, absent), axis=1) for x in (f, step * g))
        jump, slope = f[1:] - f[:-1], g[1:] + g[:-1]
        out[:, 0, :, l], out[:, 1, :, l] = f[:-1], g[:-1]
        out[:, 2, :, l], out[:, 3, :, l] = 3.0 * jump - slope - g[:-1], slope - 2.0 * jump
    return RadialTable(torch.from_numpy(out.reshape(*out.shape[:2], -1)), radius, 0.0)
