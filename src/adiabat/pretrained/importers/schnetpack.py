"""SchNetPack 2 (doi:10.1063/5.0138367): parameters of SchNet, PaiNN and SO3net under the program's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from adiabat.architectures.equivariant.painn import PaiNN, PaiNNConfig
from adiabat.architectures.equivariant.so3net import SO3Net, SO3NetConfig
from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.elements import number, symbols
from adiabat.errors import CheckpointError
from adiabat.potential import AtomicPotential, Referenced
from adiabat.pretrained.importers import matgl
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import energy_unit

_COMMON = {
    "embedding.table": "representation.embedding.weight",
    "basis.centers": "representation.radial_basis.offsets",
    "basis.widths": "representation.radial_basis.widths",
    "head.layers": "output_modules.0.outnet",
}
_SCHNET = _COMMON | {
    "inward": "in2f",
    "convolution.filters.layers": "filter_network",
    "outward.layers": "f2out",
    "interactions": "representation.interactions",
}
_PAINN = _COMMON | {
    "filters": "representation.filter_net",
    "messages": "representation.interactions",
    "phi.layers": "interatomic_context_net",
    "mix.weight": "mu_channel_mix.weight",
    "updates": "representation.mixing",
    "gates.layers": "intraatomic_context_net",
    "dipole.blocks": "output_modules.1.outnet",
    "vectors": "mix_vectors",
    "scalars.layers": "scalar_net",
}
_SO3NET: matgl.Names = (
    (r"^embedding\.table$", "representation.embedding.weight"),
    (r"^basis\.frequencies$", "representation.radial_basis.freqs"),
    (r"^interactions\.(\d+)\.convolution\.filters\.", r"representation.so3convs.\1.filternet."),
    (r"^interactions\.(\d+)\.mix(\d)\.", r"representation.mixings\2.\1."),
    (r"^interactions\.(\d+)\.gates\.", r"representation.gatings.\1.scaling."),
    (r"^head\.layers\.", "output_modules.0.outnet."),
    (r"^dipole\.blocks\.", "output_modules.1.outnet."),
    (r"\.vectors\.", ".mix_vectors."),
    (r"\.scalars\.layers\.", ".scalar_net."),
)


def from_kit(kit: Kit) -> Imported:
    """The kit's model. Golden kits leave the program's energy offsets out, original files have them."""
    weights = kit.weights()
    given = kit.meta["elements"]
    rows = weights["representation.embedding.weight"].shape[0]
    # some kits say in words that the table has a row per atomic number
    elements = range(1, rows) if isinstance(given, str) else [number(z) for z in given]
    unit = kit.meta.get("energy_unit") or ("kcal/mol" if "kcal/mol" in kit.meta["units"] else "eV")
    options = kit.meta["hyperparameters"]
    if kit.meta["method"].startswith("so3net"):
        model = read_so3net(options, weights, elements, dipole="dipole" in kit.meta.get("keys", ()))
    elif kit.meta["method"].startswith("painn"):
        model = read_painn(options, weights, elements, dipole="dipole" in kit.meta.get("keys", ()))
    else:
        model = read_schnet(options, weights, elements)
    factor = energy_unit(unit)
    offsets = {z: value * factor for z, value in kit.meta.get("offsets", {}).items() if z in model.elements}
    return Imported({"": Referenced(model, offsets, factor)}, energy_unit=unit)


def read_schnet(options: Mapping[str, object], weights: Mapping[str, Tensor], elements: Iterable[int]) -> SchNet:
    """SchNet in float64, in the program's own units.

    Args:
        options: the program's n_atom_basis, n_interactions, n_rbf, cutoff and n_filters.
        weights: state of its NeuralNetworkPotential with one Atomwise output.
        elements: atomic numbers whose embedding rows are kept.

    Raises:
        CheckpointError: a parameter is missing or has another shape.
    """
    config = SchNetConfig.parse(_common(options) | {"filters": options.get("n_filters")})
    model = SchNet(config, elements).double()
    fill(model, weights, _SCHNET)
    return model


def read_painn(
    options: Mapping[str, object], weights: Mapping[str, Tensor], elements: Iterable[int], dipole: bool = False
) -> PaiNN:
    """PaiNN in float64, in the program's own units.

    Args:
        options: the program's n_atom_basis, n_interactions, n_rbf and cutoff; rbf, activation, shared_filters and
            epsilon are optional.
        weights: state of its NeuralNetworkPotential whose first output is Atomwise.
        elements: atomic numbers whose embedding rows are kept.
        dipole: whether the second output is a DipoleMoment with vectors, to be read too.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape.
    """
    for name, known in (("rbf", "gaussian"), ("activation", "silu")):
        if options.get(name, known) != known:
            raise CheckpointError(
                f"{name} '{options[name]}' is not an option of the page PaiNN, which has '{known}' alone."
            )
    changes = {name: options[name] for name in ("shared_filters", "epsilon") if name in options}
    model = PaiNN(PaiNNConfig.parse(_common(options) | changes | {"dipole": dipole}), elements).double()
    fill(model, weights, _PAINN)
    return model


def read_so3net(
    options: Mapping[str, object], weights: Mapping[str, Tensor], elements: Iterable[int], dipole: bool = False
) -> SO3Net:
    """SO3net in float64, in the program's own units; as `read_painn`, with lmax among the options."""
    matgl.check_options(options, {"rbf": "bessel", "shared_interactions": False}, "SO3Net")
    config = SO3NetConfig.parse(_common(options) | {"l_max": options["lmax"], "dipole": dipole})
    model = SO3Net(config, elements).double()
    weights = {name: value.double() for name, value in weights.items()}
    for name in weights:
        if name.endswith("filternet.weight"):  # its Bessel functions have no prefactor
            weights[name] = weights[name] / model.basis.prefactor
    table = "representation.embedding.weight"
    matgl.fill(model, weights | {table: weights[table][list(model.elements)]}, symbols(model.elements), _SO3NET)
    return model


def _common(options: Mapping[str, object]) -> dict[str, object]:
    return {
        "cutoff": options["cutoff"],
        "channels": options["n_atom_basis"],
        "layers": options["n_interactions"],
        "basis": options["n_rbf"],
    }


def fill(model: AtomicPotential, weights: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Copies a program's tensors into the page's under a table of name parts, page's to program's."""
    arrays = {}
    for own, tensor in model.state_dict().items():
        theirs = own
        for part, replacement in names.items():
            theirs = theirs.replace(part, replacement)
        if theirs not in weights:
            raise CheckpointError(
                f"the weights have no '{theirs}', which {own} needs: is it a {type(model).__name__} of this program?"
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
