"""SevenNet models as state dicts under the names of sevenn, as NequIP's page; one fidelity of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    signs,
    sorted_couplings,
)
from adiabat.pretrained.kit import Imported, Kit


def from_kit(kit: Kit) -> Imported:
    """The kit's model in float64, its shifts as reference energies; of several fidelities, each as a variant.

    The variant without a name is the one that meta.json calls `modal`, or else the model's default.
    """
    weights = {name: value.double() for name, value in kit.weights().items() if value.is_floating_point()}
    values = dict(kit.meta["hyperparameters"])
    fidelities = kit.meta.get("modal_map") or values.get("_modal_map") or {}
    if not fidelities:
        return Imported({"": read_sevennet(weights, values)})
    potentials = {
        name: read_sevennet(weights, values, (place, len(fidelities))) for name, place in fidelities.items()
    }
    first = kit.meta.get("modal") or values.get("default_modal") or next(iter(fidelities))
    return Imported({"": potentials[first], **potentials})


def read_sevennet(
    weights: Mapping[str, Tensor], hyperparameters: Mapping[str, Any], fidelity: tuple[int, int] | None = None
) -> Referenced:
    """A model of the sevenn program as adiabat's own, in float64.

    Args:
        weights: the program's parameters and buffers by name.
        hyperparameters: the program's configuration, as its checkpoints keep it; with the program's `version`, those
            from before 0.11 are read as well.
        fidelity: which of how many fidelities (modalities), for a model that has them.

    Raises:
        CheckpointError: the model has parts this page does not have, or tensors of other shapes.
    """
    values = dict(hyperparameters)
    types = {int(z): int(k) for z, k in values["_type_map"].items()}
    elements = sorted(types)
    order = torch.tensor([types[z] for z in elements])
    model = NequIP(_config(values, fidelity), elements).double()
    with torch.no_grad():
        constant = _Reader(weights, order, fidelity, _is_old(values)).fill(model)
        shift = weights["rescale_atomic_energy.shift"]
        shifts = _by_element(shift[fidelity[0]] if fidelity and shift.dim() > 1 else shift, order)
        reference = shifts + constant * model.scale
    return Referenced(model, dict(zip(elements, reference.tolist(), strict=True)))


def _is_old(values: Mapping[str, Any]) -> bool:
    """Whether weights of the radial networks are in the order in which versions before 0.11 made products."""
    numbers = str(values.get("version", "0.11")).split(".")
    return tuple(int(n) for n in numbers[:2] if n.isdecimal()) < (0, 11)


def _config(values: Mapping[str, Any], fidelity: tuple[int, int] | None) -> NequIPConfig:
    for key, known in {
        "act_radial": "silu",
        "act_scalar": {"e": "silu", "o": "tanh"},
        "act_gate": {"e": "silu", "o": "tanh"},
        "use_bias_in_linear": False,
        "use_modal_node_embedding": False,
        "use_modal_self_inter_intro": fidelity is not None,
        "use_modal_self_inter_outro": fidelity is not None,
        "use_modal_output_block": fidelity is not None,
        "use_modal_wise_scale": False,
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
            "biases": fidelity is not None,
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


@dataclass(frozen=True)
class _Reader:
    """Takes weights from the program's tensors.

    Attributes:
        weights: the tensors by name.
        order: type of each of our elements.
        fidelity: which of how many fidelities, or None.
        old: radial weights as before version 0.11.
    """

    weights: Mapping[str, Tensor]
    order: Tensor
    fidelity: tuple[int, int] | None
    old: bool

    def fill(self, model: NequIP) -> Tensor:
        """Copies every tensor; gives the constant that the readout adds to each atom's energy before its scale."""
        config, weights, count = model.config, self.weights, len(self.order)
        copy(model.edges.basis.frequencies, weights["edge_embedding.basis_function.coeffs"].reshape(-1))  # type: ignore[arg-type]
        table = weights["onehot_to_feature_x.linear.weight"].reshape(count, -1)
        copy(model.embedding.table, table[self.order] * count**-0.5)
        before = Irreps.parse(f"{table.shape[1]}x0e")
        parity = -1 if config.symmetry == "O(3)" else 1
        harmonics = Irreps(tuple((1, Irrep(l, parity**l)) for l in range(config.l_max + 1)))
        for place, module in enumerate(model.layers):
            layer = cast(InteractionBlock, module)
            self._fill_layer(layer, f"{place}_", before, harmonics)
            # the program divides sums by the number itself
            model.average[place] = weights[f"{place}_convolution.denominator"].reshape(()) ** 2
            # 2/r_c before the Bessel functions there, √(2/r_c) here
            cast(NormalizedMLP, layer.radial).layers[0].mul_(sqrt(2 / config.cutoff))
            before = layer.gate.irreps_out
        copy(model.scale, _by_element(weights["rescale_atomic_energy.scale"], self.order))
        if config.readout:
            self._fill_network(model.readout, "readout_FCN.fcn")
            return model.scale.new_zeros(())
        last = weights["reduce_hidden_to_energy.linear.weight"].reshape(-1, 1)
        last = last * last.shape[0] ** -0.5
        scalars = Irreps((before.terms[0],))
        first, bias = self._linear("reduce_input_to_hidden", scalars, Irreps(((last.shape[0], SCALAR),)))
        copy(model.readout.layers[0], first[SCALAR] @ last)
        return last.new_zeros(()) if bias is None else (bias @ last)[0]

    def _fill_layer(self, layer: InteractionBlock, start: str, before: Irreps, harmonics: Irreps) -> None:
        inner = layer.gate.irreps_in
        created = created_couplings(before, harmonics, inner)
        paths = sorted_couplings(created)
        columns = channels_of(layer.convolution.couplings(), created if self.old else paths)
        network = cast(NormalizedMLP, layer.radial)
        self._fill_network(network, f"{start}convolution.weight_nn", columns)
        network.layers[-1].mul_(signs(layer.convolution, self.weights, f"{start}convolution.convolution"))
        self._fill_linear(layer.up, f"{start}self_interaction_1", before, before)
        made = Irreps(tuple((sum(m for m, c in paths if c[2] == ir), ir) for _, ir in in_e3nn_order(inner)))
        self._fill_linear(layer.down, f"{start}self_interaction_2", made, inner, rows_of(layer.convolution, paths))
        name = f"{start}self_connection_intro."
        if isinstance(layer.connection, ElementLinear):
            flat, count = self.weights[name + "fc_tensor_product.weight"], len(self.order)
            attributes = torch.eye(count, dtype=torch.float64)[self.order]
            fill_element_linear(layer.connection, matrices(flat, before, inner, count), attributes)
        else:
            found = matrices(self.weights[name + "linear.weight"], before, inner)
            fill_linear(cast(EquivariantLinear, layer.connection), found)

    def _fill_linear(
        self,
        layer: EquivariantLinear,
        name: str,
        irreps_in: Irreps,
        irreps_out: Irreps,
        rows: dict[Irrep, Tensor] | None = None,
    ) -> None:
        found, bias = self._linear(name, irreps_in, irreps_out)
        fill_linear(layer, found, rows)
        if layer.bias is not None and bias is not None:
            copy(layer.bias, bias)

    def _linear(self, name: str, irreps_in: Irreps, irreps_out: Irreps) -> tuple[dict[Irrep, Tensor], Tensor | None]:
        """A linear map's matrices, and its bias: what it adds for the fidelity, whose one-hot vector is input too."""
        flat = self.weights[f"{name}.linear.weight"]
        if self.fidelity is None:
            return matrices(flat, irreps_in, irreps_out), None
        chosen, count = self.fidelity
        channels, size = irreps_in.count(SCALAR), count * irreps_out.count(SCALAR)
        found = matrices(flat[:-size], irreps_in, irreps_out)
        # the program's norm counts the one-hot vector
        found[SCALAR] = found[SCALAR] * (channels / (channels + count)) ** 0.5
        return found, flat[-size:].reshape(count, -1)[chosen] * (channels + count) ** -0.5

    def _fill_network(self, network: NormalizedMLP, name: str, columns: Tensor | None = None) -> None:
        for place, ours in enumerate(network.layers):
            matrix = self.weights[f"{name}.layer{place}.weight"]
            last = columns is not None and place == len(network.layers) - 1
            copy(ours, matrix[:, columns] if last else matrix)
