"""DeePMD-kit (doi:10.1063/5.0155600): DPA-4, which the program calls dpa4 or SeZM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from adiabat.architectures.equivariant.dpa4 import DPA4, Block, Convolution, DPA4Config, Focus
from adiabat.elements import number, symbol
from adiabat.errors import CheckpointError
from adiabat.nn.degrees import DegreeLinear, DegreeNorm
from adiabat.nn.gated_layers import GatedLayers
from adiabat.nn.grid_layers import GridFeedForward
from adiabat.nn.grid_product import GridProduct
from adiabat.potential import Referenced
from adiabat.pretrained.importers.deepmd_weights import Reader, known

_DESCRIPTOR, _FITTING = "atomic_model.descriptor.", "atomic_model.fitting_net."
_MIXING = {"none": "none", "degree": "degree", "degree_channel": "channel"}
_VERSION = 1.1  # of the descriptor, from which on features fade in with the first neighbor

# what the page has
_OF_MODEL = {"bridging_method": "NONE", "lora": None, "spin": None}
_OF_ATOMS = {"atom_exclude_types": [], "pair_exclude_types": [], "dens_fitting": None, "active_mode": "ener"}
_OF_FITTING = {
    "numb_fparam": 0,
    "numb_aparam": 0,
    "dim_case_embd": 0,
    "exclude_types": [],
    "atom_ener": None,
    "activation_function": "silu",
    "mixed_types": True,
    "bias_out": False,
}
_OF_DESCRIPTOR = {
    "extra_node_l": 0,
    "basis_type": "bessel",
    "edge_cartesian": False,
    "node_cartesian": "none",
    "so2_norm": False,
    "so2_attn_res": "none",
    "layer_scale": False,
    "atten_f_mix": False,
    "atten_v_proj": False,
    "atten_o_proj": False,
    "full_attn_res": "none",
    "block_attn_res": "none",
    "node_wise_s2": False,
    "node_wise_so3": False,
    "activation_function": "silu",
    "glu_activation": True,
    "mlp_bias": False,
    "exclude_types": [],
    "eps": 1e-7,
    "inner_clamp_r_inner": None,
    "inner_clamp_r_outer": None,
    "add_chg_spin_ebd": False,
    "use_spin": None,
}
_READ = (
    "l_schedule",
    "m_schedule",
    "grid_mlp",
    "grid_branch",
    "n_focus",
    "focus_dim",
    "rcut",
    "channels",
    "mixing_layers",
)
_READ += ("radial_so2_mode", "radial_so2_rank", "n_atten_head", "n_radial", "radial_mlp", "env_exp", "use_env_seed")
_READ += ("edge_norm", "sandwich_norm", "ffn_blocks", "ffn_neurons", "ffn_so3_grid", "message_node_s2", "kmax")
_READ += ("message_node_so3", "so3_readout", "readout_layers", "s2_activation")
# what changes nothing here: grids are exact, no turn about a pair matters, and lists of neighbors have no end
_IDLE = ("type", "ntypes", "type_map", "sel", "lmax", "mmax", "n_blocks", "random_gamma", "lebedev_quadrature")
_IDLE += ("precision", "trainable", "seed", "use_amp", "default_chg_spin")


def read_dpa4(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Referenced:
    """The model in float64, eV and Å.

    Args:
        options: the program's own description of the model, with every default filled in.
        weights: state of its model.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape.
    """
    atoms = options.get("atomic_model", options)
    fitting, descriptor, order = atoms["fitting"], atoms["descriptor"], list(atoms["type_map"])
    descriptor = descriptor.get("config", descriptor)
    for given, wanted in ((options, _OF_MODEL), (atoms, _OF_ATOMS), (fitting, _OF_FITTING)):
        for name, value in wanted.items():
            known(given, name, value)
    if fitting["type"] not in ("sezm_ener", "dpa4_ener"):
        known(fitting, "type", "sezm_ener")
    config = DPA4Config.parse(_options(descriptor) | {"hidden": fitting["neuron"]})
    numbers = [number(name) for name in order]
    model = DPA4(config, numbers).double()
    reader = Reader(weights, [order.index(symbol(z)) for z in model.elements])
    version = float(reader(f"{_DESCRIPTOR}version_tensor"))
    if version < _VERSION:
        raise CheckpointError(
            f"the model's descriptor has version {version}, and the page has {_VERSION} and newer ones alone, whose"
            " features fade in with the first neighbor: train it anew."
        )
    with torch.no_grad():
        _fill(model, reader)
    energies = (reader(f"{_FITTING}bias_atom_e") + reader("atomic_model.out_bias")[0])[:, 0]
    return Referenced(model, dict(zip(numbers, energies.tolist(), strict=True)))


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of our page from the program's descriptor."""
    for name, value in _OF_DESCRIPTOR.items():
        known(given, name, value)
    for name in given:
        if name not in (*_OF_DESCRIPTOR, *_READ, *_IDLE):
            raise CheckpointError(f"the model's descriptor has an option '{name}', which the page does not know.")
    degrees, highest = given["l_schedule"], given["m_schedule"]
    known(given, "l_schedule", degrees[:1] * len(degrees))
    known(given, "m_schedule", highest[:1] * len(highest))
    if not degrees:
        raise CheckpointError("the model's descriptor has no blocks, and the page has at least one.")
    # products on the rotations, where they are, stand in for those on the sphere
    known(given, "s2_activation", [False, given["s2_activation"][1] or not given["ffn_so3_grid"]])
    message = given["message_node_s2"] or given["message_node_so3"]
    folded = {"product": "network" if given["so3_readout"] == "mlp" else "plain"}
    return {
        "cutoff": given["rcut"],
        "channels": given["channels"],
        "l_max": degrees[0],
        "m_max": highest[0],
        "layers": len(degrees),
        "mixing_layers": given["mixing_layers"],
        "mixing": _MIXING[given["radial_so2_mode"]],
        "mixing_rank": given["radial_so2_rank"],
        "focuses": given["n_focus"],
        "focus_channels": given["focus_dim"] or None,
        "heads": given["n_atten_head"],
        "basis": given["n_radial"],
        "radial_hidden": given["radial_mlp"],
        "envelopes": given["env_exp"],
        "seeded": given["use_env_seed"],
        "normalized": given["edge_norm"],
        "norms": given["sandwich_norm"],
        "feed_forwards": given["ffn_blocks"],
        "feed_forward": _grid(given, given["ffn_so3_grid"], 2),
        "message": _grid(given, given["message_node_so3"], 1) if message else None,
        "readout": None if given["so3_readout"] == "none" else _grid(given, True, None) | folded,
        "readouts": given["readout_layers"],
        "expansion": given["ffn_neurons"] or None,
    }


