"""SchNetPack 2 (doi:10.1063/5.0138367): parameters of SchNet under the program's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.elements import number
from adiabat.errors import CheckpointError
from adiabat.potential import Referenced
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import energy_unit

_NAMES = {
    "embedding.table": "representation.embedding.weight",
    "basis.centers": "representation.radial_basis.offsets",
    "basis.widths": "representation.radial_basis.widths",
    "head.layers": "output_modules.0.outnet",
    "inward": "in2f",
    "convolution.filters.layers": "filter_network",
    "outward.layers": "f2out",
    "interactions": "representation.interactions",
}


def from_kit(kit: Kit) -> Imported:
    """The kit's SchNet. Its numbers leave the program's energy offsets out."""
    weights = kit.weights()
    given = kit.meta["elements"]
    rows = weights["representation.embedding.weight"].shape[0]
    # some kits say in words that the table has a row per atomic number
    elements = range(1, rows) if isinstance(given, str) else [number(z) for z in given]
    unit = "kcal/mol" if "kcal/mol" in kit.meta["units"] else "eV"
    model = read_schnet(kit.meta["hyperparameters"], weights, elements)
    return Imported({"": Referenced(model, scale=energy_unit(unit))}, energy_unit=unit)


def read_schnet(options: Mapping[str, object], weights: Mapping[str, Tensor], elements: Iterable[int]) -> SchNet:
    """SchNet in float64, in the program's own units.

    Args:
        options: the program's n_atom_basis, n_interactions, n_rbf, cutoff and n_filters.
        weights: state of its NeuralNetworkPotential with one Atomwise output.
        elements: atomic numbers whose embedding rows are kept.

    Raises:
        CheckpointError: a parameter is missing or has another shape.
    """
    config = SchNetConfig.parse(
        {
            "cutoff": options["cutoff"],
            "channels": options["n_atom_basis"],
            "layers": options["n_interactions"],
            "basis": options["n_rbf"],
            "filters": options.get("n_filters"),
        }
    )
    model = SchNet(config, elements).double()
    fill(model, weights, _NAMES)
    return model


def fill(model: SchNet, weights: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Copies a program's tensors into the page's under a table of name parts, page's to program's."""
    arrays = {}
    for own, tensor in model.state_dict().items():
        theirs = own
        for part, replacement in names.items():
            theirs = theirs.replace(part, replacement)
        if theirs not in weights:
            raise CheckpointError(
                f"the weights have no '{theirs}', which {own} needs: is it a SchNet of this program?"
            )
        value = weights[theirs].double()
        if own == "embedding.table":
            value = value[list(model.elements)]
        if value.shape != tensor.shape:
            raise CheckpointError(
                f"'{theirs}' has shape {tuple(value.shape)} where {tuple(tensor.shape)} is needed:"
                " the options do not fit the weights."
            )
        arrays[own] = value
    with torch.no_grad():
        model.load_state_dict(arrays)
