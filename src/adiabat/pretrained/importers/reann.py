"""EANN, REANN and EquiREANN (doi:10.1103/PhysRevLett.127.156002): parameters under the programs' names.

Names and shapes tell all options but the activation and whether a model is equivariant. Some versions of the programs
store −α and others α; both mean Gaussians that fall off, so the sign of the sum decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adiabat.architectures.invariant.reann import REANN, REANNConfig
from adiabat.architectures.local.eann import EANN, EANNConfig
from adiabat.elements import number, symbol
from adiabat.errors import CheckpointError
from adiabat.nn.residual_networks import ResidualNetworks
from adiabat.potential import Referenced
from adiabat.pretrained.importers.ace import Relabeled
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import energy_unit

_ACTIVATIONS = {"Relu_like": "silu", "Tanh_like": "inverse-root"}
_TARGETS = {"linear": ("weights", "biases"), "activation": ("alphas", "betas"), "norm": ("scales", "shifts")}


def from_kit(kit: Kit) -> Imported:
    """The kit's model with the program's constant energy of an atom, in eV."""
    options, weights = kit.meta.get("hyperparameters", {}), kit.weights()
    activation = options.get("activation", "Relu_like")
    model = read_reann(weights, kit.meta["elements"], activation, "EquiREANN" in kit.meta["program"])
    unit = kit.meta.get("energy_unit", "eV")
    constant = energy_unit(unit) * float(weights.get("nnmod.initpot", torch.zeros(1)))
    potential = Referenced(model, dict.fromkeys(model.elements, constant), energy_unit(unit))
    if "relabel" not in kit.meta:
        return Imported({"": potential}, energy_unit=unit)
    ones, _, others = kit.meta["relabel"].partition("->")  # "Cu->Ni": atoms of the former stand for the latter
    same = {z: z for z in model.elements}
    return Imported({"": Relabeled(potential, same | {number(ones): number(others)})})


def read_reann(
    weights: Mapping[str, Tensor], order: Sequence[str], activation: str = "Relu_like", equivariant: bool = False
) -> EANN | REANN:
    """EANN, where orbitals are not combined, or REANN, in float64.

    Args:
        weights: state of the program's PES.
        order: element symbols in the order of the rows.
        activation: Relu_like or Tanh_like.
        equivariant: whether it is a model of EquiREANN.

    Raises:
        CheckpointError: an unknown activation; a parameter is missing or has another shape.
    """
    if activation not in _ACTIVATIONS:
        raise CheckpointError(f"activation '{activation}' is none of {', '.join(_ACTIVATIONS)}, which the page has.")
    centers, levels = _get(weights, "density.rs"), _get(weights, "density.index_para")
    common: dict[str, Any] = {
        "cutoff": float(_get(weights, "density.cutoff")),
        "waves": centers.shape[1],
        "l_max": int(levels.max()),
        "network": _options(weights, "nnmod", order[0], activation),
    }
    elements = [number(name) for name in order]
    if "density.hyper" in weights:
        model: EANN | REANN = REANN(_reann(weights, order[0], activation, common, equivariant), elements).double()
    else:
        model = EANN(EANNConfig.parse(common), elements).double()
    rows = [elements.index(z) for z in model.elements]
    alpha = _get(weights, "density.inta")
    density = model.density
    arrays = {
        density.centers: centers,
        density.exponents: -alpha if alpha.sum() < 0 else alpha,
        density.coefficients: _get(weights, "density.params"),
    }
    with torch.no_grad():
        for own, values in arrays.items():
            _copy(own, values[rows], "density")
        names = [symbol(z) for z in model.elements]
        _fill(model.networks, weights, "nnmod", names)
        if isinstance(model, REANN):
            hyper = weights["density.hyper"]
            _copy(model.mixing, hyper if hyper.dim() == 4 else hyper[None], "density.hyper")
            for t, message in enumerate(model.messages):
                _fill(message, weights, f"density.ocmod.memssage_{t}", names)  # type: ignore[arg-type]
    return model


def _reann(
    weights: Mapping[str, Tensor], first: str, activation: str, common: Mapping[str, Any], equivariant: bool
) -> REANNConfig:
    passes = len({name.split(".")[2] for name in weights if name.startswith("density.ocmod.")})
    hyper = weights["density.hyper"]
    options = {
        "orbitals": hyper.shape[-1],
        "passes": passes,
        "shared_mixing": hyper.dim() == 3,
        "equivariant": equivariant,
    }
    if passes:
        options["message"] = _options(weights, "density.ocmod.memssage_0", first, activation)
    return REANNConfig.parse({**common, **options})


@dataclass(frozen=True)
class _Part:
    """One module of a network with parameters: linear, activation or norm."""

    kind: str
    in_block: bool
    parameters: tuple[Tensor, Tensor]


def _parts(weights: Mapping[str, Tensor], net: str, element: str) -> list[_Part]:
    """The modules of an element's network in order."""
    start = f"{net}.elemental_nets.{element}."
    found: dict[tuple[int, ...], dict[str, Tensor]] = {}
    for name, value in weights.items():
        if name.startswith(start):
            *place, last = name.removeprefix(start).split(".")
            found.setdefault(tuple(int(p) for p in place if p.isdigit()), {})[last] = value.double()
    if not found:
        raise CheckpointError(f"the weights have no network '{start[:-1]}': is it a model of REANN or EANN?")
    parts = []
    for place in sorted(found):
        own = found[place]
        if "alpha" in own:
            parts.append(_Part("activation", len(place) > 1, (own["alpha"][0], own["beta"][0])))
        elif own["weight"].dim() == 1:
            parts.append(_Part("norm", len(place) > 1, (own["weight"], own["bias"])))
        else:
            parts.append(_Part("linear", len(place) > 1, (own["weight"].T, own["bias"])))
    return parts


