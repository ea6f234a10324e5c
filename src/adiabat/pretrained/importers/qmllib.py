"""FCHL19 representations of qmllib (doi:10.1063/1.5126701), with their derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ase
import numpy as np

from adiabat.descriptors.fchl19 import FCHL19, FCHL19Config
from adiabat.geometry import Graph, System
from adiabat.pretrained.kit import Imported, Kit

# qmllib's words for the options
_NAMES = {
    "nRs2": "radial",
    "nRs3": "angular",
    "nFourier": "order",
    "eta2": "radial_width",
    "eta3": "angular_width",
    "zeta": "smearing",
    "rcut": "cutoff",
    "acut": "angular_cutoff",
    "two_body_decay": "radial_decay",
    "three_body_decay": "angular_decay",
    "three_body_weight": "angular_weight",
}


def from_kit(kit: Kit) -> Imported:
    """What gives the kit's representations."""
    options = kit.meta["hyperparameters"]
    every = options["elements"]

    def arrays(atoms: ase.Atoms) -> Mapping[str, np.ndarray]:
        own = descriptor(options["default"], atoms.numbers)
        values, gradient = pulls(own, atoms)
        found = {name: pulls(descriptor(options[name], every), atoms)[0] for name in ("default", "alt")}
        return found | {"default_case_elements": values, "grad_representation": values, "grad": gradient}

    return Imported({}, arrays={"": arrays})


def descriptor(options: Mapping[str, Any], elements: Iterable[int]) -> FCHL19:
    """The descriptor with these options of qmllib."""
    config = FCHL19Config.parse({_NAMES[name]: value for name, value in options.items()})
    return config.build({int(z) for z in elements})


def pulls(descriptor: FCHL19, atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Features `[atoms, size]` and their derivatives by every position `[atoms, size, atoms, 3]`."""
    graph = Graph.build(System.from_ase(atoms), descriptor.cutoff)
    values, slopes = (part.numpy() for part in descriptor.jacobian(graph))
    gradient = np.zeros((len(atoms), values.shape[1], len(atoms), 3))
    centers, neighbors = graph.pairs.numpy()
    for p, slope in enumerate(slopes):
        gradient[centers[p], :, neighbors[p]] += slope
        gradient[centers[p], :, centers[p]] -= slope
    return values, gradient
