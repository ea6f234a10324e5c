"""SchNetPack 2 (doi:10.1063/5.0138367): parameters of SchNet, PaiNN and SO3net under the program's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from adiabat.architectures.equivariant.painn import PaiNN, PaiNNConfig
from adiabat.architectures.equivariant.so3net import SO3Net, SO3NetConfig
from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.elements import number
from adiabat.potential import Referenced
from adiabat.pretrained.importers.named_weights import Names, check_options, fill
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import energy_unit

_COMMON: Names = (
    (r"^embedding\.table$", "representation.embedding.weight"),
    (r"^head\.layers\.", "output_modules.0.outnet."),
    (r"^dipole\.blocks\.", "output_modules.1.outnet."),
    (r"\.vectors\.", ".mix_vectors."),
    (r"\.scalars\.layers\.", ".scalar_net."),
)
_GAUSSIANS: Names = (
    (r"^basis\.centers$", "representation.radial_basis.offsets"),
    (r"^basis\.widths$", "representation.radial_basis.widths"),
)
_SCHNET: Names = (
    *_COMMON,
    *_GAUSSIANS,
    (r"^interactions\.", "representation.interactions."),
    (r"\.inward\.", ".in2f."),
    (r"\.convolution\.filters\.layers\.", ".filter_network."),
    (r"\.outward\.layers\.", ".f2out."),
)
_PAINN: Names = (
    *_COMMON,
    *_GAUSSIANS,
    (r"^filters\.", "representation.filter_net."),
    (r"^messages\.(\d+)\.phi\.layers\.", r"representation.interactions.\1.interatomic_context_net."),
    (r"^updates\.(\d+)\.mix\.", r"representation.mixing.\1.mu_channel_mix."),
    (r"^updates\.(\d+)\.gates\.layers\.", r"representation.mixing.\1.intraatomic_context_net."),
)
_SO3NET: Names = (
    *_COMMON,
    (r"^basis\.frequencies$", "representation.radial_basis.freqs"),
    (r"^interactions\.(\d+)\.convolution\.filters\.", r"representation.so3convs.\1.filternet."),
    (r"^interactions\.(\d+)\.mix(\d)\.", r"representation.mixings\2.\1."),
    (r"^interactions\.(\d+)\.gates\.", r"representation.gatings.\1.scaling."),
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
    fill(model, weights, _SCHNET, model.elements)
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
    check_options(options, {"rbf": "gaussian", "activation": "silu"}, "PaiNN")
    changes = {name: options[name] for name in ("shared_filters", "epsilon") if name in options}
    model = PaiNN(PaiNNConfig.parse(_common(options) | changes | {"dipole": dipole}), elements).double()
    fill(model, weights, _PAINN, model.elements)
    return model


def read_so3net(
    options: Mapping[str, object], weights: Mapping[str, Tensor], elements: Iterable[int], dipole: bool = False
) -> SO3Net:
    """SO3net in float64, in the program's own units; as `read_painn`, with lmax among the options."""
    check_options(options, {"rbf": "bessel", "shared_interactions": False}, "SO3Net")
    config = SO3NetConfig.parse(_common(options) | {"l_max": options["lmax"], "dipole": dipole})
    model = SO3Net(config, elements).double()
    weights = {name: value.double() for name, value in weights.items()}
    for name in weights:
        if name.endswith("filternet.weight"):  # its Bessel functions have no prefactor
            weights[name] = weights[name] / model.basis.prefactor
    fill(model, weights, _SO3NET, model.elements)
    return model


def _common(options: Mapping[str, object]) -> dict[str, object]:
    return {
        "cutoff": options["cutoff"],
        "channels": options["n_atom_basis"],
        "layers": options["n_interactions"],
        "basis": options["n_rbf"],
    }
