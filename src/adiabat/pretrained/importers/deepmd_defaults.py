"""What DeePMD-kit (doi:10.1063/5.0155600) takes where the description of a model leaves something out."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

KINDS = {"se_a": "se_e2_a", "se_r": "se_e2_r", "se_t": "se_e3", "se_at": "se_e3", "dpa1": "se_atten"}
_TYPED = ("se_atten", "se_atten_v2", "se_e3_tebd")  # with vectors of the elements
MESSAGES = ("dpa2", "dpa3")  # which pass messages
DPA4 = ("dpa4", "sezm")  # names of the one that has a kind of model of its own, in small letters
# what the program takes where a description leaves something out
_DESCRIPTOR = {
    "rcut": 6.0,
    "rcut_smth": 0.5,
    "neuron": [10, 20, 40],
    "axis_neuron": 4,
    "activation_function": "tanh",
    "resnet_dt": False,
    "type_one_side": False,
    "set_davg_zero": False,
    "exclude_types": [],
    "env_protection": 0.0,
}
_ATTENTION = {
    "attn_layer": 2,
    "tebd_dim": 8,
    "tebd_input_mode": "concat",
    "concat_output_tebd": True,
    "use_econf_tebd": False,
    "use_tebd_bias": False,
    "attn": 128,
    "attn_dotr": True,
    "normalize": True,
    "temperature": None,
    "scaling_factor": 1.0,
    "smooth_type_embedding": False,
    "smooth": True,
}
_FITTING = {
    "type": "ener",
    "neuron": [120, 120, 120],
    "activation_function": "tanh",
    "resnet_dt": True,
    "numb_fparam": 0,
    "numb_aparam": 0,
    "dim_case_embd": 0,
    "mixed_types": False,
    "exclude_types": [],
}
_TASKS = {
    "ener": {"var_name": "energy", "dim_out": 1},
    "dipole": {"var_name": "dipole"},
    "polar": {"var_name": "polar", "fit_diag": True, "shift_diag": True, "scale": 1.0},
    "dos": {"var_name": "dos", "numb_dos": 300},
    "property": {"task_dim": 1, "intensive": False, "distinguish_types": True},
}
_DPA2 = {
    "repinit": {
        "neuron": [25, 50, 100],
        "axis_neuron": 16,
        "tebd_dim": 8,
        "tebd_input_mode": "concat",
        "activation_function": "tanh",
        "resnet_dt": False,
        "type_one_side": False,
        "use_three_body": False,
        "three_body_neuron": [2, 4, 8],
        "three_body_rcut": 4.0,
        "three_body_rcut_smth": 0.5,
    },
    "repformer": {
        "nlayers": 3,
        "g1_dim": 128,
        "g2_dim": 16,
        "axis_neuron": 4,
        "direct_dist": False,
        **dict.fromkeys(
            ("update_g1_has_conv", "update_g1_has_drrd", "update_g1_has_grrg", "update_g1_has_attn"), True
        ),
        **dict.fromkeys(("update_g2_has_g1g1", "update_g2_has_attn"), True),
        "update_h2": False,
        "attn1_hidden": 64,
        "attn1_nhead": 4,
        "attn2_hidden": 16,
        "attn2_nhead": 4,
        "attn2_has_gate": False,
        "activation_function": "tanh",
        "update_style": "res_avg",
        "update_residual": 0.001,
        "use_sqrt_nnei": True,
        "g1_out_conv": True,
        "g1_out_mlp": True,
    },
    "add_tebd_to_repinit_out": False,
    "concat_output_tebd": True,
    "smooth": True,
}
_DPA3 = {
    "repflow": {
        "n_dim": 128,
        "e_dim": 64,
        "a_dim": 64,
        "nlayers": 6,
        "e_rcut": 6.0,
        "e_rcut_smth": 5.0,
        "e_sel": 120,
        "a_rcut": 4.0,
        "a_rcut_smth": 3.5,
        "a_sel": 20,
        "a_compress_rate": 0,
        "a_compress_e_rate": 1,
        "a_compress_use_split": False,
        "n_multi_edge_message": 1,
        "axis_neuron": 4,
        "update_angle": True,
        "update_style": "res_residual",
        "update_residual": 0.1,
        "smooth_edge_update": False,
        "edge_init_use_dist": False,
        "use_exp_switch": False,
        "use_dynamic_sel": False,
        "sel_reduce_factor": 10.0,
    },
    "concat_output_tebd": False,
    "activation_function": "silu",
}

_DPA4: Mapping[str, Any] = {
    "rcut": 6.0,
    "env_exp": [7, 5],
    "channels": 64,
    "n_radial": 16,
    "radial_mlp": [0],
    "edge_norm": True,
    "use_env_seed": True,
    "lmax": 3,
    "mmax": 1,
    "n_blocks": 3,
    "kmax": 1,
    "l_schedule": None,
    "m_schedule": None,
    "mixing_layers": 4,
    "radial_so2_mode": "degree_channel",
    "radial_so2_rank": 1,
    "n_atten_head": 1,
    "n_focus": 1,
    "focus_dim": 0,
    "ffn_neurons": 0,
    "ffn_blocks": 1,
    "grid_mlp": False,
    "grid_branch": 0,
    "sandwich_norm": [False, True, True, False],
    "s2_activation": [False, True],
    "ffn_so3_grid": False,
    "message_node_s2": False,
    "message_node_so3": False,
    "so3_readout": "none",
    "readout_layers": 1,
}


def filled(given: Mapping[str, Any]) -> dict[str, Any]:
    """A description with the program's defaults, in the form of its serialized models."""
    if str(given.get("type")).lower() in DPA4:
        return _of_dpa4(given)
    own = given.get("fitting_net", {})
    fitting = _FITTING | _TASKS.get(own.get("type", "ener"), {}) | own
    fitting.setdefault("dim_out", fitting.get("task_dim", fitting.get("numb_dos")))
    fitting.setdefault("var_name", fitting.get("property_name"))
    fitting["atom_ener"] = fitting.get("atom_ener") or None
    kind = given.get("descriptor", {}).get("type", "")
    fitting["mixed_types"] = KINDS.get(kind, kind) in (*_TYPED, *MESSAGES)
    return {
        "type_map": given["type_map"],
        "type": given.get("type", "standard"),
        "atom_exclude_types": given.get("atom_exclude_types", []),
        "pair_exclude_types": given.get("pair_exclude_types", []),
        "descriptor": _filled_descriptor(given.get("descriptor", {})),
        "fitting": fitting,
    }


