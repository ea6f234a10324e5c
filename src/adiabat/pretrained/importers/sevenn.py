"""SevenNet models as state dicts under the names of sevenn since 0.11, as NequIP's page."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor

from adiabat.architectures.equivariant.nequip import InteractionBlock, NequIP, NequIPConfig
from adiabat.errors import CheckpointError
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import SCALAR, Irrep, Irreps
from adiabat.nn.normalized import NormalizedMLP
from adiabat.potential import Referenced
from adiabat.pretrained.importers.e3nn import (
    channels_of,
    copy,
    created_couplings,
    fill_element_linear,
    fill_linear,
    in_e3nn_order,
    matrices,
    rows_of,
    sorted_couplings,
)
from adiabat.pretrained.kit import Imported, Kit


def from_kit(kit: Kit) -> Imported:
    """The kit's model in float64, its shifts as reference energies."""
    weights = {name: value.double() for name, value in kit.weights().items() if value.is_floating_point()}
    return Imported({"": read_sevennet(weights, kit.meta["hyperparameters"])})


def read_sevennet(weights: Mapping[str, Tensor], hyperparameters: Mapping[str, Any]) -> Referenced:
    """A model of the sevenn program as adiabat's own, in float64.

    Args:
        weights: the program's parameters and buffers by name.
        hyperparameters: the program's configuration, as its checkpoints keep it.

    Raises:
        CheckpointError: the model has parts this page does not have, or tensors of other shapes.
    """
    values = dict(hyperparameters)
    types = {int(z): int(k) for z, k in values["_type_map"].items()}
    elements = sorted(types)
    order = torch.tensor([types[z] for z in elements])
    model = NequIP(_config(values), elements).double()
    with torch.no_grad():
        _fill(model, weights, order)
    shifts = _by_element(weights["rescale_atomic_energy.shift"], order)
    return Referenced(model, dict(zip(elements, shifts.tolist(), strict=True)))


def _config(values: Mapping[str, Any]) -> NequIPConfig:
    for key, known in {
        "act_radial": "silu",
        "act_scalar": {"e": "silu", "o": "tanh"},
        "act_gate": {"e": "silu", "o": "tanh"},
        "use_bias_in_linear": False,
        "interaction_type": "nequip",
        "_normalize_sph": True,
    }.items():
        if values.get(key, known) != known:
            raise CheckpointError(f"{key} is {values[key]} in the model, and only {known} is supported.")
    if values["radial_basis"]["radial_basis_name"] != "bessel":
        raise CheckpointError(
            f"the radial basis {values['radial_basis']['radial_basis_name']} is not known: bessel is."
        )
    readout = tuple(values["readout_fcn_hidden_neurons"]) if values.get("readout_as_fcn") else ()
    if readout and values["readout_fcn_activation"] != "silu":
        raise CheckpointError(
            f"the readout's activation is {values['readout_fcn_activation']}: only silu is supported."
        )
    envelope = dict(values["cutoff_function"])
    kind = envelope["cutoff_function_name"]
    if kind not in ("XPLOR", "poly_cut"):
        raise CheckpointError(f"the cutoff function {kind} is not known: XPLOR and poly_cut are.")
    return NequIPConfig.parse(
        {
            "cutoff": values["cutoff"],
            "layers": values["num_convolution_layer"],
            "hidden_irreps": str(_hidden(values)),
            "l_max": values["lmax_edge"] if values.get("lmax_edge", -1) >= 0 else values["lmax"],
            "symmetry": "O(3)" if values["is_parity"] else "SO(3)",
            "radial_functions": values["radial_basis"].get("bessel_basis_num", 8),
            "radial_network": tuple(values["weight_nn_hidden_neurons"]),
            "cutoff_function": "xplor" if kind == "XPLOR" else "polynomial",
            "cutoff_onset": envelope["cutoff_on"] if kind == "XPLOR" else None,
            "cutoff_power": envelope.get("poly_cut_p_value", 6),
            "average_neighbors": 1.0,
            "self_connection": "linear" if values["self_connection_type"] == "linear" else "elements",
            "readout": readout,
        }
    )


