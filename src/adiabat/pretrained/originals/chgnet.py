"""chgnet (doi:10.1038/s42256-023-00716-3): `.pth.tar` files with arguments and state of a model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.inert import tensors
from adiabat.pretrained.originals.source import Source

_OWN = "composition_model.fc.weight"  # a parameter that no other program's files have


def recognize(source: Source) -> bool:
    """A dictionary with the arguments and the state of a CHGNet."""
    if source.kind not in ("torch", "legacy torch", "pickle"):
        return False
    model = _model(source)
    return isinstance(model.get("model_args"), dict) and _OWN in _state(model)


def read(source: Source) -> Kit:
    """The model with its composition energies, for the elements of the options, or for all it has rows for.

    Raises:
        CheckpointError: the file has another layout.
    """
    model = _model(source)
    weights, options = _state(model), model.get("model_args")
    if not isinstance(options, dict) or _OWN not in weights:
        raise CheckpointError(f"{source.path} has no model with model_args and state_dict, as chgnet writes them.")
    meta = {"method": "chgnet", "program": "chgnet", "hyperparameters": options, "units": "eV"}
    if source.options.elements:
        meta["elements"] = list(source.options.elements)
    return Kit.of("chgnet-original", meta, weights, path=source.path)


def _model(source: Source) -> dict[str, Any]:
    content = source.content
    model = content.get("model", content) if isinstance(content, dict) else {}
    return model if isinstance(model, dict) else {}


def _state(model: dict[str, Any]) -> dict[str, Tensor]:
    return tensors(model.get("state_dict", {}))
