"""matgl (doi:10.1038/s41524-025-01742-y): parameters of its models under the program's names.

Its releases before 4 added the message of an edge from i to j, made of [v_i, v_j, e_ij], to atom j; 4.1 adds it to
atom i. Elements alone do not show the difference, compounds do: the published weights of M3GNet, MEGNet and TensorNet
were trained the first way, and only so give their own published lattice constants (NbN 4.4478 Å; the other way 4.445
Å) and energies (MgO -5.95 eV/atom, as in the Materials Project; the other way -2.1 eV/atom). The M3GNets of 2025 were
too: forces on 3BPA (ωB97X) are wrong by 0.08 eV/Å, the other way by 6; MgO has a lattice constant of 4.26 Å (PBE) and
4.19 Å (r2SCAN), the other way none near. Those releases also took a bond's place among those of the three-body cutoff
for its place among all, which is not done here: it changes energies by up to 0.1 meV/atom and forces by up to 0.001
eV/Å, of the model of Na-B-H 0.7 and 0.03. What a kit of 4.1 holds is read the way of 4.1, for its numbers; a file
published by matgl, the way it was trained (`meta["messages"] == "neighbor"`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from adiabat.architectures.equivariant.so3net import SO3Net, SO3NetConfig
from adiabat.architectures.equivariant.tensornet import TensorNet, TensorNetConfig
from adiabat.architectures.invariant.m3gnet import M3GNet, M3GNetConfig
from adiabat.architectures.invariant.megnet import MEGNet, MEGNetConfig
from adiabat.elements import number
from adiabat.errors import CheckpointError
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.importers import tensornet
from adiabat.pretrained.importers.named_weights import Names, check_options, fill
from adiabat.pretrained.kit import Imported, Kit

Ends = Literal["center", "neighbor"]
# the program numbers a network's layers and activations together
_LAYERS: Names = (
    (r"\.values\.(\d+)\.", lambda m: f".layers.{2 * int(m[1])}."),
    (r"\.gates\.(\d+)\.", lambda m: f".gates.{2 * int(m[1])}."),
)
_M3GNET: Names = (
    (r"^embedding\.table$", "embedding.layer_node_embedding.weight"),
    (r"^first\.", "embedding.layer_edge_embedding.layers.0."),
    (r"^three_body\.(\d+)\.gate\.", r"three_body_interactions.\1.update_network_atom.layers.0."),
    (r"^three_body\.(\d+)\.update\.", r"three_body_interactions.\1.update_network_bond."),
    (r"^convolutions\.(\d+)\.bonds\.", r"graph_layers.\1.conv.edge_update_func."),
    (r"^convolutions\.(\d+)\.atoms\.", r"graph_layers.\1.conv.node_update_func."),
    (r"^convolutions\.(\d+)\.bond_weights\.", r"graph_layers.\1.conv.edge_weight_func."),
    (r"^convolutions\.(\d+)\.atom_weights\.", r"graph_layers.\1.conv.node_weight_func."),
    (r"^head\.", "final_layer.gated."),
    *_LAYERS,
)
_TENSORNET: Names = (
    *tensornet.NAMES,
    (r"^head\.", "final_layer.gated."),
    (r"^basis\.centers$", "bond_expansion.rbf.centers"),
    (r"^basis\.widths$", "bond_expansion.rbf.widths"),
    *_LAYERS,
)
_MEGNET: Names = (
    (r"^embedding\.table$", "embedding.layer_node_embedding.weight"),
    (r"^basis\.", "bond_expansion.rbf."),
    (r"^encode_atoms\.", "node_encoder."),
    (r"^encode_bonds\.", "edge_encoder."),
    (r"^encode_state\.", "state_encoder."),
    (r"^head\.", "output_proj."),
    (r"^atom_summary\.network\.(.*)$", r"node_s2s.lstm.\1_l0"),
    (r"^bond_summary\.network\.(.*)$", r"edge_s2s.lstm.\1_l0"),
    (r"\.before\.0\.", ".node_func."),
    (r"\.before\.1\.", ".edge_func."),
    (r"\.before\.2\.", ".state_func."),
    (r"\.atoms\.", ".conv.node_func."),
    (r"\.bonds\.", ".conv.edge_func."),
    (r"\.state\.", ".conv.state_func."),
    (r"\.layers\.(\d+)\.", lambda m: f".layers.{2 * int(m[1])}."),
)

_SO3NET: Names = (
    (r"^embedding\.table$", "embedding.weight"),
    (r"^basis\.frequencies$", "radial_basis.frequencies"),
    (r"^interactions\.(\d+)\.convolution\.filters\.", r"so3convs.\1.filternet.layers.0."),
    (r"^interactions\.(\d+)\.mix(\d)\.", r"mixings\2.\1."),
    (r"^interactions\.(\d+)\.gates\.", r"gatings.\1.scaling."),
    (r"^head\.", "final_layer.gated."),
    *_LAYERS,
)


def from_kit(kit: Kit) -> Imported:
    """The kit's model, with the program's scale and reference energies."""
    name = kit.meta["class"]
    if name not in _READERS:
        raise CheckpointError(f"matgl's {name} has no page here: those that have are {', '.join(sorted(_READERS))}.")
    return _READERS[name](kit)


def read_m3gnet(
    options: Mapping[str, Any], weights: Mapping[str, Tensor], order: Sequence[str], messages: Ends = "center"
) -> M3GNet:
    """M3GNet in float64, in the program's own units.

    Args:
        options: arguments of the program's class.
        weights: state of its M3GNet.
        order: element symbols in the order of its embedding's rows.
        messages: the end of an edge that got its message in training.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape.
    """
    known = {
        "rbf_type": "SphericalBessel",
        "is_intensive": False,
        "readout_type": "weighted_atom",
        "ntargets": 1,
        "use_phi": False,
        "include_state": False,
        "activation_type": "swish",
        "dim_edge_embedding": options["dim_node_embedding"],
    }
    check_options(options, known, "M3GNet")
    smooth = options.get("use_smooth", False)
    config = M3GNetConfig(
        cutoff=options["cutoff"],
        three_body_cutoff=options["threebody_cutoff"],
        channels=options["dim_node_embedding"],
        layers=options["nblocks"],
        hidden=options["units"],
        basis=options["max_n"],
        degrees=options["max_l"],
        depth=3,
        radial="smooth" if smooth else "bessel",
        angular="smooth" if smooth else "bessel",
        messages=messages,
    )
    model = M3GNet(config, map(number, order)).double()
    fill(model, weights, _M3GNET, _rows(model, order))
    return model


def read_tensornet(
    options: Mapping[str, Any], weights: Mapping[str, Tensor], order: Sequence[str], messages: Ends = "center"
) -> TensorNet:
    """TensorNet in float64, in the program's own units; as `read_m3gnet`."""
    known = {
        "is_intensive": False, "readout_type": "weighted_atom", "ntargets": 1, "include_state": False,
        "activation_type": "swish", "use_warp": None,
    }  # fmt: skip
    check_options(options, known, "TensorNet")
    smooth = options["rbf_type"] == "SphericalBessel"
    check_options(options, {"use_smooth": True} if smooth else {"rbf_type": "Gaussian"}, "TensorNet")
    config = TensorNetConfig(
        cutoff=options["cutoff"],
        channels=options["units"],
        layers=options["nblocks"],
        basis=options["max_n"] if smooth else options["num_rbf"],
        radial="smooth-bessel" if smooth else "gaussian",
        damped_basis=False,
        self_neighbor=False,
        charge_scale=0.0,
        group=options["equivariance_invariance_group"],
        head="gated",
    )
    model = TensorNet(config, map(number, order)).double()
    bare = {name.removeprefix("model."): value.double() for name, value in weights.items()}
    # exp(−width (r − c)²)
    bare["bond_expansion.rbf.widths"] = torch.full((config.basis,), (2 * options["width"]) ** -0.5)
    fill(model, tensornet.in_layout(bare, parts_last=True), _TENSORNET, _rows(model, order))
    if messages == "neighbor":
        _swap_ends(model.tensors.pair)
    return model


