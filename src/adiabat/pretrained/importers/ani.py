"""TorchANI (doi:10.1021/acs.jcim.0c00451): parameters of ANI models under the program's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adiabat.architectures.local.ani import ANI, ANIConfig
from adiabat.elements import number
from adiabat.errors import CheckpointError
from adiabat.potential import Referenced
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import HARTREE

_AEV = "potentials.nnp.aev_computer."
_MEMBER = "potentials.nnp.neural_networks.members.{}.atomics.{}."


def from_kit(kit: Kit) -> Imported:
    """The kit's ensemble with its self energies."""
    return Imported({"": read_ani(kit.meta, kit.weights())}, energy_unit="Hartree")


def read_ani(meta: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Referenced:
    """The ensemble in float64, eV and Å.

    Args:
        meta: `elements` in the program's order, `cutoff` with `radial` and `angular` (Å); `activation` if it is
            not CELU.
        weights: the program's parameters and buffers, energies in Hartree.

    Raises:
        CheckpointError: a parameter is missing or has another shape.
    """
    names: Sequence[str] = meta["elements"]
    members = 0
    while any(key.startswith(_MEMBER.format(members, names[0])) for key in weights):
        members += 1
    if not members:
        raise CheckpointError(f"the weights have no '{_MEMBER.format(0, names[0])}*': is it an ANI model?")
    config = ANIConfig.parse(
        {
            "aev": _terms(meta["cutoff"], weights),
            "hidden": {name: _hidden(weights, name) for name in names},
            "activation": meta.get("activation", "celu"),
            "members": members,
        }
    )
    model = ANI(config, [number(name) for name in names]).double()
    order = _columns(names, model)
    with torch.no_grad():
        for member, networks in enumerate(model.members):
            for name in names:
                layers = networks.layers[model.elements.index(number(name))]  # type: ignore[index, union-attr]
                _fill(layers, weights, _MEMBER.format(member, name), order)  # type: ignore[arg-type]
    energies = _get(weights, "energy_shifter.self_energies").double() * HARTREE
    return Referenced(model, dict(zip(map(number, names), energies.tolist(), strict=True)), HARTREE)


def _get(weights: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in weights:
        raise CheckpointError(f"the weights have no '{name}': is it an ANI model with these elements?")
    return weights[name]


def _terms(cutoff: Mapping[str, float], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Options of the descriptor."""
    found: dict[str, Any] = {"cutoff": cutoff["radial"], "angular_cutoff": cutoff["angular"]}
    for own, theirs in (
        ("radial_eta", "radial.eta"),
        ("radial_shifts", "radial.shifts"),
        ("angular_eta", "angular.eta"),
        ("zeta", "angular.zeta"),
        ("angular_shifts", "angular.shifts"),
        ("angles", "angular.sections"),
    ):
        found[own] = _get(weights, _AEV + theirs).double().flatten().tolist()
    return found


def _hidden(weights: Mapping[str, Tensor], name: str) -> list[int]:
    start, widths = _MEMBER.format(0, name), list[int]()
    while f"{start}layers.{len(widths)}.bias" in weights:
        widths.append(len(weights[f"{start}layers.{len(widths)}.bias"]))
    return widths


def _columns(names: Sequence[str], model: ANI) -> Tensor:
    """Which of the program's features is each of ours: its blocks follow its own order of elements."""
    kinds, terms = len(names), model.descriptor
    place = [[number(n) for n in names].index(z) for z in model.elements]
    radial = torch.arange(kinds * len(terms.radial)).view(kinds, -1)
    row, column = torch.triu_indices(kinds, kinds)
    block = torch.zeros((kinds, kinds), dtype=torch.int64)
    block[row, column] = block[column, row] = torch.arange(len(row))
    ours = torch.tensor(place)
    angular = radial.numel() + torch.arange(len(row) * terms.angular).view(len(row), -1)
    return torch.cat([radial[ours].flatten(), angular[block[ours[row], ours[column]]].flatten()])


def _fill(layers: Sequence[torch.nn.Linear], weights: Mapping[str, Tensor], start: str, columns: Tensor) -> None:
    for depth, layer in enumerate(layers):
        theirs = start + ("final_layer" if depth == len(layers) - 1 else f"layers.{depth}")
        for own in ("weight", "bias"):
            value, wanted = _get(weights, f"{theirs}.{own}").double(), getattr(layer, own)
            if value.shape != wanted.shape:
                raise CheckpointError(
                    f"'{theirs}.{own}' has shape {tuple(value.shape)} where {tuple(wanted.shape)} is needed:"
                    " the parameters of the descriptor do not fit the weights."
                )
            wanted.copy_(value[:, columns] if own == "weight" and not depth else value)
