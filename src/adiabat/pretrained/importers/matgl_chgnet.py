"""matgl's CHGNet (doi:10.1038/s41524-025-01742-y): its parameters, whose inputs stand in another order.

The message of an edge goes to the same end in all releases, unlike M3GNet's (`pretrained.importers.matgl`): files
that matgl published and kits of 4.1 are read alike. The program's former backend (DGL), which trained the published
models, names layers otherwise; both names are read. It also has another angle where an atom is bonded to its own
image: with the opposite bond. That is not done here, nor in 4.1, because a crystal would get another energy than its
supercell; models with the published options and random weights differ by 2e-5 to 1.4e-4 eV in a cell of FeO with two
such bonds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adiabat.architectures.invariant.chgnet import CHGNet, CHGNetConfig
from adiabat.elements import number, symbols
from adiabat.errors import CheckpointError
from adiabat.potential import Referenced
from adiabat.pretrained.kit import Imported, Kit

# options of the program that the page has with one value alone
_FIXED: Mapping[str, Any] = {
    "dim_state_embedding": None,
    "non_linear_bond_embedding": False,
    "non_linear_angle_embedding": False,
    "shared_bond_weights": "both",
    "layer_bond_weights": None,
    "final_mlp_type": "mlp",
    "activation_type": "swish",
    "pooling_operation": "sum",
    "is_intensive": False,
    "readout_field": "atom_feat",
}
_RENAMED = {
    "embedding.table": "atom_embedding.weight",
    "angular.frequencies": "angle_expansion.frequencies",
    "start.weight": "bond_embedding.layers.0.weight",
    "weights.weight": "atom_bond_weights.weight",
    "bond_weights.weight": "threebody_bond_weights.weight",
    "pair_weights.weight": "bond_bond_weights.weight",
    "moment.weight": "sitewise_readout.weight",
    "moment.bias": "sitewise_readout.bias",
}
# layers of the page: the program's block, network, and which of its inputs is each of ours
_LAYERS: Mapping[str, tuple[str, str, Sequence[int]]] = {
    "atoms": ("atom_graph_layers", "node_update_func", (2, 1, 0)),
    "pairs": ("atom_graph_layers", "edge_update_func", (2, 1, 0)),
    "bonds": ("bond_graph_layers", "node_update_func", (3, 0, 1, 2)),
    "angles": ("bond_graph_layers", "edge_update_func", (3, 0, 1, 2)),
}
_NORMS = {"atom_norms": "atom_norm", "pair_norms": "bond_norm"}
# names of the former backend: value and gate, and their normalizations
_NETWORK = re.compile(r"(?<=_func\.)(layers|gates)\.(norm_)?layers\.")


def from_kit(kit: Kit) -> Imported:
    """The kit's model in float64, its element energies added, for the elements that it names or for all."""
    options = kit.meta["hyperparameters"]
    elements = [number(symbol) for symbol in kit.meta["element_order"]]
    return Imported({"": read_chgnet(options, kit.weights(), elements, kit.meta.get("elements"))})


def read_chgnet(
    options: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    elements: Sequence[int],
    chosen: Iterable[int] | None = None,
) -> Referenced:
    """CHGNet with matgl's conventions, in float64.

    Args:
        options: arguments that the program's CHGNet was made with.
        weights: state of its Potential.
        elements: atomic numbers in the order of its embedding.
        chosen: those whose rows are kept; None for all.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape; an
            element without a row.
    """
    for name, known in _FIXED.items():
        if options.get(name, known) != known:
            raise CheckpointError(f"{name} '{options[name]}' is not an option of the page CHGNet: {known} is.")
    if (normalization := options.get("normalization")) not in (None, "layer"):
        raise CheckpointError(
            f"normalization '{normalization}' is not an option of the page CHGNet: None or layer is."
        )
    if normalization and options.get("normalize_hidden"):
        raise CheckpointError(
            "normalize_hidden is not an option of the page CHGNet, which normalizes ends of networks."
        )
    weights = {_present(name): value for name, value in weights.items()}
    if float(weights["data_mean"]) != 0.0:
        raise CheckpointError(f"data_mean {float(weights['data_mean'])} of each system cannot be kept: it is not 0.")
    rows = {z: row for row, z in enumerate(elements)}
    numbers = sorted(set(rows if chosen is None else chosen))
    if missing := [z for z in numbers if z not in rows]:
        raise CheckpointError(f"the weights have no rows for {', '.join(symbols(missing))}.")
    model, order = CHGNet(_config(options), numbers).double(), [rows[z] for z in numbers]
    arrays = {}
    for name, tensor in model.state_dict().items():
        value = _find(name, weights, model.config)
        arrays[name] = value[order] if name == "embedding.table" else value
        if arrays[name].shape != tensor.shape:
            raise CheckpointError(
                f"the weights give {name} the shape {tuple(arrays[name].shape)}, the options {tuple(tensor.shape)}:"
                " they do not belong together."
            )
    model.load_state_dict(arrays)
    energies = weights["element_refs.property_offset"].double()
    reference = {z: float(energies[row]) for z, row in zip(numbers, order, strict=True)}
    return Referenced(model, reference, float(weights["data_std"]))


