"""compute sna/atom and snad/atom of LAMMPS (doi:10.1016/j.jcp.2014.12.018): bispectra and what they pull at atoms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ase
import numpy as np
import torch
from torch import Tensor

from adiabat.descriptors.snap import SNAPBispectrum, SNAPDescriptorConfig
from adiabat.elements import symbol
from adiabat.geometry import Graph, System
from adiabat.nn.heads import QuadraticHead
from adiabat.pretrained.kit import Imported, Kit

_FLAGS = {
    "switchflag": "switch",
    "bzeroflag": "subtract",
    "bnormflag": "normalized",
    "wselfallflag": "self_in_all",
}
_INNER = (0.9, 0.35)  # of all elements, as the kit's notes say


def from_kit(kit: Kit) -> Imported:
    """A descriptor for each of the kit's variants."""
    variants: Mapping[str, Sequence[str]] = kit.meta["variants"]
    return Imported({}, arrays={name: _arrays(kit, *words) for name, words in variants.items()})


def _arrays(kit: Kit, numbers: str, keywords: str) -> Callable[[ase.Atoms], dict[str, np.ndarray]]:
    options, quadratic = _options(kit, numbers, keywords)

    def arrays(atoms: ase.Atoms) -> dict[str, np.ndarray]:
        descriptor = SNAPDescriptorConfig.parse(options).build(atoms.numbers)
        graph = Graph.build(System.from_ase(atoms), descriptor.cutoff)
        order = sorted(descriptor.elements, key=symbol)
        values, slopes = descriptor.jacobian(graph)
        values, slopes = (_reordered(descriptor, rows, order) for rows in (values, slopes))
        if quadratic:
            head = QuadraticHead(1, descriptor.size).double()
            slopes = head.slopes(values, slopes, graph.centers, 0)[:, 1:]
            values = head.columns(values, 0)[:, 1:]
        found = {"descriptor": values.numpy()}
        if not atoms.pbc.any():  # those of cells are in a frame of their own
            found["snad"] = _pulls(slopes, graph, order).numpy()
        return found

    return arrays


def _options(kit: Kit, numbers: str, keywords: str) -> tuple[dict[str, Any], bool]:
    """Options of the descriptor, and whether squares and products follow the components."""
    factor, rfac0, twojmax = numbers.split()
    options: dict[str, Any] = {
        "cutoff": float(factor),
        "rfac0": float(rfac0),
        "twojmax": int(twojmax),
        "radii": kit.meta["radelem"],
        "weights": kit.meta["weights"],
        "subtract": True,  # LAMMPS's default
        "by_element": "chem" in keywords.split(),
    }
    words = [word for word in keywords.split() if word not in ("chem", "sinner")]
    given = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    options |= {own: bool(given[key]) for key, own in _FLAGS.items() if key in given}
    options["rmin0"] = given.get("rmin0", 0.0)
    if given.get("switchinnerflag"):
        options["inner"] = dict.fromkeys(kit.meta["radelem"], _INNER)
    return options, bool(given.get("quadraticflag"))


def _reordered(descriptor: SNAPBispectrum, rows: Tensor, order: Sequence[int]) -> Tensor:
    """Components with the elements of their triples in another order."""
    if descriptor.channels == 1:
        return rows
    place = torch.tensor([descriptor.elements.index(z) for z in order])
    labels = len(descriptor.coupling.labels)
    grid = rows.reshape(len(rows), *(len(order),) * 3, labels, *rows.shape[2:])
    return grid[:, place][:, :, place][:, :, :, place].flatten(1, 4)


def _pulls(slopes: Tensor, graph: Graph, order: Sequence[int]) -> Tensor:
    """Minus the derivative of the sum of each element's components by each atom's position `[atoms, columns]`."""
    kinds = torch.tensor([order.index(int(z)) for z in graph.system.numbers])[graph.centers]
    total = slopes.new_zeros((graph.system.atoms * len(order), *slopes.shape[1:]))
    total.index_add_(0, graph.neighbors * len(order) + kinds, -slopes)
    total.index_add_(0, graph.centers * len(order) + kinds, slopes)
    return total.view(graph.system.atoms, len(order), -1, 3).transpose(2, 3).reshape(graph.system.atoms, -1)
