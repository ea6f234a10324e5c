"""mace-torch models as state dicts: parameters under the program's names, coupling tensors beside them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from adiabat.architectures.equivariant.mace import MACE, MACEConfig, Product
from adiabat.errors import CheckpointError
from adiabat.nn.couplings import polynomials
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import SCALAR, Irreps
from adiabat.nn.mace_interactions import Interaction, NonlinearInteraction
from adiabat.nn.normalized import DeepReadout, LayerNormMLP, NormalizedMLP
from adiabat.potential import Referenced
from adiabat.pretrained.importers.mace_heads import choose, one_head
from adiabat.pretrained.kit import Imported, Kit

_KINDS = {
    "RealAgnosticInteractionBlock": ("linear", False),
    "RealAgnosticResidualInteractionBlock": ("linear", True),
    "RealAgnosticDensityInteractionBlock": ("density", False),
    "RealAgnosticDensityResidualInteractionBlock": ("density", True),
    "RealAgnosticResidualNonLinearInteractionBlock": ("nonlinear", True),
}


def from_kit(kit: Kit) -> Imported:
    """The kit's model in float64, its reference energies added."""
    weights = {name: value.double() for name, value in kit.weights().items() if value.is_floating_point()}
    buffers = {name: np.asarray(value, dtype=np.float64) for name, value in kit.buffers.items()}
    return Imported({"": read_mace(weights, buffers, kit.meta["hyperparameters"], kit.meta.get("head"))})


def read_mace(
    weights: Mapping[str, Tensor],
    buffers: Mapping[str, np.ndarray],
    hyperparameters: Mapping[str, Any],
    head: str | None = None,
) -> Referenced:
    """A mace-torch model as adiabat's own, in float64.

    Args:
        weights: the program's parameters and buffers by name.
        buffers: the coupling tensors `products.*.symmetric_contractions.contractions.*.U_matrix_*`.
        hyperparameters: the program's constructor arguments; texts such as "[1, 8]" are read as values.
        head: which of several heads; None for the only one or the one called default.

    Raises:
        CheckpointError: the model has parts this page does not have, or tensors of other shapes; no such head.
    """
    values = {key: _value(value) for key, value in hyperparameters.items()}
    order = np.argsort(values["atomic_numbers"])
    elements = [int(values["atomic_numbers"][k]) for k in order]
    model = MACE(_config(values, buffers), elements).double()
    heads = [str(name) for name in values.get("heads") or ["default"]]
    place, stored = choose(heads, head), weights["atomic_energies_fn.atomic_energies"].numel()
    if stored != len(elements) * len(heads):
        raise CheckpointError(
            f"the model has {stored} reference energies for {len(elements)} elements and {len(heads)} heads:"
            " do the hyperparameters belong to these weights?"
        )
    if len(heads) > 1:
        weights = one_head(weights, len(heads), place, model.config.readout_channels)
    with torch.no_grad():
        _fill(model, weights, buffers, torch.as_tensor(order))
    energies = weights["atomic_energies_fn.atomic_energies"].reshape(-1)
    reference = {z: float(energies[int(k)]) for z, k in zip(elements, order, strict=True)}
    return Referenced(model, reference)