def _config(options: Mapping[str, Any]) -> CHGNetConfig:
    widths = {options[f"dim_{kind}_embedding"] for kind in ("atom", "bond", "angle")}
    hidden = {_numbers(options[f"{kind}_conv_hidden_dims"]) for kind in ("atom", "bond")}
    updated = (0,) if (pairs := options.get("bond_update_hidden_dims")) is None else _numbers(pairs)
    if len(widths) > 1 or len(hidden) > 1 or len(sizes := min(hidden)) != 1 or len(updated) != 1:
        raise CheckpointError(
            "the page CHGNet has the same width for atoms, bonds and angles, and one hidden layer for the updates of"
            f" atoms, bonds and pairs: {sorted(widths)}, {sorted(hidden)} and {pairs} do not fit."
        )
    normalized = options.get("normalization") == "layer"
    return CHGNetConfig.parse(
        {
            "cutoff": options["cutoff"],
            "bond_cutoff": options["threebody_cutoff"],
            "channels": widths.pop(),
            "layers": options["num_blocks"],
            "basis": options["max_n"],
            "angular": options["max_f"],
            "power": options["cutoff_exponent"],
            "hidden": sizes[0],
            "head": _numbers(options["final_hidden_dims"]),
            "conventions": "matgl",
            "normalize": normalized,
            "normalize_updates": normalized,
            "pair_hidden": updated[0],
            "train_basis": options.get("learn_basis", True),
        }
    )


def _numbers(value: Any) -> tuple[int, ...]:
    """(16, 16) from itself or from its text."""
    return tuple(int(part) for part in str(value).strip("()[] ").split(",") if part.strip())


def _present(name: str) -> str:
    """What a parameter is called in release 4.1."""

    def network(found: re.Match[str]) -> str:
        return f"{'value' if found[1] == 'layers' else 'gate'}.{'norms' if found[2] else 'layers'}."

    return _NETWORK.sub(network, name.replace(".conv_layer.", ".conv."))


def _find(name: str, weights: Mapping[str, Tensor], config: CHGNetConfig) -> Tensor:
    """What the page calls `name`."""

    def get(theirs: str) -> Tensor:
        if f"model.{theirs}" not in weights:
            raise CheckpointError(f"the weights have no 'model.{theirs}', which {name} needs: is it matgl's CHGNet?")
        return weights[f"model.{theirs}"].double()

    if name in _RENAMED:
        return get(_RENAMED[name])
    if name == "basis.frequencies":  # the program's are multiples of 1/r_c
        return get("bond_expansion.frequencies") / config.cutoff
    if name == "bond_basis.frequencies":
        return get("threebody_bond_expansion.frequencies") / config.bond_cutoff
    if name == "angle_start.weight":  # theirs: cosine and sine by turns, over π
        columns = get("angle_embedding.layers.0.weight") / math.sqrt(math.pi)
        return torch.cat([columns[:, :1] * math.sqrt(2.0), columns[:, 1::2], columns[:, 2::2]], dim=1)
    part, *rest = name.split(".")
    if part == "head":
        return get(f"final_layer.layers.{rest[1]}.{rest[2]}")
    if part in _NORMS:
        return get(f"atom_graph_layers.{rest[0]}.{_NORMS[part]}.{rest[1]}")
    block, network, inputs = _LAYERS[part]
    place = f"{block}.{rest[0]}.conv."
    if rest[1] == "outward":
        return get(f"{place}node_out_func.weight")
    kind, last = rest[2:]
    if kind != "inward":
        layers = "norms.0" if kind.endswith("_norm") else "layers.1"
        return get(f"{place}{network}.{'value' if kind.startswith('core') else 'gate'}.{layers}.{last}")
    both = torch.cat([get(f"{place}{network}.{side}.layers.0.{last}") for side in ("value", "gate")])
    if last == "bias":
        return both
    parts = both.split(config.channels, dim=1)
    return torch.cat([parts[k] for k in inputs], dim=1)
