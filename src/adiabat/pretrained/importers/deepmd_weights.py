"""Parameters of DeePMD-kit's PyTorch backend (doi:10.1063/5.0155600), by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adiabat.descriptors.embedded import EmbeddedDescriptor
from adiabat.descriptors.hybrid import Hybrid
from adiabat.descriptors.se_atten import SeAtten
from adiabat.descriptors.se_e2_a import TwoBodyDescriptor
from adiabat.descriptors.se_e3 import SeE3
from adiabat.descriptors.se_e3_tebd import SeE3Tebd
from adiabat.errors import CheckpointError
from adiabat.nn.electron_configurations import spin_orbitals
from adiabat.nn.environment_matrix import EnvironmentMatrix
from adiabat.nn.fittings import FittingHead
from adiabat.nn.grouped_networks import GroupedNetworks
from adiabat.nn.neighbor_attention import NeighborAttention

_BLOCKS = {
    "se_e2_a": "sea.",
    "se_e2_r": "",
    "se_e3": "seat.",
    "se_e3_tebd": "se_ttebd.",
    "se_atten": "se_atten.",
}  # where the program keeps a descriptor's parameters


def known(options: Mapping[str, Any], name: str, wanted: Any) -> None:
    """Refuses an option of the program that no page has.

    Raises:
        CheckpointError: it is there and has another value.
    """
    if options.get(name, wanted) != wanted:
        raise CheckpointError(
            f"{name} is {options[name]!r} in the program's model, and the page has {wanted!r} alone."
        )


class Reader:
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
        whole, start = start, start + _BLOCKS[descriptor.options.kind]  # type: ignore[attr-defined]
        if isinstance(descriptor, SeAtten | SeE3Tebd):
            self.typed(descriptor, options["use_econf_tebd"], whole, start)
            return
        self.statistics(descriptor.environment, start)
        self.networks(descriptor.embedding, f"{start}filter_layers.networks.", self._places(descriptor))  # type: ignore[attr-defined, arg-type]

    def statistics(self, environment: EnvironmentMatrix, start: str) -> int:
        """Takes over mean and deviation; the number of slots."""
        mean, deviation = self(f"{start}mean")[self.order], self(f"{start}stddev")[self.order]
        if bool((mean[..., 1:] != 0).any() or (mean != mean[:, :1]).any() or (deviation != deviation[:, :1]).any()):
            raise CheckpointError(
                f"'{start}mean' differs from slot to slot, which no data give: is the file damaged?"
            )
        environment.mean.copy_(mean[:, 0, 0])
        environment.deviation[:, 0] = deviation[:, 0, 0]
        environment.deviation[:, 1] = deviation[:, 0, -1]
        return mean.shape[1]

    def typed(self, descriptor: SeAtten | SeE3Tebd, configurations: bool, whole: str, start: str) -> None:
        """Statistics, vectors of the elements, networks and attention layers.

        Args:
            descriptor: to fill.
            configurations: whether elements are told apart by their electrons.
            whole: where the vectors of the elements lie.
            start: where the rest lies.
        """
        descriptor.slots.zero_()[0] = self.statistics(descriptor.environment, start)  # of all elements together
        networks = descriptor.embedding
        vectors = self.element_vectors(whole, descriptor.elements, configurations)
        self.put(networks.types, vectors, f"{whole}type_embedding")
        self.networks(networks.first, f"{start}filter_layers.networks.", [0])
        if networks.second is not None:
            self.networks(networks.second, f"{start}filter_layers_strip.networks.", [0])
        for k, layer in enumerate(descriptor.attention if isinstance(descriptor, SeAtten) else ()):
            assert isinstance(layer, NeighborAttention)
            self._attention(layer, f"{start}dpa1_attention.attention_layers.{k}.")

    def _attention(self, layer: NeighborAttention, start: str) -> None:
        for linear, name in ((layer.inward, "in_proj"), (layer.outward, "out_proj")):
            self.copy(linear.weight.t(), f"{start}attention_layer.{name}.matrix")
            self.copy(linear.bias, f"{start}attention_layer.{name}.bias")
        self.copy(layer.norm.weight, f"{start}attn_layer_norm.matrix")
        self.copy(layer.norm.bias, f"{start}attn_layer_norm.bias")

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

    def head(self, head: FittingHead, options: Mapping[str, Any], start: str) -> None:
        """Constants and factors of the elements."""
        head.constant.copy_(self(f"{start}fitting_net.bias_atom_e")[self.order])
        bias, factor = self(f"{start}out_bias")[0], self(f"{start}out_std")[0]
        if options["type"] == "polar":
            scale = self.weights.get(f"{start}fitting_net.scale", torch.as_tensor(options.get("scale", 1.0)))
            scale = scale.double().flatten().expand(len(bias))[self.order, None]
            head.factor.copy_(scale.expand_as(head.factor))
            if options["shift_diag"]:
                own = bias.view(-1, 3, 3).diagonal(dim1=1, dim2=2).mean(dim=1)
                head.isotropic.copy_(own[self.order] * scale[:, 0])
        elif options["type"] == "property":
            told = self.order if options["distinguish_types"] else [0] * len(self.order)
            head.factor.copy_(factor[told])
            head.constant.mul_(head.factor).add_(bias[told])
        elif options["type"] == "dos":
            head.constant.add_(bias[self.order])
        if options["type"] == "polar":
            head.constant.mul_(head.factor)

    def networks(self, networks: GroupedNetworks, start: str, places: Sequence[int]) -> None:
        """Weights of all kinds; `places` are the program's numbers of them."""
        for kind, place in enumerate(places):
            for k, (weight, bias) in enumerate(zip(networks.weights, networks.biases, strict=True)):
                layer = f"{start}{place}.layers.{k}."
                self.copy(weight[kind], f"{layer}matrix")
                self.copy(bias[kind], f"{layer}bias")
                if str(k) in networks.steps:
                    self.copy(networks.steps[str(k)][kind], f"{layer}idt")

    def copy(self, own: Tensor, name: str) -> None:
        """Takes over the parameter of this name, of the same shape."""
        self.put(own, self(name), name)

    def joined(self, parts: Sequence[Tensor] | nn.ParameterList, name: str) -> None:
        """Takes over the matrix of this name for a layer whose inputs lie side by side."""
        whole = torch.cat([weight.t() for weight in parts])
        self.copy(whole, name)
        for weight, part in zip(parts, whole.split([weight.shape[1] for weight in parts]), strict=True):
            weight.copy_(part.t())

    def put(self, own: Tensor, value: Tensor, name: str) -> None:
        """Takes over a value of the same shape, which is made of the parameter of this name."""
        if value.shape != own.shape:
            raise CheckpointError(
                f"'{name}' has shape {tuple(value.shape)} where {tuple(own.shape)} is needed: do options and weights"
                " belong together?"
            )
        own.copy_(value)