def _grid(given: Mapping[str, Any], rotations: bool, place: int | None) -> dict[str, Any]:
    """Options of a product of functions, whose kind stands at this place of the program's options."""
    found: dict[str, Any] = {"domain": "rotations" if rotations else "sphere", "k_max": given["kmax"]}
    if place is not None and given["grid_branch"][place]:
        found |= {"product": "branches", "branches": given["grid_branch"][place]}
    elif place is not None and given["grid_mlp"][place]:
        found["product"] = "network"
    return found


def _fill(model: DPA4, reader: Reader) -> None:
    bessel = model.basis.basis
    bessel.frequencies.copy_(reader(f"{_DESCRIPTOR}radial_basis.adam_freqs")[0])  # type: ignore[operator, union-attr]
    # the program's functions sin(w r)/r lack the factor of ours, which goes to the layers that read them
    factor = 1.0 / float(bessel.prefactor)  # type: ignore[arg-type]
    model.types.table.copy_(reader(f"{_DESCRIPTOR}type_embedding.adam_type_embedding")[reader.order])
    for k, layer in enumerate(model.distance.layers):
        place = (3 if model.config.normalized else 2) * k
        reader.copy(layer.weight.t(), f"{_DESCRIPTOR}radial_embedding.net.{place}.matrix")  # type: ignore[operator]
    for k, norm in enumerate(model.distance.norms if model.config.normalized else ()):
        reader.copy(norm.weight, f"{_DESCRIPTOR}radial_embedding.net.{3 * k + 1}.adam_scale")  # type: ignore[arg-type]
    model.distance.layers[0].weight.mul_(factor)  # type: ignore[operator]
    if model.seed is not None:
        _seed(model, reader, factor)
    for k, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        _block(block, reader, f"{_DESCRIPTOR}blocks.{k}.")
    last = len(model.readouts) - 1
    for k, readout in enumerate(model.readouts):
        start = f"{_DESCRIPTOR}output_ffn." if k == last else f"{_DESCRIPTOR}readout_pre_layers.{k}."
        if isinstance(readout, GridFeedForward):
            _feed_forward(readout, reader, start)
        elif isinstance(readout, GatedLayers):
            # of the program's pair of halves the first is the value
            _first(reader, readout.layers[0].weight.t(), f"{start}so3_linear_1.weight")  # type: ignore[operator]
            _first(reader, readout.last.weight.t(), f"{start}so3_linear_2.weight")
    _network(model.fitting, reader, f"{_FITTING}filter_layers.networks.0.")


