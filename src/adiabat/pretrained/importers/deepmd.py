"""DeePMD-kit (doi:10.1063/5.0155600): parameters of its Deep Potential models under the program's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ase
import numpy as np
import torch
from torch import Tensor

from adiabat.architectures.local.deep_potential import DeepPotential, DeepPotentialConfig
from adiabat.descriptors.embedded import EmbeddedDescriptor
from adiabat.descriptors.hybrid import Hybrid
from adiabat.descriptors.se_atten import SeAtten
from adiabat.descriptors.se_e2_a import TwoBodyDescriptor
from adiabat.descriptors.se_e3 import SeE3
from adiabat.descriptors.se_e3_tebd import SeE3Tebd
from adiabat.elements import number, symbol
from adiabat.errors import CheckpointError, did_you_mean
from adiabat.geometry import Graph, System
from adiabat.nn.electron_configurations import spin_orbitals
from adiabat.nn.grouped_networks import GroupedNetworks
from adiabat.nn.neighbor_attention import NeighborAttention
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.kit import Imported, Kit

# what the program calls a descriptor and what it is here
_KINDS = {name: kind for kind, names in {
    "se_e2_a": ("se_e2_a", "se_a"), "se_e2_r": ("se_e2_r", "se_r"), "se_e3": ("se_e3", "se_t"),
    "se_e3_tebd": ("se_e3_tebd",),
    "se_atten": ("se_atten", "dpa1", "se_atten_v2"),
}.items() for name in names}  # fmt: skip
_BLOCKS = {
    "se_e2_a": "sea.",
    "se_e2_r": "",
    "se_e3": "seat.",
    "se_e3_tebd": "se_ttebd.",
    "se_atten": "se_atten.",
}  # where the program keeps a descriptor's parameters


def from_kit(kit: Kit) -> Imported:
    """The kit's model with its energies of elements."""
    try:
        model = read_deep_potential(kit.meta["resolved_hyperparameters"], kit.weights())
    except KeyError as error:
        raise CheckpointError(
            f"the description of {kit.name} lacks {error}: was it written by DeePMD-kit 3?"
        ) from None
    return Imported({"": model}, inputs=_inputs, differs=lambda atoms: _overfull(model, atoms))


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
    return _read_standard(options, weights, "atomic_model.")


def _read_standard(
    options: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    start: str,
    short_range: Mapping[str, Any] | None = None,
) -> Referenced:
    order: list[str] = list(options["type_map"])
    fitting = options["fitting"]
    _known(options, "type", "standard")
    _known(fitting, "type", "ener")
    _known(fitting, "dim_case_embd", 0)
    silent: set[str] = {order[k] for k in (*options["atom_exclude_types"], *fitting["exclude_types"])}
    vacuum = fitting["atom_ener"] is not None
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
            "vacuum": vacuum,
            "networks": "shared" if fitting["mixed_types"] else "element",
            "short_range": short_range,
        }
    )
    model = DeepPotential(config, [number(name) for name in order]).double()
    reader = _Reader(weights, [order.index(symbol(z)) for z in model.elements])
    with torch.no_grad():
        reader.descriptor(model.descriptor, options["descriptor"], f"{start}descriptor.")
        own = f"{start}fitting_net."
        reader.networks(model.networks, f"{own}filter_layers.networks.", [0] if model.shared else reader.order)
        for kind in ("fparam", "aparam"):
            if fitting[f"numb_{kind}"]:
                place = (
                    slice(0, config.frame_parameters) if kind == "fparam" else slice(config.frame_parameters, None)
                )
                model.parameters_mean[place] = reader(f"{own}{kind}_avg")
                model.parameters_factor[place] = reader(f"{own}{kind}_inv_std")
    energies = (reader(f"{own}bias_atom_e") + reader(f"{start}out_bias")[0])[:, 0].tolist()
    named = zip(order, energies, strict=True)
    return Referenced(model, {number(name): energy for name, energy in named if name not in silent})