def _filled_descriptor(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("type") == "hybrid":
        return {"type": "hybrid", "list": [_filled_descriptor(part) for part in given["list"]]}
    if given.get("type") in MESSAGES:
        return _of_messages(given)
    filled = _DESCRIPTOR | dict(given)
    if KINDS.get(filled.get("type", ""), filled.get("type")) in _TYPED:
        filled = _ATTENTION | filled | {"sel": filled.get("sel", 0)}
    return filled


def _of_messages(given: Mapping[str, Any]) -> dict[str, Any]:
    """DPA-2 and DPA-3, whose parts have other names in serialized models."""
    tables: Mapping[str, Any] = _DPA2 if given["type"] == "dpa2" else _DPA3
    found = {"exclude_types": [], "env_protection": 0.0, "use_econf_tebd": False, **tables, **given}
    for name, defaults in tables.items():
        if isinstance(defaults, dict):
            found[f"{name}_args"] = defaults | found.pop(name)
    return found


def _of_dpa4(given: Mapping[str, Any]) -> dict[str, Any]:
    """DPA-4, whose schedules and widths are numbers or left to the program."""
    found: dict[str, Any] = {"type": "dpa4", **_DPA4, **given.get("descriptor", {})}
    degrees = found["l_schedule"] or [found["lmax"]] * found["n_blocks"]
    highest = degrees if found["mmax"] is None else [min(found["mmax"], l) for l in degrees]
    found |= {"l_schedule": degrees, "m_schedule": found["m_schedule"] or highest}
    found["mixing_layers"] = found.pop("so2_layers", None) or found["mixing_layers"]
    found["radial_mlp"] = [width or found["channels"] for width in found["radial_mlp"]]
    for name in ("grid_mlp", "grid_branch"):
        found[name] = found[name] if isinstance(found[name], list) else [found[name]] * 3
    fitting: dict[str, Any] = {"type": "dpa4_ener", "neuron": [0], "activation_function": "silu"} | dict(
        given.get("fitting_net", {})
    )
    fitting["neuron"] = [width or 32 * ceil(8 * found["channels"] / 96) for width in fitting["neuron"]]
    fitting |= {"mixed_types": True, "atom_ener": fitting.get("atom_ener") or None}
    names = ("atom_exclude_types", "pair_exclude_types", "lora", "spin")
    return {
        "type": "dpa4",
        "type_map": given["type_map"],
        "bridging_method": str(given.get("bridging_method", "none")).upper(),
        "descriptor": found,
        "fitting": fitting,
        **{name: given[name] for name in names if name in given},
    }
