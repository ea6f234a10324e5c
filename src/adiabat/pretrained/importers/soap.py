"""Kits of descriptors: SOAP of QUIP, DScribe and featomic, soap_turbo, and QUIP's pairs, angles and coordination."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ase
import numpy as np
import torch
from torch import Tensor

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.density_expansion import Weighting
from adiabat.descriptors.soap import SOAP, SOAPConfig
from adiabat.descriptors.sparse_terms import EnvironmentTerm
from adiabat.elements import number
from adiabat.errors import CapabilityError
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.quip_words import descriptor_options
from adiabat.pretrained.kit import Imported, Kit

Arrays = Callable[[ase.Atoms], Mapping[str, np.ndarray]]


def from_kit(kit: Kit) -> Imported:
    """What gives the kit's arrays, for each of its variants."""
    if kit.name.startswith("quippy"):
        given = kit.outputs()
        return Imported({}, arrays={name: _of_quip(given, name) for name in {key.split("/")[1] for key in given}})
    if kit.name.startswith("dscribe"):
        return Imported({}, arrays=_of_dscribe(kit.meta["variants"]))
    return Imported({}, arrays=_of_featomic(kit.meta["hyperparameters"]))


def _graph(atoms: ase.Atoms, cutoff: float) -> Graph:
    return Graph.build(System.from_ase(atoms, torch.float64), cutoff)


def pulls(descriptor: Descriptor, graph: Graph) -> Tensor:
    """Derivatives of each atom's features by each atom's position `[centers, atoms, 3, size]`, images summed."""
    slopes, atoms = descriptor.jacobian(graph)[1].transpose(1, 2), graph.system.atoms
    out = slopes.new_zeros((atoms * atoms, *slopes.shape[1:]))
    out.index_add_(0, graph.centers * atoms + graph.neighbors, slopes)
    return out.index_add_(0, graph.centers * (atoms + 1), slopes, alpha=-1).unflatten(0, (atoms, atoms))


def _of_quip(given: Mapping[str, np.ndarray], variant: str) -> Arrays:
    """Rows of one of the words that a structure was described with."""

    def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        key = f"{atoms.info.get('name', atoms.info.get('case'))}/{variant}"
        words = str(given[f"{key}/spec"])
        averaged = "average=T" in words.split()
        words = words.replace("average=T", "")
        if atoms.pbc.any():  # as QUIP took them
            atoms = atoms.copy()
            atoms.pbc = True
        options = descriptor_options(words, "the kit", several=averaged)
        term = options.build(sorted({int(z) for z in atoms.numbers})).double()
        graph = term.prepare(_graph(atoms, term.cutoff))
        if averaged:
            assert isinstance(term, EnvironmentTerm)
            return {"descriptor": term.spectrum.averaged(graph).detach().numpy()}
        made = term.instances(graph.vectors(), graph)
        rows = made.values[made.weights > 0].numpy()
        if isinstance(term, EnvironmentTerm):
            return {"descriptor": rows} | _slopes(term, graph, given.get(f"{key}/grad_index_0based"))
        rows = np.repeat(rows, 2, axis=0) if options.kind == "angle_3b" else rows
        wanted = given.get(f"{key}/descriptor", rows)
        return {"descriptor": _ranked(rows, wanted.reshape(len(wanted), -1)).reshape(wanted.shape)}

    return arrays


def _slopes(term: EnvironmentTerm, graph: Graph, index: np.ndarray | None) -> dict[str, np.ndarray]:
    """Derivatives of centers by moved atoms, both in `index [rows, 2]`, where no atom moves with an image."""
    if index is None or graph.system.pbc.any() or not index.size:
        return {}
    return {"grad_data": pulls(term.spectrum, graph).numpy()[index[:, 0], index[:, 1]]}