def read_megnet(
    options: Mapping[str, Any], weights: Mapping[str, Tensor], order: Sequence[str], messages: Ends = "center"
) -> MEGNet:
    """MEGNet in float64, in the program's own units, without its mean and standard deviation; as `read_m3gnet`."""
    conv, encoder = options["hidden_layer_sizes_conv"], options["hidden_layer_sizes_input"]
    known = {
        "dim_state_embedding": 2,
        "ntypes_state": None,
        "nlayers_set2set": 1,
        "activation_type": "softplus2",
        "is_classification": False,
        "include_state": True,
        "hidden_layer_sizes_input": [*encoder[:-1], conv[-1]],
    }
    check_options(options, known, "MEGNet")
    config = MEGNetConfig(
        cutoff=options["cutoff"],
        basis=options["dim_edge_embedding"],
        width=(2.0 * options["gauss_width"]) ** -0.5,
        element_channels=options["dim_node_embedding"],
        channels=conv[-1],
        layers=options["nblocks"],
        encoder=tuple(encoder[:-1]),
        hidden=tuple(conv[:-1]),
        head=tuple(options["hidden_layer_sizes_output"]),
        questions=options["niters_set2set"],
    )
    model = MEGNet(config, map(number, order)).double()
    fill(model, dict(weights) | {"bond_expansion.rbf.widths": model.basis.widths}, _MEGNET, _rows(model, order))
    if messages == "neighbor":
        for block in model.blocks:
            _swap_ends(block.bonds.layers[0], 2 * config.channels)  # type: ignore[index, union-attr]
    return model