def _value(value: Any) -> Any:
    """A literal out of text; other texts as they are."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _kind(values: Mapping[str, Any], key: str) -> tuple[str, bool]:
    name = str(values[key]).removesuffix("'>").rsplit(".", 1)[-1]
    if name not in _KINDS:
        raise CheckpointError(f"the interaction block {name} is not known: {', '.join(_KINDS)} are.")
    return _KINDS[name]


def _config(values: Mapping[str, Any], buffers: Mapping[str, np.ndarray]) -> MACEConfig:
    kind, residual = _kind(values, "interaction_cls")
    first_kind, first_residual = _kind(values, "interaction_cls_first")
    radial = values.get("radial_type", "bessel")
    if radial != "bessel" or first_kind != kind or not residual:
        raise CheckpointError(
            f"radial_type {radial}, first interaction {first_kind}, later {kind}: only Bessel functions and layers of"
            " one kind, the later ones residual, are supported."
        )
    transform = values.get("distance_transform")
    if transform not in (None, "None", "Agnesi"):
        raise CheckpointError(f"the distance transform {transform} is not known: Agnesi is.")
    edge = values.get("edge_irreps")
    return MACEConfig.parse(
        {
            "cutoff": values["r_max"],
            "layers": values["num_interactions"],
            "hidden_irreps": values["hidden_irreps"],
            "l_max": values["max_ell"],
            "correlation": values["correlation"],
            "radial_functions": values["num_bessel"],
            "cutoff_power": values["num_polynomial_cutoff"],
            "radial_network": values.get("radial_MLP") or (64, 64, 64),
            "readout_channels": Irreps.parse(values["MLP_irreps"]).count(SCALAR),
            "average_neighbors": values["avg_num_neighbors"],
            "interaction": kind,
            "first_residual": first_residual,
            "edge_irreps": None if edge in (None, "None") else edge,
            "distance_transform": "agnesi" if transform == "Agnesi" else "none",
            "cutoff_on": "basis" if values.get("apply_cutoff", True) else "messages",
            "repulsion": bool(values.get("pair_repulsion", False)),
            "agnostic_product": bool(values.get("use_agnostic_product", False)),
            "last_readout_only": bool(values.get("use_last_readout_only", False)),
            "deep_readout": "NonLinearBiasReadoutBlock" in str(values.get("readout_cls", "")),
            "couplings": _basis(values, buffers),
        }
    )


def _basis(values: Mapping[str, Any], buffers: Mapping[str, np.ndarray]) -> str:
    """Which coupling basis the stored tensors have: that of as many paths, for every output."""
    order = int(values["correlation"])
    parts = [ir for _, ir in Irreps.spherical(int(values["max_ell"]))]
    for place, (_, out) in enumerate(Irreps.parse(values["hidden_irreps"])):
        tensor = buffers.get(f"products.0.symmetric_contractions.contractions.{place}.U_matrix_{order}")
        if tensor is None and place == 0:
            raise CheckpointError(
                "the model's coupling tensors (U_matrix) are missing: store them beside the weights."
            )
        if tensor is None:  # a single layer has scalars alone
            break
        if tensor.shape[-1] != polynomials(parts, order, out, "reduced").paths:
            return "full"
    return "reduced"


def _fill(model: MACE, weights: Mapping[str, Tensor], buffers: Mapping[str, np.ndarray], order: Tensor) -> None:
    """Copies every tensor, elements in ascending order."""
    count = len(model.elements)
    _copy(model.embedding.table, weights["node_embedding.linear.weight"].reshape(count, -1)[order])
    model.edges.basis.frequencies.copy_(weights["radial_embedding.bessel_fn.bessel_weights"])  # type: ignore[operator]
    if model.config.average_neighbors is not None:
        model.average.fill_(model.config.average_neighbors)  # exact now that the model is in float64
    model.scale.copy_(weights["scale_shift.scale"].reshape(()))
    model.shift.copy_(weights["scale_shift.shift"].reshape(()))
    for layer, block in enumerate(model.interactions):
        start = f"interactions.{layer}."
        own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        if isinstance(block, Interaction):
            _fill_interaction(block, own, order)
        else:
            _fill_nonlinear(cast(NonlinearInteraction, block), own, order)
        start = f"products.{layer}."
        own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        tensors = {k.removeprefix(start): v for k, v in buffers.items() if k.startswith(start)}
        _fill_product(cast(Product, model.products[layer]), own, tensors, order)
    readouts = [r for r in model.readouts if not isinstance(r, torch.nn.Identity)]
    for place, readout in enumerate(readouts):
        start = f"readouts.{place}."
        own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        _fill_readout(readout, own)


def _fill_interaction(block: Interaction, weights: Mapping[str, Tensor], order: Tensor) -> None:
    _fill_linear(block.up, weights["linear_up.weight"])
    _fill_linear(block.down, weights["linear.weight"])
    _fill_element_linear(block.skip, weights["skip_tp.weight"], order)
    _fill_network(block.radial, weights, "conv_tp_weights")
    if block.density is not None:
        _fill_network(block.density, weights, "density_fn")


def _fill_nonlinear(block: NonlinearInteraction, weights: Mapping[str, Tensor], order: Tensor) -> None:
    names = {"up": "linear_up", "down": "linear_1", "own": "linear_res", "out": "linear_2", "skip": "skip_tp"}
    for ours, theirs in names.items():
        _fill_linear(getattr(block, ours), weights[f"{theirs}.weight"])
    for network, name in ((block.radial, "conv_tp_weights"), (block.density, "density_fn")):
        _fill_layer_norm_network(network, weights, name)
    _copy(block.source, weights["source_embedding.weight"].reshape(len(order), -1)[order])
    _copy(block.target, weights["target_embedding.weight"].reshape(len(order), -1)[order])
    _copy(block.alpha, weights["alpha"])
    _copy(block.beta, weights["beta"])


def _fill_product(
    block: Product, weights: Mapping[str, Tensor], tensors: Mapping[str, np.ndarray], order: Tensor
) -> None:
    _fill_linear(block.linear, weights["linear.weight"])
    contraction = block.contraction
    top = contraction.correlation
    for place, out in enumerate(contraction.outputs):
        start = f"symmetric_contractions.contractions.{place}."
        # the program stores the highest order as weights_max and the others downward as weights.0, weights.1, ...
        parts = [weights[f"{start}weights.{top - 1 - nu}"] for nu in range(1, top)] + [weights[f"{start}weights_max"]]
        sets = torch.cat(parts, dim=1)
        _copy(contraction.weights[place], sets if contraction.shared else sets[order])
        for nu in range(1, top + 1):
            tensor = tensors[f"{start}U_matrix_{nu}"]
            contraction.set_coupling(place, nu, tensor if out.l else tensor[None])


def _fill_readout(readout: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    if isinstance(readout, DeepReadout):
        for ours, name in zip(readout.layers, ("linear_1", "linear_mid", "linear_2"), strict=True):
            _copy(ours, weights[f"{name}.weight"].reshape(ours.shape))
        for ours, name in zip(readout.biases, ("linear_mid", "linear_2"), strict=True):
            _copy(ours, weights[f"{name}.bias"])
    else:
        layers = cast(NormalizedMLP, readout).layers
        names = ("linear",) if len(layers) == 1 else ("linear_1", "linear_2")
        for ours, name in zip(layers, names, strict=True):
            _copy(ours, weights[f"{name}.weight"].reshape(ours.shape))


def _fill_linear(layer: EquivariantLinear, flat: Tensor) -> None:
    """The program keeps the matrices of all irreps in one row, in the order of the input's irreps."""
    start = 0
    for _, ir in layer.irreps_in:
        if str(ir) in layer.weights:
            target = layer.weights[str(ir)]
            _copy(target, flat[start : start + target.numel()].reshape(target.shape))
            start += target.numel()
    _used_up(flat, start)


