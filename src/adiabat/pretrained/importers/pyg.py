"""PyTorch Geometric (arXiv:1903.02428): parameters of its SchNet under the program's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.elements import number
from adiabat.potential import Referenced
from adiabat.pretrained.importers.named_weights import Names, fill
from adiabat.pretrained.kit import Imported, Kit

_NAMES: Names = (
    (r"^embedding\.table$", "embedding.weight"),
    (r"^basis\.centers$", "distance_expansion.offset"),
    (r"^basis\.widths$", "widths"),
    (r"^head\.layers\.0\.", "lin1."),
    (r"^head\.layers\.1\.", "lin2."),
    (r"\.inward\.", ".conv.lin1."),
    (r"\.convolution\.filters\.layers\.0\.", ".mlp.0."),
    (r"\.convolution\.filters\.layers\.1\.", ".mlp.2."),
    (r"\.outward\.layers\.0\.", ".conv.lin2."),
    (r"\.outward\.layers\.1\.", ".lin."),
)


def from_kit(kit: Kit) -> Imported:
    """The kit's SchNet with the program's mean, standard deviation and atom references."""
    elements = [number(name) for name in kit.meta["elements"]]
    return Imported({"": read_schnet(kit.meta["hyperparameters"], kit.weights(), elements)})


def read_schnet(options: Mapping[str, float], weights: Mapping[str, Tensor], elements: Iterable[int]) -> Referenced:
    """SchNet in float64, in the program's own units.

    Args:
        options: the program's hidden_channels, num_filters, num_interactions, num_gaussians, cutoff, mean and std;
            the last two are not among its parameters.
        weights: state of the program's SchNet.
        elements: atomic numbers whose embedding rows are kept.

    Raises:
        CheckpointError: a parameter is missing or has another shape.
    """
    config = SchNetConfig.parse(
        {
            "cutoff": options["cutoff"],
            "channels": options["hidden_channels"],
            "layers": options["num_interactions"],
            "basis": options["num_gaussians"],
            "filters": options["num_filters"],
            "head_activation": "shifted-softplus",
        }
    )
    model = SchNet(config, elements).double()
    centers = weights["distance_expansion.offset"].double()
    widths = (centers[1] - centers[0]) * torch.ones_like(centers)
    fill(model, {**weights, "widths": widths}, _NAMES, model.elements)
    reference = {z: float(options.get("mean") or 0.0) for z in model.elements}
    if "atomref.weight" in weights:
        for z in model.elements:
            reference[z] += float(weights["atomref.weight"][z, 0])
    return Referenced(model, reference, float(options.get("std") or 1.0))
