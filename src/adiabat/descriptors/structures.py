"""The descriptors of whole structures, one page each, found by name; and the call that makes rows of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ase
from torch import Tensor

from adiabat.descriptors import Page, page
from adiabat.descriptors.structure import StructureConfig
from adiabat.errors import ConfigError

STRUCTURES = {
    p.kind: p
    for p in (
        Page(
            "coulomb_matrix",
            "coulomb_matrix",
            "CoulombMatrixConfig",
            "Repulsion between the nuclei of a molecule",
            "10.1103/PhysRevLett.108.058301",
        ),
        Page(
            "ewald_matrix",
            "ewald_matrix",
            "EwaldMatrixConfig",
            "Electrostatic energies of every two sublattices of nuclei",
            "10.1002/qua.24917",
        ),
        Page(
            "sine_matrix",
            "sine_matrix",
            "SineMatrixConfig",
            "A cheap function with the periods of the cell and the poles of the Coulomb repulsion",
            "10.1002/qua.24917",
        ),
        Page(
            "neighbor_cells_matrix",
            "neighbor_cells_matrix",
            "NeighborCellsMatrixConfig",
            "The Coulomb matrix, or one that falls exponentially, of the cells around as well",
            "10.1002/qua.24917",
        ),
        Page(
            "bag_of_bonds",
            "bag_of_bonds",
            "BagOfBondsConfig",
            "Entries of the Coulomb matrix, sorted within bags of two elements",
            "10.1021/acs.jpclett.5b00831",
        ),
        Page(
            "mbtr",
            "mbtr",
            "MBTRConfig",
            "Distributions of numbers, distances and angles by elements (MBTR)",
            "10.48550/arXiv.1704.06439",
        ),
        Page(
            "slatm",
            "slatm",
            "SLATMConfig",
            "Spectra of London and Axilrod-Teller-Muto potentials (SLATM)",
            "10.1038/s41557-020-0527-z",
        ),
        Page(
            "valle_oganov",
            "valle_oganov",
            "ValleOganovConfig",
            "Fingerprints of crystals: distances beside those of a gas of the same density",
            "10.1107/S0108767310026395",
        ),
    )
}


def structure_config(options: Mapping[str, Any] | StructureConfig) -> StructureConfig:
    """Typed options of plain ones; ConfigError for a kind or an option that is not known."""
    if isinstance(options, StructureConfig):
        return options
    if "kind" not in options:
        raise ConfigError(f"kind is missing: choose of {', '.join(STRUCTURES)}.")
    return page(str(options["kind"]), STRUCTURES).config_class.parse(dict(options))


def represent(structures: Sequence[ase.Atoms], options: Mapping[str, Any] | StructureConfig) -> Tensor:
    """One row of numbers for each structure `[structures, size]`, float64.

    The elements are those of all structures given: rows to be compared are made together, or with
    `structure_config(options).build(elements).rows(structures)`.

    Args:
        structures: molecules or crystals.
        options: kind and options of a descriptor, `{"kind": "mbtr", "cutoff": 6.0}`.
    """
    elements = {int(z) for atoms in structures for z in atoms.numbers}
    return structure_config(options).build(elements).rows(structures)
