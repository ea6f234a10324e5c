"""DeePMD-kit (doi:10.1063/5.0155600): its models that pass messages, DPA-2 and DPA-3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from adiabat.architectures.invariant.dpa2 import DPA2, DPA2Config, Repformer
from adiabat.architectures.invariant.dpa3 import DPA3, DPA3Config, RepFlow
from adiabat.elements import number, symbol
from adiabat.nn.joined_linear import JoinedLinear
from adiabat.nn.residual_updates import ResidualUpdates
from adiabat.potential import Referenced
from adiabat.pretrained.importers.deepmd_weights import Reader, known

_STYLES = {"res_residual": "trained", "res_avg": "average", "res_incr": "sum"}
_DESCRIPTOR, _FITTING = "atomic_model.descriptor.", "atomic_model.fitting_net."


def read_messages(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Referenced:
    """The model in float64, eV and Å.

    Args:
        options: the program's own description of the model, with every default filled in.
        weights: state of its model.

    Raises:
        CheckpointError: an option that the pages do not have; a parameter is missing or has another shape.
    """
    order: list[str] = list(options["type_map"])
    for name, value in {"type": "standard", "atom_exclude_types": [], "pair_exclude_types": []}.items():
        known(options, name, value)
    fitting, descriptor = options["fitting"], options["descriptor"]
    wanted = {"type": "ener", "numb_fparam": 0, "numb_aparam": 0, "dim_case_embd": 0, "exclude_types": []}
    for name, value in (wanted | {"atom_ener": None}).items():
        known(fitting, name, value)
    for name, value in {"exclude_types": [], "env_protection": 0.0, "add_chg_spin_ebd": False}.items():
        known(descriptor, name, value)
    found = {
        "marked": descriptor["concat_output_tebd"],
        "hidden": fitting["neuron"],
        "hidden_activation": _activation(fitting["activation_function"]),
        "steps": fitting["resnet_dt"],
    }
    numbers = [number(name) for name in order]
    model: DPA2 | DPA3
    with torch.no_grad():
        if descriptor["type"] == "dpa2":
            model = DPA2(DPA2Config.parse(found | _dpa2(descriptor)), numbers).double()
            reader = Reader(weights, [order.index(symbol(z)) for z in model.elements])
            _fill_dpa2(model, reader, descriptor)
        else:
            model = DPA3(DPA3Config.parse(found | _dpa3(descriptor)), numbers).double()
            reader = Reader(weights, [order.index(symbol(z)) for z in model.elements])
            _fill_dpa3(model, reader, descriptor)
        reader.networks(model.networks, f"{_FITTING}filter_layers.networks.", [0])
    energies = (reader(f"{_FITTING}bias_atom_e") + reader("atomic_model.out_bias")[0])[:, 0].tolist()
    return Referenced(model, dict(zip(numbers, energies, strict=True)))


def _activation(name: str) -> str:
    """Our name of an activation function."""
    kind, _, value = name.lower().partition(":")
    return f"silut:{value or 3.0}" if kind in ("silut", "custom_silu") else name


def _dpa2(options: Mapping[str, Any]) -> dict[str, Any]:
    start, layers = options["repinit_args"], options["repformer_args"]
    known(options, "smooth", True)
    for name, value in {"resnet_dt": False, "type_one_side": False}.items():
        known(start, name, value)
    fixed = {"direct_dist": False, "use_sqrt_nnei": True, "g1_out_conv": True, "g1_out_mlp": True}
    for name, value in (fixed | {"activation_function": start["activation_function"]}).items():
        known(layers, name, value)
    known(layers, "ln_eps", 1e-5 if layers.get("ln_eps") is not None else None)
    angles = {
        "cutoff": start["three_body_rcut"],
        "onset": start["three_body_rcut_smth"],
        "embedding": start["three_body_neuron"],
    }
    atoms = {"conv": "convolution", "grrg": "pairs", "drrd": "neighbors", "attn": "attention"}
    pairs = {"g1g1": "atoms", "attn": "attention"}
    return {
        "cutoff": start["rcut"],
        "onset": start["rcut_smth"],
        "embedding": start["neuron"],
        "axis": start["axis_neuron"],
        "types": start["tebd_dim"],
        "mixing": start["tebd_input_mode"],
        "three_body": angles if start["use_three_body"] else None,
        "near_cutoff": layers["rcut"],
        "near_onset": layers["rcut_smth"],
        "layers": layers["nlayers"],
        "channels": layers["g1_dim"],
        "pair_channels": layers["g2_dim"],
        "near_axis": layers["axis_neuron"],
        "atom_updates": [own for name, own in atoms.items() if layers[f"update_g1_has_{name}"]],
        "pair_updates": [own for name, own in pairs.items() if layers[f"update_g2_has_{name}"]],
        "direction_updates": layers["update_h2"],
        "hidden_attention": layers["attn1_hidden"],
        "heads": layers["attn1_nhead"],
        "hidden_pair_attention": layers["attn2_hidden"],
        "pair_heads": layers["attn2_nhead"],
        "gated": layers["attn2_has_gate"],
        "updates": _STYLES[layers["update_style"]],
        "update_size": layers["update_residual"],
        "reminded": options["add_tebd_to_repinit_out"],
        "activation": _activation(layers["activation_function"]),
    }


def _dpa3(options: Mapping[str, Any]) -> dict[str, Any]:
    layers = options["repflow_args"]
    for name, value in {"smooth_edge_update": True, "sequential_update": False}.items():
        known(layers, name, value)
    share = layers["sel_reduce_factor"] if layers["use_dynamic_sel"] else 1.0
    rate, angle = layers["a_compress_rate"], layers["a_dim"]
    found = {
        "cutoff": layers["e_rcut"],
        "onset": layers["e_rcut_smth"],
        "angle_cutoff": layers["a_rcut"],
        "angle_onset": layers["a_rcut_smth"],
        "envelope": "exponential" if layers["use_exp_switch"] else "polynomial",
        "layers": layers["nlayers"],
        "channels": layers["n_dim"],
        "edge_channels": layers["e_dim"],
        "angle_channels": angle,
        "with_angles": layers["update_angle"],
        "angle_inputs": "all",
        "axis": layers["axis_neuron"],
        "messages": layers["n_multi_edge_message"],
        "neighbors": layers["e_sel"] / share,
        "angles": layers["a_sel"] / share,
        "start": "distance" if layers["edge_init_use_dist"] else "inverse",
        "updates": _STYLES[layers["update_style"]],
        "update_size": layers["update_residual"],
        "activation": _activation(options["activation_function"]),
    }
    if rate:
        found["angle_inputs"] = "first" if layers["a_compress_use_split"] else "linear"
        found["angle_node_inputs"] = angle // rate
        found["angle_edge_inputs"] = angle // (2 * rate) * layers["a_compress_e_rate"]
    return found


def _fill_dpa2(model: DPA2, reader: Reader, options: Mapping[str, Any]) -> None:
    start = f"{_DESCRIPTOR}repformers."
    reader.typed(model.start, options["use_econf_tebd"], _DESCRIPTOR, f"{_DESCRIPTOR}repinit.")
    if model.angles is not None:
        reader.typed(model.angles, options["use_econf_tebd"], _DESCRIPTOR, f"{_DESCRIPTOR}repinit_three_body.")
    model.near.slots.zero_()[0] = reader.statistics(model.near.environment, start)
    _linears(reader, {f"{_DESCRIPTOR}g1_shape_tranform": model.shape, f"{_DESCRIPTOR}tebd_transform": model.remind})
    _linears(reader, {f"{start}g2_embd": model.first_pair})
    for k, layer in enumerate(model.layers):
        assert isinstance(layer, Repformer)
        _repformer(layer, reader, f"{start}layers.{k}.")


def _repformer(layer: Repformer, reader: Reader, start: str) -> None:
    parts: dict[str, nn.Module | None] = {
        "g1_self_mlp": layer.alone,
        "linear1": layer.mixed,
        "proj_g1g2": layer.convolution,
        "linear2": layer.pair_alone,
        "proj_g1g1g2": layer.pair_atoms,
    }
    if layer.attention is not None:
        inner = layer.attention
        parts |= {"loc_attn.mapq": inner.query, "loc_attn.mapkv": inner.inward, "loc_attn.head_map": inner.outward}
    if layer.shares is not None:
        parts["attn2g_map.mapqk"] = layer.shares.inward
    if layer.pair_attention is not None:
        mutual = layer.pair_attention
        parts |= {"attn2_mh_apply.mapv": mutual.values, "attn2_mh_apply.head_map": mutual.outward}
        parts["attn2_lm"] = mutual.norm
    if layer.turn is not None:
        parts["attn2_ev_apply.head_map"] = layer.turn.mix
    _linears(reader, {f"{start}{name}": part for name, part in parts.items()})
    updates = {"g1": layer.updated, "g2": layer.pair_updated, "h2": layer.turned}
    _updates(reader, {f"{start}{name}_residual.": part for name, part in updates.items()})


def _fill_dpa3(model: DPA3, reader: Reader, options: Mapping[str, Any]) -> None:
    start = f"{_DESCRIPTOR}repflows."
    model.types.copy_(reader.element_vectors(_DESCRIPTOR, model.elements, options["use_econf_tebd"]))
    reader.statistics(model.environment, start)
    _linears(reader, {f"{start}edge_embd": model.first_edge, f"{start}angle_embd": model.first_angle})
    for k, layer in enumerate(model.layers):
        assert isinstance(layer, RepFlow)
        _repflow(layer, reader, f"{start}layers.{k}.")


def _repflow(layer: RepFlow, reader: Reader, start: str) -> None:
    parts: dict[str, nn.Module | None] = {
        "node_self_mlp": layer.alone,
        "node_sym_linear": layer.products,
        "node_edge_linear": layer.message,
        "edge_self_linear": layer.edge,
    }
    updates = {"n": layer.updated, "e": layer.edge_updated}
    if layer.config.with_angles:
        parts |= {"edge_angle_linear1": layer.angle_message, "edge_angle_linear2": layer.angle_sum}
        parts |= {"angle_self_linear": layer.angle, "a_compress_n_linear": layer.node_input}
        parts["a_compress_e_linear"] = layer.edge_input
        updates["a"] = layer.angle_updated
    _linears(reader, {f"{start}{name}": part for name, part in parts.items()})
    _updates(reader, {f"{start}{name}_residual.": part for name, part in updates.items()})


def _linears(reader: Reader, parts: Mapping[str, nn.Module | None]) -> None:
    """Dense layers and norms by the program's names."""
    for name, part in parts.items():
        if isinstance(part, nn.Linear):
            reader.copy(part.weight.t(), f"{name}.matrix")
        elif isinstance(part, nn.LayerNorm):
            reader.copy(part.weight, f"{name}.matrix")
        elif isinstance(part, JoinedLinear):
            reader.joined(part.weights, f"{name}.matrix")
        if part is not None and part.bias is not None:
            reader.copy(part.bias, f"{name}.bias")  # type: ignore[arg-type]


def _updates(reader: Reader, parts: Mapping[str, ResidualUpdates | None]) -> None:
    for start, part in parts.items():
        for k, weight in enumerate([] if part is None else part.weights):
            reader.copy(weight, f"{start}{k}")