def _options(weights: Mapping[str, Tensor], net: str, element: str, activation: str) -> dict[str, Any]:
    """What the modules of a network tell of its options."""
    parts = _parts(weights, net, element)
    kinds = [part.kind for part in parts]
    linear = [part for part in parts if part.kind == "linear"]
    widths = [part.parameters[0].shape[1] for part in linear[:-1]]
    inside = sum(part.in_block for part in linear)
    blocks = 0
    if inside:  # each block leads back to the first width; it cannot be told from the widths if all are equal
        places = {
            name.split(".resblock.")[0] for name in weights if name.startswith(f"{net}.") and "resblock" in name
        }
        blocks = len({place for place in places if f".{element}." in f"{place}."})
        widths = widths[: inside // blocks]
    normalization = "none"
    if "norm" in kinds:
        normalization = "before" if kinds.index("norm") < kinds.index("activation") else "after"
    return {
        "hidden": widths,
        "blocks": blocks,
        "activation": _ACTIVATIONS[activation],
        "normalization": normalization,
    }


def _fill(networks: ResidualNetworks, weights: Mapping[str, Tensor], net: str, names: Sequence[str]) -> None:
    """Copies every element's parameters to its row."""
    for row, name in enumerate(names):
        parts = _parts(weights, net, name)
        for kind, targets in _TARGETS.items():
            given = [part.parameters for part in parts if part.kind == kind]
            for place, target in enumerate(targets):
                own = getattr(networks, target)
                if len(own) != len(given):
                    raise CheckpointError(f"{net} has {len(given)} modules of {name} where {len(own)} are needed.")
                for parameter, values in zip(own, given, strict=True):
                    _copy(parameter[row], values[place], f"{net} of {name}")


def _copy(own: Tensor, values: Tensor, name: str) -> None:
    if own.shape != values.shape:
        raise CheckpointError(f"{name} has shape {tuple(values.shape)} where {tuple(own.shape)} is needed.")
    own.copy_(values)


def _get(weights: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in weights:
        raise CheckpointError(f"the weights have no '{name}': is it a model of REANN or EANN?")
    value = weights[name]
    return value.double() if value.is_floating_point() else value
