"""TorchMD-Net (doi:10.1021/acs.jctc.4c00253): parameters of TensorNet under the program's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from adiabat.architectures.equivariant.tensornet import TensorNet, TensorNetConfig
from adiabat.potential import Referenced
from adiabat.pretrained.importers import tensornet
from adiabat.pretrained.importers.named_weights import Names, check_options, fill
from adiabat.pretrained.kit import Imported, Kit

_TENSORNET: Names = (
    *tensornet.NAMES,
    (r"^head\.layers\.0\.", "output_network.layers.0."),
    (r"^head\.layers\.1\.", "output_network.layers.2."),
    (r"^basis\.basis\.centers$", "distance_expansion.means"),
    (r"^basis\.basis\.widths$", "distance_expansion.betas"),
)


def from_kit(kit: Kit) -> Imported:
    """The kit's TensorNet, with the program's mean and standard deviation."""
    weights = kit.weights()
    rows = weights["representation_model.tensor_embedding.emb.weight"].shape[0]
    return Imported({"": read_tensornet(kit.meta["hyperparameters"], weights, range(1, rows))})


def read_tensornet(options: Mapping[str, Any], weights: Mapping[str, Tensor], elements: Iterable[int]) -> Referenced:
    """TensorNet in float64, in the program's own units.

    Args:
        options: the program's hyperparameters.
        weights: state of its TorchMD_Net.
        elements: atomic numbers whose embedding rows are kept.

    Raises:
        CheckpointError: an option that the page does not have; a parameter is missing or has another shape.
    """
    known = {
        "activation": "silu", "cutoff_lower": 0.0, "rbf_type": "expnorm", "output_model": "Scalar",
        "output_mlp_num_layers": 0, "prior_model": None, "reduce_op": "add", "q_dim": 0,
    }  # fmt: skip
    check_options(options, known, "TensorNet")
    mean, std = float(weights["mean"]), float(weights["std"])
    config = TensorNetConfig.parse(
        {
            "cutoff": options["cutoff_upper"],
            "channels": options["embedding_dimension"],
            "layers": options["num_layers"],
            "basis": options["num_rbf"],
            "group": options["equivariance_invariance_group"],
            "structure_energy": mean / std,
        }
    )
    model = TensorNet(config, elements).double()
    bare = {re.sub(r"^(representation|output)_model\.", "", name): value for name, value in weights.items()}
    # its directions point from the neighbor to the center
    fill(model, tensornet.in_layout(bare, sign=-1.0), _TENSORNET, model.elements)
    return Referenced(model, scale=std)