def _seed(model: DPA4, reader: Reader, factor: float) -> None:
    seed, start = model.seed, f"{_DESCRIPTOR}env_seed_embedding."
    assert seed is not None
    seed.types.table.copy_(reader(f"{start}env_type_embed.adam_type_embedding")[reader.order])
    for layer, name in zip(seed.radial.layers, ("rbf_proj_layer1", "rbf_proj_layer2"), strict=True):
        reader.copy(layer.weight.t(), f"{start}{name}.matrix")  # type: ignore[operator]
    seed.radial.layers[0].weight.mul_(factor)  # type: ignore[operator]
    reader.joined(seed.inward.weights, f"{start}g_layer1.matrix")
    reader.copy(seed.outward.weight.t(), f"{start}g_layer2.matrix")
    # the program's matrix D runs over the few columns last, as ours does
    reader.copy(seed.project.weight.t(), f"{start}output_proj.matrix")
    for k, name in enumerate(("scale", "shift")):
        seed.strengths[k] = reader(f"{_DESCRIPTOR}film_{name}_strength_log")[0]
        if model.config.normalized:
            _first(reader, seed.norms[k].weight, f"{_DESCRIPTOR}film_{name}_norm.adam_scale")  # type: ignore[arg-type]


def _block(block: Block, reader: Reader, start: str) -> None:
    _norm(reader, block.before, f"{start}pre_so2_norm.")
    _norm(reader, block.after, f"{start}post_so2_norm.")
    _convolution(block.convolution, reader, f"{start}so2_conv.")
    for k, forward in enumerate(block.forwards):
        assert isinstance(forward, GridFeedForward)
        own = f"{start}ffns.{k}."
        _norm(reader, block.forwards_before[k], f"{start}pre_ffn_norms.{k}.")
        _norm(reader, block.forwards_after[k], f"{start}post_ffn_norms.{k}.")
        _feed_forward(forward, reader, own)


def _feed_forward(forward: GridFeedForward, reader: Reader, start: str) -> None:
    reader.copy(forward.inward.weight, f"{start}so3_linear_1.weight")
    reader.copy(forward.outward.weight, f"{start}so3_linear_2.weight")
    _product(forward.product, reader, f"{start}act.")


def _product(product: GridProduct, reader: Reader, start: str) -> None:
    name = f"{start}scalar_gate.weight"  # [inputs, sorts · outputs]
    reader.put(product.gate, reader(name).unflatten(1, (len(product.gate), -1)).transpose(0, 1), name)
    parts = {"left_proj": product.left, "right_proj": product.right}
    for name, part in (parts | {"out_proj": product.outward, "router": product.router}).items():
        if part is not None:
            reader.copy(part.weight.t(), f"{start}grid_op.{name}.weight")