def _swap_ends(layer: nn.Linear, columns: int | None = None) -> None:
    """Exchanges what a layer takes from either end of a pair, its first `columns` inputs: all of them if None."""
    width = layer.in_features if columns is None else columns
    with torch.no_grad():
        first, second = layer.weight[:, :width].clone().chunk(2, dim=1)
        layer.weight[:, :width] = torch.cat([second, first], dim=1)


def read_so3net(options: Mapping[str, Any], weights: Mapping[str, Tensor], order: Sequence[str]) -> SO3Net:
    """SO3net in float64, in the program's own units; as `read_m3gnet`."""
    known = {
        "target_property": "atomwise", "is_intensive": False, "readout_type": "weighted_atom", "nlayers_readout": 2,
        "ntargets": 1, "include_state": False, "activation_type": "swish", "rbf_learnable": False,
        "dim_node_embedding": options["units"], "use_vector_representation": False,
    }  # fmt: skip
    check_options(options, known, "SO3Net")
    config = SO3NetConfig(
        cutoff=options["cutoff"],
        channels=options["units"],
        layers=options["nblocks"],
        l_max=options["lmax"],
        basis=options["nmax"],
        envelope="polynomial",
        head="gated",
    )
    model = SO3Net(config, map(number, order)).double()
    bare = {name.removeprefix("model."): value for name, value in weights.items()}
    frequencies = bare["radial_basis.frequencies"].double() / config.cutoff  # the program's are of r/r_c
    fill(model, bare | {"radial_basis.frequencies": frequencies}, _SO3NET, _rows(model, order))
    return model


def referenced(
    model: Potential, weights: Mapping[str, Tensor], order: Sequence[str], mean: float = 0.0, std: float = 1.0
) -> Referenced:
    """The model times the program's data_std, plus its reference energies; CheckpointError if there is a mean."""
    mean, std = (float(weights.get(name, value)) for name, value in (("data_mean", mean), ("data_std", std)))
    if mean != 0.0:
        raise CheckpointError(
            f"data_mean is {mean} eV once a structure, whatever its size, where the page has reference energies of"
            " atoms alone: shift the model's element_refs instead."
        )
    offsets = weights.get("element_refs.property_offset")
    values = [0.0] * len(order) if offsets is None else offsets.double().tolist()
    return Referenced(model, {number(z): e for z, e in zip(order, values, strict=True)}, std)


def _rows(model: Potential, order: Sequence[str]) -> list[int]:
    """Where the program's tables, whose rows are in `order`, have the model's elements."""
    rows = {number(name): row for row, name in enumerate(order)}
    return [rows[z] for z in model.elements]


def _m3gnet(kit: Kit) -> Imported:
    order, weights = kit.meta["element_order"], kit.weights()
    model = read_m3gnet(kit.meta["hyperparameters"], weights, order, kit.meta.get("messages", "center"))
    return Imported({"": referenced(model, weights, order)})


def _tensornet(kit: Kit) -> Imported:
    order, weights = kit.meta["element_order"], kit.weights()
    model = read_tensornet(kit.meta["hyperparameters"], weights, order, kit.meta.get("messages", "center"))
    return Imported({"": referenced(model, weights, order)})


def _megnet(kit: Kit) -> Imported:
    order = kit.meta["element_order"]
    model = read_megnet(kit.meta["hyperparameters"], kit.weights(), order, kit.meta.get("messages", "center"))
    # the program's mean and standard deviation are of the energy per atom
    reference = dict.fromkeys(model.elements, float(kit.meta["target_mean"]))
    return Imported({"": Referenced(model, reference, float(kit.meta["target_std"]))}, per_atom=True)


def _so3net(kit: Kit) -> Imported:
    order, weights = kit.meta["element_order"], kit.weights()
    model = read_so3net(kit.meta["hyperparameters"], weights, order)
    return Imported({"": referenced(model, weights, order)})


# class in the program -> what reads a kit of it
_READERS: Mapping[str, Callable[[Kit], Imported]] = {
    "SO3Net": _so3net,
    "TensorNet": _tensornet,
    "M3GNet": _m3gnet,
    "MEGNet": _megnet,
}
