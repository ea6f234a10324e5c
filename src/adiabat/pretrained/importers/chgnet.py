"""chgnet (doi:10.1038/s42256-023-00716-3): parameters of CHGNet under the program's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adiabat.architectures.invariant.chgnet import CHGNet, CHGNetConfig
from adiabat.elements import symbols
from adiabat.errors import CheckpointError
from adiabat.potential import Referenced
from adiabat.pretrained.kit import Imported, Kit

# options of the program that the page has with one value alone
_FIXED = {
    "update_bond": True,
    "update_angle": True,
    "angle_layer_hidden_dim": 0,
    "read_out": "ave",
    "mlp_first": True,
    "non_linearity": "silu",
    "conv_norm": None,
}
_RENAMED = {
    "start.weight": "bond_embedding.weight",
    "angle_start.weight": "angle_embedding.weight",
    "weights.weight": "bond_weights_ag.weight",
    "bond_weights.weight": "bond_weights_bg.weight",
    "moment.weight": "site_wise.weight",
    "moment.bias": "site_wise.bias",
    "head_norm.weight": "readout_norm.weight",
    "head_norm.bias": "readout_norm.bias",
    "angular.frequencies": "angle_basis_expansion.fourier_expansion.frequencies",
}
_LAYERS = {
    "atoms": ("atom_conv_layers", "twoBody_atom"),
    "bonds": ("bond_conv_layers", "twoBody_bond"),
    "angles": ("angle_layers", "twoBody_bond"),
}


def from_kit(kit: Kit) -> Imported:
    """The kit's model in float64, its composition energies added, for the elements that it names or for all."""
    return Imported({"": read_chgnet(kit.meta["hyperparameters"], kit.weights(), kit.meta.get("elements"))})


def read_chgnet(
    options: Mapping[str, Any], weights: Mapping[str, Tensor], elements: Iterable[int] | None = None
) -> Referenced:
    """CHGNet in float64.

    Args:
        options: the arguments that the program's CHGNet was made with.
        weights: its state.
        elements: atomic numbers whose rows are kept; None for all of the embedding, hydrogen first.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape; an
            element without a row.
    """
    for name, known in _FIXED.items():
        if options.get(name, known) != known:
            raise CheckpointError(
                f"{name} '{options[name]}' is not an option of the page CHGNet, which has '{known}' alone."
            )
    source = _Source(weights)
    config = _config(options, "bond_conv_layers.0.mlp_out.layers.1.bias" in source)
    rows = source["atom_embedding.embedding.weight"].shape[0]
    known = range(1, rows + 1)
    numbers = sorted(set(known if elements is None else elements))
    missing = [z for z in numbers if z not in known]
    if missing:
        raise CheckpointError(f"the weights have no rows for {', '.join(symbols(missing))}.")
    model = CHGNet(config, numbers).double()
    arrays = {}
    for name, tensor in model.state_dict().items():
        arrays[name] = _find(name, source, config, numbers)
        if arrays[name].shape != tensor.shape:
            raise CheckpointError(
                f"the weights give {name} the shape {tuple(arrays[name].shape)}, the options {tuple(tensor.shape)}:"
                " they do not belong together."
            )
    model.load_state_dict(arrays)
    energies = source["composition_model.fc.weight"].reshape(-1)
    return Referenced(model, {z: float(energies[z - 1]) for z in numbers})


def _config(options: Mapping[str, Any], bias: bool) -> CHGNetConfig:
    widths = {options[f"{kind}_fea_dim"] for kind in ("atom", "bond", "angle")}
    hidden = {options[f"{kind}_conv_hidden_dim"] for kind in ("atom", "bond")}
    if len(widths) > 1 or len(hidden) > 1:
        raise CheckpointError(
            f"features of widths {sorted(widths)} with hidden layers of {sorted(hidden)} nodes are not options of the"
            " page CHGNet, where atoms, bonds and angles have the same."
        )
    norms = {options.get(name, "layer") for name in ("gMLP_norm", "readout_norm")}
    if len(norms) > 1 or norms - {"layer", None}:
        raise CheckpointError(
            f"gMLP_norm '{options.get('gMLP_norm')}' with readout_norm '{options.get('readout_norm')}' is not of the"
            " page CHGNet, where both are 'layer' or none."
        )
    head = options["mlp_hidden_dims"]
    return CHGNetConfig.parse(
        {
            "cutoff": options["atom_graph_cutoff"],
            "bond_cutoff": options["bond_graph_cutoff"],
            "channels": widths.pop(),
            "layers": options["n_conv"],
            "basis": options["num_radial"],
            "angular": (options["num_angular"] - 1) // 2,
            "power": options["cutoff_coeff"],
            "hidden": hidden.pop(),
            "head": (head,) if isinstance(head, int) else tuple(head),
            "bias": bias,
            "normalize": norms.pop() == "layer",
        }
    )


class _Source(dict[str, Tensor]):
    """The program's tensors, in float64; a missing one is named."""

    def __init__(self, weights: Mapping[str, Tensor]):
        super().__init__({name: value.double() for name, value in weights.items()})

    def __missing__(self, name: str) -> Tensor:
        raise CheckpointError(f"the weights have no '{name}': are they those of a CHGNet of this program?")


def _find(name: str, source: _Source, config: CHGNetConfig, numbers: Sequence[int]) -> Tensor:
    """What the page calls `name`."""
    if name in _RENAMED:
        return source[_RENAMED[name]]
    if name == "embedding.table":
        return source["atom_embedding.embedding.weight"][[z - 1 for z in numbers]]
    if name == "basis.frequencies":  # the program's are multiples of 1/r_c
        return source["bond_basis_expansion.rbf_expansion_ag.frequencies"] / config.cutoff
    if name == "bond_basis.frequencies":
        return source["bond_basis_expansion.rbf_expansion_bg.frequencies"] / config.bond_cutoff
    part, *rest = name.split(".")
    if part == "head":
        return source[f"mlp.layers.{_head_place(int(rest[1]), len(config.head))}.{rest[2]}"]
    layers, network = _LAYERS[part]
    place = f"{layers}.{rest[0]}"
    if rest[1] == "outward":
        return source[f"{place}.mlp_out.layers.1.{rest[2]}"]
    _, kind, last = rest[1:]
    both = f"{place}.{network}."
    # the program numbers the layers with their dropouts: dropout, last layer where there is no hidden one
    first, second = (0, 3) if part != "angles" else (1, 1)
    if kind == "inward":
        return torch.cat([source[f"{both}mlp_{side}.layers.{first}.{last}"] for side in ("core", "gate")])
    if kind.endswith("norm"):
        return source[f"{both}bn{1 if kind == 'core_norm' else 2}.{last}"]
    return source[f"{both}mlp_{kind}.layers.{second}.{last}"]


def _head_place(layer: int, hidden: int) -> int:
    """Linear layers and activations by turns, and a dropout before the last layer."""
    return 2 * layer + (1 if layer == hidden else 0)