def _convolution(convolution: Convolution, reader: Reader, start: str) -> None:
    reader.copy(convolution.inward.weight, f"{start}pre_focus_mix.weight")
    reader.copy(convolution.outward.weight, f"{start}post_focus_mix.weight")
    if isinstance(convolution.radial, nn.Linear):
        reader.copy(convolution.radial.weight.t(), f"{start}radial_hidden_proj.weight")
    mixing, message, competition = convolution.mixing, convolution.message, convolution.competition
    if mixing.weight is not None:
        reader.copy(mixing.weight.weight.t(), f"{start}radial_degree_mixer.weight")
    if mixing.factors is not None:
        reader.copy(mixing.factors, f"{start}radial_degree_mixer.channel_basis")
    if competition is not None:
        reader.copy(competition.weights, f"{start}adamw_focus_compete_w")
        for k, norm in enumerate(competition.norms):
            if isinstance(norm, nn.RMSNorm):
                name = f"{start}focus_compete_norm.adam_scale"
                reader.put(norm.weight, reader(name)[k], name)
    if message is not None:
        own = f"{start}message_node_grid_product."
        _product(message.product, reader, own)
        reader.copy(message.size.view(message.parts, -1), f"{own}residual_scale")
        for name, part in (("frame_expand", message.expand), ("frame_contract", message.contract)):
            if isinstance(part, DegreeLinear):
                reader.copy(part.weight, f"{own}{name}.weight")
    for k, focus in enumerate(convolution.focuses):
        assert isinstance(focus, Focus)
        _focus(focus, reader, start, k)


def _focus(focus: Focus, reader: Reader, start: str, place: int) -> None:
    """One focus, whose parameters stand beside those of the others."""

    def copy(own: Tensor, name: str) -> None:
        values = reader(f"{start}{name}")  # [inputs, focuses · outputs]
        reader.put(own, values[:, place * own.shape[1] : (place + 1) * own.shape[1]], name)

    for k, linear in enumerate(focus.linears):
        for m, weight in enumerate(linear.weights):  # type: ignore[arg-type]
            copy(weight, f"so2_linears.{k}.weight_m{'.' if m else ''}{m - 1 if m else 0}")
    for k, gate in enumerate(focus.gates):
        copy(gate.gates, f"non_linearities.{k}.gate_linear.weight")  # type: ignore[arg-type]
    attention = focus.attention
    if attention is not None:
        rows = {"attn_qk_norm.adam_scale": attention.norm.weight, "adamw_attn_z_bias_raw": attention.vacancy}
        for name, own in (rows | {"attn_output_gate_norm.adam_scale": attention.gate_norm.weight}).items():
            reader.put(own, reader(f"{start}{name}")[place], name)  # type: ignore[arg-type]
        for name, own in {"adamw_attn_logit_w": attention.bias, "adamw_attn_gate_w": attention.gate}.items():
            reader.put(own, reader(f"{start}{name}")[:, place], name)
        copy(attention.query.weight.t(), "attn_q_proj.weight")
        copy(attention.key.weight.t(), "attn_k_proj.weight")


def _norm(reader: Reader, norm: nn.Module, start: str) -> None:
    if isinstance(norm, DegreeNorm):
        reader.copy(norm.scale[:, None], f"{start}adam_scale")
        _first(reader, norm.bias, f"{start}bias")


def _network(network: GatedLayers, reader: Reader, start: str) -> None:
    for k, layer in enumerate(network.layers):
        reader.copy(layer.weight.t(), f"{start}hidden_layers.{k}.linear.matrix")  # type: ignore[operator]
        reader.copy(layer.bias, f"{start}hidden_layers.{k}.linear.bias")  # type: ignore[arg-type]
    reader.copy(network.last.weight.t(), f"{start}output_layer.matrix")


def _first(reader: Reader, own: Tensor, name: str) -> None:
    """A parameter that the program keeps as the only one of several."""
    reader.copy(own[None], name)
