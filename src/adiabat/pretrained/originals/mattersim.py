"""MatterSim (arXiv:2405.04967): checkpoints (`.pth`) of its M3GNet, in eV."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

# the program's own, for what a checkpoint leaves out
_DEFAULTS = {
    "num_blocks": 4,
    "units": 128,
    "max_l": 4,
    "max_n": 4,
    "cutoff": 5.0,
    "max_z": 94,
    "threebody_cutoff": 4.0,
}


def recognize(source: Source) -> bool:
    """A dictionary with model_name, model_args and model."""
    if source.kind not in ("torch", "legacy torch"):
        return False
    content = source.content
    return isinstance(content, dict) and {"model_name", "model_args", "model"} <= content.keys()


def read(source: Source) -> Kit:
    """The model with its scales and shifts of elements; averaged weights (`ema`) are not read, as in the program.

    Raises:
        CheckpointError: the model is no M3GNet, or the file holds no tensors by name.
    """
    content: dict[str, Any] = source.content
    if content["model_name"] != "m3gnet":
        raise CheckpointError(f"{source.path} has the model '{content['model_name']}': m3gnet can be read.")
    options, weights = content["model_args"], content["model"]
    if not isinstance(options, dict) or not isinstance(weights, dict):
        raise CheckpointError(f"{source.path} has no options and weights by name: is it a checkpoint of MatterSim?")
    weights = {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}
    meta = {"program": "mattersim", "units": "eV", "hyperparameters": _DEFAULTS | options}
    return Kit.of("mattersim-m3gnet-original", meta, weights, path=source.path)