def _read_mixed(options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Referenced:
    """A model whose energies of close pairs come from a table."""
    standard, tabulated = options["models"]
    _known(tabulated, "type", "pairtab")
    table, order = tabulated["tab"], options["type_map"]
    _known(tabulated, "rcut", standard["descriptor"]["rcut"])
    radii = {"inner": options["sw_rmin"], "outer": options["sw_rmax"], "length": options["smin_alpha"]}
    knots = {"start": table["rmin"], "step": table["hh"], "intervals": table["nspline"]}
    found = _read_standard(standard, weights, "atomic_model.models.0.", radii | knots)
    model, reader = found.model, _Reader(weights, [order.index(symbol(z)) for z in found.elements])
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


def _known(options: Mapping[str, Any], name: str, wanted: Any) -> None:
    if options.get(name, wanted) != wanted:
        raise CheckpointError(
            f"{name} is {options[name]!r} in the program's model, and the page has {wanted!r} alone."
        )


def _descriptor(
    options: Mapping[str, Any], order: Sequence[str], excluded: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Options of our descriptor from the program's."""
    if options["type"] == "hybrid":
        return {"kind": "hybrid", "parts": [_descriptor(part, order, excluded) for part in options["list"]]}
    if options["type"] not in _KINDS:
        hint = did_you_mean(options["type"], _KINDS)
        raise CheckpointError(f"the model has a descriptor '{options['type']}', which has no page.{hint}")
    _known(options, "env_protection", 0.0)
    kind = _KINDS[options["type"]]
    found = {
        "kind": kind,
        "cutoff": options["rcut"],
        "onset": options["rcut_smth"],
        "embedding": options["neuron"],
        "activation": options["activation_function"],
        "steps": options["resnet_dt"],
        "centered": not options["set_davg_zero"],
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
    _known(options, "exclude_types", [])
    if excluded:
        raise CheckpointError(f"{options['type']} with excluded pairs of elements has no page.")
    mixing = "strip" if options["type"] == "se_atten_v2" else options["tebd_input_mode"]
    return {"types": options["tebd_dim"], "mixing": mixing, "marked": options["concat_output_tebd"]}


def _attentive(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that se_atten has beside those."""
    for name, value in {"attn_mask": False, "lmax": 1}.items():
        _known(options, name, value)
    if options.get("ln_eps") is not None:
        _known(options, "ln_eps", 1e-5)
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


class _Reader:
    """The program's parameters by name, with elements in our order."""

    def __init__(self, weights: Mapping[str, Tensor], order: Sequence[int]):
        self.weights, self.order = weights, list(order)

    def __call__(self, name: str) -> Tensor:
        if name not in self.weights:
            raise CheckpointError(f"the weights have no '{name}': is it a model of DeePMD-kit's PyTorch backend?")
        return self.weights[name].double()

    def descriptor(self, descriptor: EmbeddedDescriptor | Hybrid, options: Mapping[str, Any], start: str) -> None:
        """Statistics and embedding networks; `options` are the program's."""
        if isinstance(descriptor, Hybrid):
            for place, part in enumerate(descriptor.members):
                self.descriptor(part, options["list"][place], f"{start}descrpt_list.{place}.")
            return
        start = start + _BLOCKS[descriptor.options.kind]  # type: ignore[attr-defined]
        mean, deviation = self(f"{start}mean")[self.order], self(f"{start}stddev")[self.order]
        own = descriptor.environment
        if bool((mean[..., 1:] != 0).any() or (mean != mean[:, :1]).any() or (deviation != deviation[:, :1]).any()):
            raise CheckpointError(
                f"'{start}mean' differs from slot to slot, which no data give: is the file damaged?"
            )
        if isinstance(descriptor, SeAtten | SeE3Tebd):
            self._typed(descriptor, options, start)
            descriptor.slots.zero_()[0] = mean.shape[1]  # of all elements together
        own.mean.copy_(mean[:, 0, 0])
        own.deviation[:, 0] = deviation[:, 0, 0]
        own.deviation[:, 1] = deviation[:, 0, -1]
        if not isinstance(descriptor, SeAtten | SeE3Tebd):
            self.networks(descriptor.embedding, f"{start}filter_layers.networks.", self._places(descriptor))  # type: ignore[attr-defined, arg-type]

    def _typed(self, descriptor: SeAtten | SeE3Tebd, options: Mapping[str, Any], start: str) -> None:
        """Vectors of the elements, networks and attention layers."""
        whole, networks = start.removesuffix(_BLOCKS[descriptor.own.kind]), descriptor.embedding
        vectors = self.element_vectors(whole, descriptor.elements, options["use_econf_tebd"])
        self._put(networks.types, vectors, f"{whole}type_embedding")
        self.networks(networks.first, f"{start}filter_layers.networks.", [0])
        if networks.second is not None:
            self.networks(networks.second, f"{start}filter_layers_strip.networks.", [0])
        for k, layer in enumerate(descriptor.attention if isinstance(descriptor, SeAtten) else ()):
            assert isinstance(layer, NeighborAttention)
            self._attention(layer, f"{start}dpa1_attention.attention_layers.{k}.")

    def _attention(self, layer: NeighborAttention, start: str) -> None:
        for linear, name in ((layer.inward, "in_proj"), (layer.outward, "out_proj")):
            self._copy(linear.weight.t(), f"{start}attention_layer.{name}.matrix")
            self._copy(linear.bias, f"{start}attention_layer.{name}.bias")
        self._copy(layer.norm.weight, f"{start}attn_layer_norm.matrix")
        self._copy(layer.norm.bias, f"{start}attn_layer_norm.bias")

    def element_vectors(self, start: str, elements: Sequence[int], configurations: bool) -> Tensor:
        """The program's type embedding of our elements `[elements, T]`, a linear layer of what tells them apart."""
        layer = f"{start}type_embedding.embedding.embedding_net.layers.0."
        matrix = self(f"{layer}matrix")
        if configurations:
            told = torch.as_tensor(spin_orbitals()[list(elements)])
        else:
            told = torch.eye(matrix.shape[0], dtype=torch.float64)[self.order]
        found = told @ matrix
        if f"{layer}bias" in self.weights:
            found = found + self(f"{layer}bias")
        # as all its layers do where widths agree
        wide = found.shape[1] // told.shape[1]
        return found + told.repeat(1, wide) if found.shape[1] == wide * told.shape[1] and wide in (1, 2) else found

    def _places(self, descriptor: EmbeddedDescriptor) -> list[int]:
        """The program's number of each of our embedding networks."""
        kinds, order = descriptor.kinds, self.order
        if isinstance(descriptor, SeE3):
            row, column = torch.triu_indices(kinds, kinds).tolist()
            pairs = [sorted((order[a], order[b])) for a, b in zip(row, column, strict=True)]
            return [a + kinds * b for a, b in pairs]
        assert isinstance(descriptor, TwoBodyDescriptor)
        if descriptor.one_side:
            return order
        return [center + kinds * neighbor for center in order for neighbor in order]

    def networks(self, networks: GroupedNetworks, start: str, places: Sequence[int]) -> None:
        """Weights of all kinds; `places` are the program's numbers of them."""
        for kind, place in enumerate(places):
            for k, (weight, bias) in enumerate(zip(networks.weights, networks.biases, strict=True)):
                layer = f"{start}{place}.layers.{k}."
                self._copy(weight[kind], f"{layer}matrix")
                self._copy(bias[kind], f"{layer}bias")
                if str(k) in networks.steps:
                    self._copy(networks.steps[str(k)][kind], f"{layer}idt")

    def _copy(self, own: Tensor, name: str) -> None:
        self._put(own, self(name), name)

    def _put(self, own: Tensor, value: Tensor, name: str) -> None:
        if value.shape != own.shape:
            raise CheckpointError(
                f"'{name}' has shape {tuple(value.shape)} where {tuple(own.shape)} is needed: do options and weights"
                " belong together?"
            )
        own.copy_(value)


def _inputs(potential: Potential, atoms: ase.Atoms, given: Mapping[str, np.ndarray]) -> None:
    """Sets the parameters that the program was given, and what it takes empty slots of se_atten for."""
    assert isinstance(potential, Referenced)
    model = potential.model
    assert isinstance(model, DeepPotential)
    if isinstance(model.descriptor, SeAtten):  # the element of a frame's first atom, whatever that means
        model.descriptor.of_empty.copy_(
            model.descriptor.embedding.types.detach()[model.elements.index(int(atoms.numbers[0]))]
        )
    if "fparam" in given or "aparam" in given:
        frame, atom = (torch.as_tensor(given.get(name, np.zeros(0))) for name in ("fparam", "aparam"))
        model.set_parameters(frame, atom)


def _overfull(model: Referenced, atoms: ase.Atoms) -> str:
    """Whether some atom has more neighbors than slots, of which the program drops the farthest."""
    inner = model.model
    assert isinstance(inner, DeepPotential)
    system = System.from_ase(atoms, model.dtype)
    descriptor = inner.descriptor
    for part in descriptor.members if isinstance(descriptor, Hybrid) else (descriptor,):
        graph = Graph.build(system, part.cutoff)
        place = graph.centers * part.kinds + part.element[system.numbers[graph.neighbors]]
        counts = torch.bincount(place, minlength=system.atoms * part.kinds).view(-1, part.kinds)
        full = counts.sum(dim=1) > part.slots.sum() if isinstance(part, SeAtten | SeE3Tebd) else counts > part.slots
        if bool(full.any()):
            return "an atom has more neighbors than the program keeps, which drops the farthest"
    return ""