def _fill_element_linear(layer: ElementLinear, flat: Tensor, order: Tensor) -> None:
    """As `_fill_linear`; each matrix is `[in, element, out]`."""
    start = 0
    for _, ir in layer.irreps_in:
        if str(ir) in layer.weights:
            target = layer.weights[str(ir)]
            elements, rows, columns = target.shape
            part = flat[start : start + target.numel()].reshape(rows, elements, columns)
            _copy(target, part.transpose(0, 1)[order])
            start += target.numel()
    _used_up(flat, start)


def _fill_network(network: NormalizedMLP, weights: Mapping[str, Tensor], name: str) -> None:
    for place, ours in enumerate(network.layers):
        _copy(ours, weights[f"{name}.layer{place}.weight"])


def _fill_layer_norm_network(network: LayerNormMLP, weights: Mapping[str, Tensor], name: str) -> None:
    for key, ours in network.named_parameters():
        _copy(ours, weights[f"{name}.net.{key}"])


def _copy(target: Tensor, source: Tensor) -> None:
    if target.shape != source.shape:
        raise CheckpointError(
            f"a tensor of the model has shape {tuple(source.shape)} where the page has {tuple(target.shape)}:"
            " do the hyperparameters belong to these weights?"
        )
    target.copy_(source)


def _used_up(flat: Tensor, used: int) -> None:
    if len(flat) != used:
        raise CheckpointError(
            f"a linear map of the model has {len(flat)} weights where the page has {used}: do the hyperparameters"
            " belong to these weights?"
        )
