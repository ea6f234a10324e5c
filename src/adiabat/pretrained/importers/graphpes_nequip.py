"""NequIP of graph-pes: state dicts, with the irreps of each layer out of the model's printed form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import pi
from typing import cast

import torch
from ase.data import atomic_numbers
from torch import Tensor, nn

from adiabat.architectures.equivariant.nequip import InteractionBlock, NequIP, NequIPConfig
from adiabat.errors import CheckpointError
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import Irreps
from adiabat.nn.mlp import MLP
from adiabat.pretrained.importers.e3nn import (
    channels_of,
    copy,
    created_couplings,
    fill_element_linear,
    fill_linear,
    in_e3nn_order,
    matrices,
    rows_of,
    signs,
)
from adiabat.pretrained.kit import Imported, Kit

_NETWORK = "weight_generator.components.0"


def from_kit(kit: Kit) -> Imported:
    """The kit's model in float64."""
    weights = {name: value.double() for name, value in kit.weights().items()}
    elements = sorted(atomic_numbers[symbol] for symbol in kit.meta["elements"])
    return Imported({"": read_graphpes(weights, kit.meta["hyperparameters"]["repr"], elements)})


def read_graphpes(weights: Mapping[str, Tensor], text: str, elements: list[int]) -> NequIP:
    """A NequIP of graph-pes as adiabat's own, in float64.

    Args:
        weights: the program's parameters and buffers by name.
        text: what the program's `repr(model)` says.
        elements: atomic numbers the model is for.

    Raises:
        CheckpointError: the text lacks the irreps, or tensors have other shapes.
    """
    products = re.findall(r"message_tensor_product\): TensorProduct\(\S+ x (\S+) -> (\S+) \|", text)
    gates = re.findall(r"non_linearity\): Gate \(\S+ -> (\S+)\)", text)
    if not products or len(products) != len(gates):
        raise CheckpointError("the model's printed form does not tell the irreps of its layers: give repr(model).")
    network = f"layers.0.{_NETWORK}.1.linear_layers."
    hidden = Irreps.parse(gates[-2 if len(gates) > 1 else -1])
    model = NequIP(
        NequIPConfig.parse(
            {
                "cutoff": float(weights["cutoff"]),
                "layers": len(gates),
                "hidden_irreps": str(hidden),
                "l_max": Irreps.parse(products[0][0]).l_max,
                "radial": "own",
                "radial_functions": weights[network + "0.weight"].shape[1],
                "radial_network": [weights[network + f"{k}.weight"].shape[0] for k in range(2)],
                "average_neighbors": 1.0,
                "self_connection": "elements" if "TensorProductSelfInteraction" in text else "linear",
            }
        ),
        elements,
    ).double()
    numbers = torch.tensor(elements)
    with torch.no_grad():
        copy(model.embedding.table, weights["initial_node_embedding._embeddings"][numbers])
        copy(model.readout.layers[0], weights["energy_readout.weight"][:, None])
        copy(model.scale, weights["scaler.per_element_scaling"][numbers, 0])
        before = Irreps.parse(f"{model.embedding.table.shape[1]}x0e")
        for place, (module, (harmonics, made)) in enumerate(zip(model.layers, products, strict=True)):
            layer, start = cast(InteractionBlock, module), f"layers.{place}."
            own = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
            _fill_layer(layer, own, before, Irreps.parse(harmonics), Irreps.parse(made), numbers, weights)
            # the program's harmonics are smaller by √4π, and it divides sums by the scale itself
            model.average[place] = 4 * pi * own.get("aggregation.scale", torch.ones(())) ** 2
            before = layer.gate.irreps_out
    return model


def _fill_layer(
    layer: InteractionBlock,
    own: Mapping[str, Tensor],
    before: Irreps,
    harmonics: Irreps,
    made: Irreps,
    numbers: Tensor,
    weights: Mapping[str, Tensor],
) -> None:
    inner = layer.gate.irreps_in
    paths = created_couplings(before, harmonics, made)
    columns = channels_of(layer.convolution.couplings(), paths)
    _, basis, network = cast(nn.Sequential, layer.radial)
    copy(cast(Tensor, basis.frequencies), own[f"{_NETWORK}.0.frequencies"])
    _fill_network(cast(MLP, network), own, columns, signs(layer.convolution, own, "message_tensor_product"))
    fill_linear(layer.up, matrices(own["pre_message_linear.weight"], before, before))
    found = matrices(own["post_message_linear.weight"], in_e3nn_order(made), inner)
    fill_linear(layer.down, found, rows_of(layer.convolution, paths))
    if isinstance(layer.connection, ElementLinear):
        one_hot = torch.eye(len(numbers), dtype=torch.float64)
        attributes = weights["Z_embedding._embeddings"][numbers] if "Z_embedding._embeddings" in weights else one_hot
        flat = own["self_interaction.tensor_product.weight"]
        fill_element_linear(layer.connection, matrices(flat, before, inner, attributes.shape[1]), attributes)
    else:
        found = matrices(own["self_interaction.linear.weight"], before, inner)
        fill_linear(cast(EquivariantLinear, layer.connection), found)


def _fill_network(network: MLP, own: Mapping[str, Tensor], columns: Tensor, signs: Tensor) -> None:
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    for place, ours in enumerate(layers):
        name = f"{_NETWORK}.1.linear_layers.{place}."
        weight, bias = own[name + "weight"], own[name + "bias"]
        if place == len(layers) - 1:
            weight, bias = weight[columns] * signs[:, None], bias[columns] * signs
        copy(ours.weight, weight)
        copy(ours.bias, bias)
