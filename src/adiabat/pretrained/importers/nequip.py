"""NequIP models as state dicts, under the names of the program's versions since 0.7."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, sqrt
from typing import Any, cast

import torch
from ase.data import atomic_numbers
from torch import Tensor

from adiabat.architectures.equivariant.nequip import InteractionBlock, NequIP, NequIPConfig
from adiabat.errors import CheckpointError
from adiabat.nn.equivariant_linear import ElementLinear
from adiabat.nn.irreps import Irreps
from adiabat.nn.normalized import SILU_FACTOR, NormalizedMLP
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
)
from adiabat.pretrained.kit import Imported, Kit


def from_kit(kit: Kit) -> Imported:
    """The kit's model in float64, its shifts as reference energies."""
    weights = {name: value.double() for name, value in kit.weights().items() if value.is_floating_point()}
    return Imported({"": read_nequip(weights, kit.meta["hyperparameters"])})


def read_nequip(weights: Mapping[str, Tensor], hyperparameters: Mapping[str, Any]) -> Referenced:
    """A model of the nequip program as adiabat's own, in float64.

    Args:
        weights: the program's parameters and buffers by name.
        hyperparameters: arguments of the program's `NequIPGNNModel`.

    Raises:
        CheckpointError: the model has parts this page does not have, or tensors of other shapes.
    """
    values = dict(hyperparameters)
    own = {name.removeprefix("model.func."): value for name, value in weights.items()}
    numbers = [atomic_numbers[name] for name in values["type_names"]]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    elements = [numbers[k] for k in order]
    model = NequIP(_config(values, own, numbers), elements).double()
    with torch.no_grad():
        _fill(model, own, torch.tensor(order))
        model.average.copy_(
            _by_element(values["avg_num_neighbors"], values["type_names"])[order].expand_as(model.average)
        )
    shifts = own.get("per_type_energy_scale_shift.shifts", torch.zeros(1)).reshape(-1).expand(len(numbers))
    return Referenced(model, {numbers[k]: float(shifts[k]) for k in order})


def _config(values: Mapping[str, Any], weights: Mapping[str, Tensor], numbers: list[int]) -> NequIPConfig:
    l_max, parity = values["l_max"], values["parity"]
    features = values["num_features"]
    features = [features] * (l_max + 1) if isinstance(features, int) else list(features)
    kinds = [(l, p) for l in range(l_max + 1) for p in ((1, -1) if parity else ((-1) ** l,))]
    pair_potential = values.get("pair_potential")
    if pair_potential and not str(pair_potential.get("_target_")).endswith("ZBL"):
        raise CheckpointError(f"the pair potential {pair_potential.get('_target_')} is not known: ZBL is.")
    depth = values.get("readout_mlp_hidden_layers_depth") or 0
    width = values.get("readout_mlp_hidden_layers_width") or features[0]
    return NequIPConfig.parse(
        {
            "cutoff": values["r_max"],
            "layers": values["num_layers"],
            "hidden_irreps": "+".join(f"{features[l]}x{l}{'e' if p == 1 else 'o'}" for l, p in kinds),
            "l_max": l_max,
            "embedding": values.get("type_embed_num_features") or features[0],
            "radial_functions": values["num_bessels"],
            "trainable_basis": bool(values.get("bessel_trainable", False)),
            "radial_network": (values["radial_mlp_width"],) * values["radial_mlp_depth"],
            "cutoff_power": values["polynomial_cutoff_p"],
            "pair_cutoffs": _pair_cutoffs(weights, numbers, values["r_max"]),
            "average_neighbors": 1.0,
            "first_self_connection": False,
            "readout": (width,) * depth,
            "repulsion": bool(pair_potential),
        }
    )


def _pair_cutoffs(weights: Mapping[str, Tensor], numbers: list[int], cutoff: float) -> list[tuple[int, int, float]]:
    """The program keeps one over each cutoff, row by row of the center's type."""
    table = weights.get("edge_norm._rmax_recip", torch.zeros(0))
    if table.numel() != len(numbers) ** 2:
        return []
    own = 1.0 / table.reshape(len(numbers), len(numbers))
    found = [(z, y, float(own[i, j])) for i, z in enumerate(numbers) for j, y in enumerate(numbers)]
    return [(z, y, min(r, cutoff)) for z, y, r in found if abs(r - cutoff) > 1e-12 * cutoff]


def _by_element(values: Any, names: list[str]) -> Tensor:
    """One number for all elements or one for each, in the order of `names`."""
    given = [values[name] for name in names] if isinstance(values, dict) else [values] * len(names)
    return torch.tensor(given, dtype=torch.float64)


def _fill(model: NequIP, weights: Mapping[str, Tensor], order: Tensor) -> None:
    cutoff = model.config.cutoff
    attributes = weights["type_embed.embed_module.weight"][order]
    copy(model.embedding.table, attributes)
    copy(model.edges.basis.frequencies, weights["bessel_encode.bessel_weights"].reshape(-1) * pi / cutoff)  # type: ignore[arg-type]
    before = Irreps.parse(f"{attributes.shape[1]}x0e")
    harmonics = Irreps.spherical(model.config.l_max)
    for place, module in enumerate(model.layers):
        layer, start = cast(InteractionBlock, module), f"layer{place}_convnet.conv."
        own = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
        inner = layer.gate.irreps_in
        paths = created_couplings(before, harmonics, inner)
        network, columns = cast(NormalizedMLP, layer.radial), channels_of(layer.convolution.couplings(), paths)
        # 2/r_c before the Bessel functions there, √(2/r_c) here
        fill_network(network, own, "edge_mlp", sqrt(2 / cutoff), columns)
        fill_linear(layer.up, matrices(own["linear_1.weight"], before, before))
        made = Irreps(tuple((sum(m for m, c in paths if c[2] == ir), ir) for _, ir in in_e3nn_order(inner)))
        fill_linear(layer.down, matrices(own["linear_2.weight"], made, inner), rows_of(layer.convolution, paths))
        if layer.connection is not None:
            found = matrices(own["sc.weight"], before, inner, attributes.shape[1])
            fill_element_linear(cast(ElementLinear, layer.connection), found, attributes)
        before = layer.gate.irreps_out
    fill_network(model.readout, weights, "per_atom_energy_readout.mlp_module")
    scales = weights.get("per_type_energy_scale_shift.scales", torch.ones(1)).reshape(-1)
    copy(model.scale, scales.expand(len(order))[order])


def fill_network(
    network: NormalizedMLP,
    weights: Mapping[str, Tensor],
    name: str,
    factor: float = 1.0,
    columns: Tensor | None = None,
) -> None:
    """A network of the program, whose SiLU is not normalized and whose later matrices have √2 instead.

    Args:
        network: ours.
        weights: the program's, with matrices `<name>.mlp.0.weight`, `<name>.mlp.2.weight` and so on.
        name: see there.
        factor: of the network's input.
        columns: where our outputs are among theirs.
    """
    for place, ours in enumerate(network.layers):
        matrix = weights[f"{name}.mlp.{2 * place}.weight"] * (sqrt(2) / SILU_FACTOR if place else factor)
        last = columns is not None and place == len(network.layers) - 1
        copy(ours, matrix[:, columns] if last else matrix)