def _ranked(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rows in the order of a program's, by rank: pairs and angles have no order of their own."""
    if rows.shape != wanted.shape:
        return rows
    ours, theirs = (np.lexsort(part.round(6).T) for part in (rows, wanted))
    out = np.empty_like(rows)
    out[theirs] = rows[ours]
    return out


def _of_dscribe(variants: Mapping[str, Any]) -> dict[str, Arrays]:
    """Values of all variants, and of each its derivatives."""
    options = {name: variant["args"] for name, variant in variants.items()}

    def made(words: Mapping[str, Any], atoms: ase.Atoms) -> tuple[SOAP, Graph]:
        named = atoms.symbols if words["species"] == "CASE" else words["species"]
        descriptor = dscribe_options(words).build({number(str(s)) for s in named}).double()
        return descriptor, _graph(atoms, descriptor.cutoff)

    def values(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        found = {}
        for name, words in options.items():
            descriptor, graph = made(words, atoms)
            average = words.get("average")
            rows = descriptor.averaged(graph, average)[0] if average else descriptor.values(graph)
            found[name] = rows.detach().numpy()
        return found

    def derivatives(words: Mapping[str, Any]) -> Arrays:
        def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
            descriptor, graph = made(words, atoms)
            rows = descriptor.values(graph).numpy()
            return {"derivative": pulls(descriptor, graph).numpy(), "derivative_descriptor": rows}

        return arrays

    return {"": values} | {name: derivatives(words) for name, words in options.items()}


def dscribe_options(given: Mapping[str, Any]) -> SOAPConfig:
    """Options of DScribe's SOAP as ours."""
    compression, weights = given.get("compression", {}), given.get("weighting")
    options = {name: given[name] for name in ("n_max", "l_max", "sigma")}
    options |= {"convention": "dscribe", "basis": given["rbf"], "cutoff": given["r_cut"]}
    options |= {"compression": compression.get("mode", "off")}
    options |= {"element_weights": compression.get("species_weighting") or {}}
    if weights:
        form = {name: weights[name] for name in ("r0", "c", "d", "m") if name in weights}
        weighting = options["weighting"] = Weighting(form=weights["function"], **form)
        if "w0" in weights:  # there it replaces the function at the center
            options["center_weight"] = weights["w0"] / float(weighting(torch.zeros(1)))
    return SOAPConfig(**options)


def _of_featomic(hyperparameters: Mapping[str, Any]) -> dict[str, Arrays]:
    """Values; the slopes there are those of a table that is good to a few 1e-6 only, and are not compared."""
    known = {n: h for n, h in hyperparameters.items() if h["basis"].get("radial", {}).get("type") == "Gto"}
    rows = {n: h for n, h in known.items() if not n.startswith("spherical_expansion")}

    def values(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        return {name: _featomic_rows(options, atoms) for name, options in rows.items()}

    def coefficients(options: Mapping[str, Any]) -> Arrays:
        def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
            descriptor = featomic_options(options).build({int(z) for z in atoms.numbers}).double()
            graph = _graph(atoms, descriptor.cutoff)
            found = descriptor.coefficients(graph.vectors(), graph).transpose(1, 2).numpy()
            return {f"l{l}": found[:, l * l : (l + 1) ** 2] for l in range(descriptor.config.l_max + 1)}

        return arrays

    made: dict[str, Arrays] = {name: coefficients(h) for name, h in known.items() if name not in rows}
    return {"": values} | made | dict.fromkeys(rows, lambda atoms: {})


def _featomic_rows(options: Mapping[str, Any], atoms: ase.Atoms) -> np.ndarray:
    descriptor = featomic_options(options).build({int(z) for z in atoms.numbers}).double()
    graph = _graph(atoms, descriptor.cutoff)
    if "max_angular" not in options["basis"]:
        return descriptor.coefficients(graph.vectors(), graph)[:, :, 0].numpy()
    found, kinds = descriptor.values(graph).numpy(), descriptor.elements
    # pairs of elements that are nowhere within the cutoff of one atom are left out there
    near = np.zeros((len(atoms), len(kinds)), dtype=bool)
    place = descriptor.expansion.element[graph.system.numbers].numpy()
    near[np.arange(len(atoms)), place] = True
    near[graph.centers.numpy(), place[graph.neighbors.numpy()]] = True
    both = [bool((near[:, a] & near[:, b]).any()) for a in range(len(kinds)) for b in range(a, len(kinds))]
    return found[:, np.repeat(both, found.shape[1] // len(both))]


def featomic_options(given: Mapping[str, Any]) -> SOAPConfig:
    """Options of featomic's SOAP, radial spectrum and spherical expansion as ours."""
    density, basis, cutoff = given["density"], given["basis"], given["cutoff"]
    scaling, weighting = density["scaling"], None
    if scaling:
        rate = scaling["rate"]
        weighting = Weighting(form="pow", r0=scaling["scale"], c=rate, d=rate, m=scaling["exponent"])
    if cutoff["smoothing"]["type"] != "ShiftedCosine":
        raise CapabilityError(f"featomic's smoothing {cutoff['smoothing']['type']} is not read.")
    return SOAPConfig(
        convention="featomic",
        cutoff=cutoff["radius"],
        width=cutoff["smoothing"]["width"],
        n_max=basis["radial"]["max_radial"] + 1,
        l_max=basis.get("max_angular", 0),
        sigma=density["width"],
        center_weight=density["center_atom_weight"],
        weighting=weighting,
    )
