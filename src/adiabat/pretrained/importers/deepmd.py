"""DeePMD-kit (doi:10.1063/5.0155600): parameters of its Deep Potential models under the program's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ase
import numpy as np
import torch
from torch import Tensor

from adiabat.architectures.invariant.dpa2 import DPA2
from adiabat.architectures.local.deep_potential import DeepPotential, DeepPotentialConfig
from adiabat.descriptors.embedded import EmbeddedDescriptor, name_of
from adiabat.descriptors.hybrid import Hybrid
from adiabat.descriptors.se_atten import SeAtten
from adiabat.descriptors.se_e3_tebd import SeE3Tebd
from adiabat.elements import number, symbol
from adiabat.errors import CheckpointError, did_you_mean
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.nn.fittings import PropertyFitting
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.importers.deepmd_defaults import DPA4, MESSAGES, filled
from adiabat.pretrained.importers.deepmd_dpa4 import read_dpa4
from adiabat.pretrained.importers.deepmd_messages import read_messages
from adiabat.pretrained.importers.deepmd_weights import Reader, known
from adiabat.pretrained.kit import Imported, Kit

# what the program calls a descriptor and what it is here
_KINDS = {name: kind for kind, names in {
    "se_e2_a": ("se_e2_a", "se_a"), "se_e2_r": ("se_e2_r", "se_r"), "se_e3": ("se_e3", "se_t"),
    "se_e3_tebd": ("se_e3_tebd",),
    "se_atten": ("se_atten", "dpa1", "se_atten_v2"),
}.items() for name in names}  # fmt: skip
# what the program calls what the networks give
_FITTINGS = {
    "ener": "energy",
    "dipole": "dipole",
    "polar": "polarizability",
    "dos": "property",
    "property": "property",
}

REACH = 2.0  # Å; moments of 6 μB at the usual 0.314 Å/μB


def from_kit(kit: Kit) -> Imported:
    """The kit's model with its energies of elements."""
    try:
        options = kit.meta.get("resolved_hyperparameters")
        options = filled(kit.meta["hyperparameters"]) if options is None else options
        model = read_deep_potential(options, kit.weights())
    except KeyError as error:
        raise CheckpointError(
            f"the description of {kit.name} lacks {error}: was it written by DeePMD-kit 3?"
        ) from None
    arrays = {} if model.gives_energy else {"": lambda atoms: _arrays(model, atoms)}
    return Imported({"": model}, inputs=_inputs, differs=lambda atoms: _overfull(model, atoms), arrays=arrays)


