"""SpookyNet (doi:10.1038/s41467-021-27504-0): files that its `save` writes (`parameters.pth`), in eV."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """A dictionary with state_dict and the program's arguments beside it."""
    if source.kind not in ("torch", "legacy torch"):
        return False
    content = source.content
    return isinstance(content, dict) and {"state_dict", "num_modules", "use_d4_dispersion"} <= content.keys()


def read(source: Source) -> Kit:
    """The model with D4's tables, for the elements of the options, or for all up to radon.

    Raises:
        CheckpointError: the file holds no tensors by name.
    """
    content: dict[str, Any] = source.content
    weights = content["state_dict"]
    if not isinstance(weights, dict):
        raise CheckpointError(f"{source.path} has no weights by name: is it a file that SpookyNet saved?")
    weights = {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}
    options = {name: value for name, value in content.items() if name != "state_dict"}
    meta = {"program": "SpookyNet", "units": "eV", "hyperparameters": options}
    if source.options.elements:
        meta["elements"] = list(source.options.elements)
    return Kit.of("spookynet-original", meta, weights, path=source.path)