def _hidden(values: Mapping[str, Any]) -> Irreps:
    """Features between layers, in e3nn's order."""
    if manual := values.get("irreps_manual"):
        first, *later = (Irreps.parse(text) for text in manual)
        if len(set(map(str, later[:-1]))) > 1 or first.count(SCALAR) != later[-1].count(SCALAR):
            raise CheckpointError(f"the irreps {', '.join(manual)} differ between layers, which is not supported.")
        return in_e3nn_order(later[0])
    l_max = values["lmax_node"] if values.get("lmax_node", -1) >= 0 else values["lmax"]
    parities = (-1, 1) if values["is_parity"] else (1,)
    kinds = [Irrep(l, p) for l in range(l_max + 1) for p in parities]
    kinds.sort(key=lambda ir: ir != SCALAR)  # scalars first, then e3nn's order
    return Irreps(tuple((int(values["channel"]), ir) for ir in kinds))


def _by_element(values: Tensor, order: Tensor) -> Tensor:
    """One number for all types or one for each, in the order of our elements."""
    return values.reshape(-1)[order] if values.numel() > 1 else values.reshape(1).expand(len(order))


def _fill(model: NequIP, weights: Mapping[str, Tensor], order: Tensor) -> None:
    config = model.config
    copy(model.edges.basis.frequencies, weights["edge_embedding.basis_function.coeffs"].reshape(-1))  # type: ignore[arg-type]
    table = weights["onehot_to_feature_x.linear.weight"].reshape(len(order), -1)
    copy(model.embedding.table, table[order] * len(order) ** -0.5)
    before = Irreps.parse(f"{table.shape[1]}x0e")
    parity = -1 if config.symmetry == "O(3)" else 1
    harmonics = Irreps(tuple((1, Irrep(l, parity**l)) for l in range(config.l_max + 1)))
    for place, module in enumerate(model.layers):
        layer, start = cast(InteractionBlock, module), f"{place}_"
        own = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
        _fill_layer(layer, own, before, harmonics, order)
        # the program divides sums by the number itself
        model.average[place] = own["convolution.denominator"].reshape(()) ** 2
        # 2/r_c before the Bessel functions there, √(2/r_c) here
        layer.radial.layers[0].mul_(sqrt(2 / config.cutoff))
        before = layer.gate.irreps_out
    if config.readout:
        _fill_network(model.readout, weights, "readout_FCN.fcn")
    else:
        hidden, energy = (weights[f"reduce_{name}.linear.weight"] for name in ("input_to_hidden", "hidden_to_energy"))
        hidden = hidden.reshape(before.count(SCALAR), -1)
        copy(model.readout.layers[0], hidden @ energy.reshape(-1, 1) * hidden.shape[1] ** -0.5)
    copy(model.scale, _by_element(weights["rescale_atomic_energy.scale"], order))


def _fill_layer(
    layer: InteractionBlock, weights: Mapping[str, Tensor], before: Irreps, harmonics: Irreps, order: Tensor
) -> None:
    inner = layer.gate.irreps_in
    paths = sorted_couplings(created_couplings(before, harmonics, inner))
    _fill_network(layer.radial, weights, "convolution.weight_nn", channels_of(layer.convolution.couplings(), paths))
    fill_linear(layer.up, matrices(weights["self_interaction_1.linear.weight"], before, before))
    made = Irreps(tuple((sum(m for m, c in paths if c[2] == ir), ir) for _, ir in in_e3nn_order(inner)))
    found = matrices(weights["self_interaction_2.linear.weight"], made, inner)
    fill_linear(layer.down, found, rows_of(layer.convolution, paths))
    if isinstance(layer.connection, ElementLinear):
        attributes = torch.eye(len(order), dtype=torch.float64)[order]
        flat = weights["self_connection_intro.fc_tensor_product.weight"]
        fill_element_linear(layer.connection, matrices(flat, before, inner, len(order)), attributes)
    else:
        flat = weights["self_connection_intro.linear.weight"]
        fill_linear(cast(EquivariantLinear, layer.connection), matrices(flat, before, inner))


def _fill_network(
    network: NormalizedMLP, weights: Mapping[str, Tensor], name: str, columns: Tensor | None = None
) -> None:
    for place, ours in enumerate(network.layers):
        matrix = weights[f"{name}.layer{place}.weight"]
        last = columns is not None and place == len(network.layers) - 1
        copy(ours, matrix[:, columns] if last else matrix)