def read_deep_potential(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Referenced:
    """The model in float64, eV and Å.

    Args:
        options: the program's own description of the model, with every default filled in.
        weights: state of its model.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape.
    """
    if options["type"] == "zbl":
        return _read_mixed(options, weights)
    if options["type"] == "spin_ener":
        start = "backbone_model."
        own = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
        return _read_standard(options["backbone_model"], own, "atomic_model.", spin=options["spin"])
    if str(options["type"]).lower() in DPA4:
        return read_dpa4(options, weights)
    if options["descriptor"]["type"] in MESSAGES:
        return read_messages(options, weights)
    return _read_standard(options, weights, "atomic_model.")


def _read_standard(
    options: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    start: str,
    short_range: Mapping[str, Any] | None = None,
    spin: Mapping[str, Any] | None = None,
) -> Referenced:
    order: list[str] = list(options["type_map"])
    fitting = options["fitting"]
    if spin is not None:
        options = _without_virtual(options, spin["use_spin"])
        fitting = options["fitting"]
    known(options, "type", "standard")
    known(fitting, "dim_case_embd", 0)
    silent: set[str] = {order[k] for k in (*options["atom_exclude_types"], *fitting["exclude_types"])}
    vacuum = fitting.get("atom_ener") is not None
    if vacuum and any(value is None for value in fitting["atom_ener"]):
        raise CheckpointError("atom_ener is given for some elements alone, which the page does not have.")
    config = DeepPotentialConfig.parse(
        {
            "descriptor": _descriptor(options["descriptor"], order, options["pair_exclude_types"]),
            "hidden": fitting["neuron"],
            "activation": fitting["activation_function"],
            "steps": fitting["resnet_dt"],
            "frame_parameters": fitting["numb_fparam"],
            "atom_parameters": fitting["numb_aparam"],
            "silent": sorted(silent),
            "fitting": _fitting(fitting, bool(silent)),
            "vacuum": vacuum,
            "networks": "shared" if fitting["mixed_types"] else "element",
            "short_range": short_range,
            "spin": {} if spin is None else dict(zip(order, spin["virtual_scale"], strict=False)),
            "spin_reach": REACH,
        }
    )
    real = order if spin is None else order[: len(order) // 2]
    model = DeepPotential(config, [number(name) for name in real]).double()
    reader = Reader(weights, [order.index(symbol(z)) for z in model.elements])
    with torch.no_grad():
        kinds = Reader(weights, [order.index(name_of(z)) for z in model.descriptor.elements])
        kinds.descriptor(model.descriptor, options["descriptor"], f"{start}descriptor.")
        own = f"{start}fitting_net."
        reader.networks(model.networks, f"{own}filter_layers.networks.", [0] if model.shared else reader.order)
        for kind in ("fparam", "aparam"):
            if fitting[f"numb_{kind}"]:
                place = (
                    slice(0, config.frame_parameters) if kind == "fparam" else slice(config.frame_parameters, None)
                )
                model.parameters_mean[place] = reader(f"{own}{kind}_avg")
                model.parameters_factor[place] = reader(f"{own}{kind}_inv_std")
        if model.head is not None:
            reader.head(model.head, fitting, start)
            return Referenced(model)
    energies = (reader(f"{own}bias_atom_e") + reader(f"{start}out_bias")[0])[:, 0].tolist()
    named = zip(real, energies, strict=False)  # virtual atoms have none
    return Referenced(model, {number(name): energy for name, energy in named if name not in silent})


def _read_mixed(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Referenced:
    """A model whose energies of close pairs come from a table."""
    standard, tabulated = options["models"]
    known(tabulated, "type", "pairtab")
    table, order = tabulated["tab"], options["type_map"]
    known(tabulated, "rcut", standard["descriptor"]["rcut"])
    radii = {"inner": options["sw_rmin"], "outer": options["sw_rmax"], "length": options["smin_alpha"]}
    knots = {"start": table["rmin"], "step": table["hh"], "intervals": table["nspline"]}
    found = _read_standard(standard, weights, "atomic_model.models.0.", radii | knots)
    model, reader = found.model, Reader(weights, [order.index(symbol(z)) for z in found.elements])
    assert isinstance(model, DeepPotential)
    places, start = torch.tensor(reader.order), "atomic_model."
    rows = reader(f"{start}models.1.tab_data")[places][:, places]
    model.table.set_constant("coefficients", rows.flatten(0, 1).numpy())
    # the energies of elements of both parts differ: what they share is the model's, the rest its networks'
    both = (reader(f"{start}out_bias") + reader(f"{start}models.1.out_bias"))[0, places, 0]
    own = reader(f"{start}models.1.out_bias")[0, places, 0]
    numbers = torch.tensor(found.elements)
    with torch.no_grad():
        model.shift.copy_(found.reference[numbers] - own)
    return Referenced(model, dict(zip(found.elements, both.tolist(), strict=True)))


def _without_virtual(options: Mapping[str, Any], magnetic: Sequence[bool]) -> dict[str, Any]:
    """A description without what keeps virtual atoms that have no moment, or any energy, out: the page knows that."""
    real = len(magnetic)
    unseen = {real + k for k, has in enumerate(magnetic) if not has}

    def others(pairs: Any) -> list[Any]:
        return [pair for pair in pairs if not unseen & set(pair)] if isinstance(pairs, list) else []

    descriptor, fitting = options["descriptor"], options["fitting"]
    return {
        **options,
        "atom_exclude_types": [k for k in options["atom_exclude_types"] if k < real],
        "pair_exclude_types": others(options["pair_exclude_types"]),
        "descriptor": descriptor | {"exclude_types": others(descriptor["exclude_types"])},
        "fitting": fitting | {"exclude_types": [k for k in fitting["exclude_types"] if k < real]},
    }


def _fitting(options: Mapping[str, Any], silent: bool) -> dict[str, Any]:
    """Options of what the networks give."""
    kind = options["type"]
    if kind not in _FITTINGS:
        raise CheckpointError(f"the model has a fitting '{kind}', which has no page.{did_you_mean(kind, _FITTINGS)}")
    if silent and kind in ("polar", "dos", "property"):
        raise CheckpointError(f"a fitting {kind} with excluded elements has no page.")
    found: dict[str, Any] = {"kind": _FITTINGS[kind]}
    if kind == "polar":
        found["matrix"] = "diagonal" if options["fit_diag"] else "full"
    elif kind in ("dos", "property"):
        found |= {"name": options["var_name"], "size": options["dim_out"], "mean": bool(options.get("intensive"))}
    return found


def _descriptor(
    options: Mapping[str, Any], order: Sequence[str], excluded: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Options of our descriptor from the program's."""
    if options["type"] == "hybrid":
        return {"kind": "hybrid", "parts": [_descriptor(part, order, excluded) for part in options["list"]]}
    if options["type"] not in _KINDS:
        hint = did_you_mean(options["type"], _KINDS)
        raise CheckpointError(f"the model has a descriptor '{options['type']}', which has no page.{hint}")
    kind = _KINDS[options["type"]]
    found = {
        "kind": kind,
        "cutoff": options["rcut"],
        "onset": options["rcut_smth"],
        "embedding": options["neuron"],
        "activation": options["activation_function"],
        "steps": options["resnet_dt"],
        "centered": not options["set_davg_zero"],
        "protection": options["env_protection"],
    }
    if kind in ("se_atten", "se_e3_tebd"):
        found |= _typed(options, excluded)
        return found | (_attentive(options) if kind == "se_atten" else {"smooth": options["smooth"]})
    found["neighbors"] = dict(zip(order, options["sel"], strict=True))
    if kind == "se_e3":
        if excluded or options["exclude_types"]:
            raise CheckpointError("se_e3 with excluded pairs of elements has no page.")
        return found
    pairs = {"exclude": excluded, "blank": options["exclude_types"]}
    found |= {name: [[order[k] for k in pair] for pair in given] for name, given in pairs.items()}
    found["one_side"] = options["type_one_side"]
    return found | ({"axis": options["axis_neuron"]} if kind == "se_e2_a" else {})


def _typed(options: Mapping[str, Any], excluded: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Options of descriptors whose networks read vectors of the elements."""
    known(options, "exclude_types", [])
    if excluded:
        raise CheckpointError(f"{options['type']} with excluded pairs of elements has no page.")
    mixing = "strip" if options["type"] == "se_atten_v2" else options["tebd_input_mode"]
    return {"types": options["tebd_dim"], "mixing": mixing, "marked": options["concat_output_tebd"]}


def _attentive(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that se_atten has beside those."""
    for name, value in {"attn_mask": False, "lmax": 1}.items():
        known(options, name, value)
    if options.get("ln_eps") is not None:
        known(options, "ln_eps", 1e-5)
    attention = None
    if options["attn_layer"]:
        scale = options["temperature"] or (options["attn"] * options["scaling_factor"]) ** -0.5
        attention = {"layers": options["attn_layer"], "hidden": options["attn"], "scale": scale}
        attention |= {"gated": options["attn_dotr"], "normalized": options["normalize"]}
    return {
        "axis": options["axis_neuron"],
        "one_side": options["type_one_side"],
        "attention": attention,
        "smooth": options["type"] == "se_atten_v2" or options["smooth_type_embedding"],
        "centered": False,  # imported models may have a mean all the same
    }


def _inputs(potential: Potential, atoms: ase.Atoms, given: Mapping[str, np.ndarray]) -> None:
    """Sets the parameters that the program was given, and what it takes empty slots of se_atten for."""
    assert isinstance(potential, Referenced)
    model = potential.model
    for part in _parts(model):
        if isinstance(part, SeAtten):  # the element of a frame's first atom, whatever that means
            part.of_empty.copy_(part.embedding.types.detach()[model.elements.index(int(atoms.numbers[0]))])
    if "spin" in given:
        atoms.arrays["held_moments"] = given["spin"]
    if isinstance(model, DeepPotential) and ("fparam" in given or "aparam" in given):
        frame, atom = (torch.as_tensor(given.get(name, np.zeros(0))) for name in ("fparam", "aparam"))
        model.set_parameters(frame, atom)


def _arrays(potential: Referenced, atoms: ase.Atoms) -> dict[str, np.ndarray]:
    """What the program gives of a model without energies, by its names."""
    model = potential.model
    assert isinstance(model, DeepPotential)
    assert model.head is not None
    graph = Graph.build(System.from_ase(atoms, model.dtype), model.cutoff)
    kind = model.head.options.kind
    found = evaluate(model, graph, (kind,))
    atomic, total = found.properties[f"atomic_{kind}"].numpy(), getattr(found, kind)[0].numpy()
    if isinstance(model.head.options, PropertyFitting):
        name = model.head.options.name
        return {f"atom_{name}": atomic, name: total}
    if kind == "polarizability":
        return {"polar": atomic, "global_polar": total}
    forces, virial = _slopes(model, graph)
    return {"dipole": atomic, "global_dipole": total, "forces": forces, "virial": virial}


def _slopes(model: DeepPotential, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """−∂μ/∂r `[atoms, 3, 3]`, the atom's direction last, and −∂μ/∂ε `[3, 9]`."""
    positions = graph.system.positions.clone().requires_grad_()
    strain = torch.zeros(3, 3, dtype=positions.dtype, requires_grad=True)
    moved, cell = positions + positions @ strain, graph.system.cell + graph.system.cell @ strain
    dipole = model(graph.replace(system=graph.system.replace(positions=moved, cell=cell))).dipole[0]
    rows = [torch.autograd.grad(part, (positions, strain), retain_graph=True) for part in dipole]
    forces = torch.stack([-row for row, _ in rows], dim=1)
    return forces.numpy(), torch.stack([-row.t().flatten() for _, row in rows]).numpy()


def _parts(model: Potential) -> tuple[EmbeddedDescriptor, ...]:
    """What has slots for neighbors."""
    if isinstance(model, DPA2):
        return model.parts
    if not isinstance(model, DeepPotential):
        return ()
    return tuple(model.descriptor.members) if isinstance(model.descriptor, Hybrid) else (model.descriptor,)


def _overfull(model: Referenced, atoms: ase.Atoms) -> str:
    """Whether some atom has more neighbors than slots, of which the program drops the farthest."""
    system = System.from_ase(atoms, model.dtype)
    for part in _parts(model.model):
        graph = Graph.build(system, part.cutoff)
        place = graph.centers * part.kinds + part.element[system.numbers[graph.neighbors]]
        counts = torch.bincount(place, minlength=system.atoms * part.kinds).view(-1, part.kinds)
        together = isinstance(model.model, DPA2) or isinstance(part, SeAtten | SeE3Tebd)
        full = counts.sum(dim=1) > part.slots.sum() if together else counts > part.slots
        if bool(full.any()):
            return "an atom has more neighbors than the program keeps, which drops the farthest"
    return ""
