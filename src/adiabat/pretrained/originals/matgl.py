"""matgl (doi:10.1038/s41524-025-01742-y): folders with model.json and state.pt, of any of its models.

The options are read from model.json, which is plain text; the pickled model.pt beside it says the same and is not
opened. Energies are in eV. Nothing in a folder says which release trained it; the messages of its edges are taken to
go where those of all published models do, see `pretrained.importers.matgl`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from adiabat.elements import symbols
from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

_NORMALIZER = re.compile(r"Normalizer: Mean=(\S+), Std: (\S+)")
# the rows of a model that does not list its elements: but for CHGNet, none between bismuth and actinium
_ELEMENTS = symbols([*range(1, 84), *range(89, 95)])
_ALL_ELEMENTS = symbols(range(1, 95))


def recognize(source: Source) -> bool:
    """A folder with state.pt and a model.json that names a class of matgl."""
    if source.kind != "folder" or not (source.path / "state.pt").is_file():
        return False
    try:
        return str(_description(source.path).get("@module", "")).startswith("matgl.")
    except CheckpointError:
        return False


def read(source: Source) -> Kit:
    """The model with its scale and reference energies.

    Of CHGNet for the elements of the options, or for all it has rows for.

    Raises:
        CheckpointError: model.json is not readable or does not describe a model; state.pt holds no tensors by name.
    """
    described = _description(source.path)
    kwargs = described.get("kwargs", {})
    model = kwargs.get("model", described) if isinstance(kwargs, dict) else {}
    if not isinstance(model, dict) or not isinstance(model.get("init_args"), dict):
        raise CheckpointError(f"{source.path / 'model.json'} does not describe a model: it has no init_args.")
    if str(model.get("@module")).endswith("_tensornet_dgl"):
        # read like the newer ones, their lattice constants are wrong (MgO in r2SCAN: 4.52 Å)
        raise CheckpointError(
            f"{source.path} is a TensorNet of matgl's former backend (DGL), which is not read: take the file of the"
            " same name without DGL."
        )
    options, known = model["init_args"], _ALL_ELEMENTS if model.get("@class") == "CHGNet" else _ELEMENTS
    meta: dict[str, Any] = {
        "class": str(model.get("@class")),
        "program": "matgl",
        "messages": "neighbor",
        "units": "eV",
        "hyperparameters": options,
        "element_order": list(options.get("element_types") or known),
    }
    if meta["class"] == "CHGNet" and source.options.elements:
        meta["elements"] = list(source.options.elements)
    transformer = kwargs.get("target_transformer")
    if transformer is not None:
        found = _NORMALIZER.fullmatch(str(transformer))
        if found is None:
            raise CheckpointError(f"the target transformer '{transformer}' is not known: only a Normalizer is.")
        meta |= {"target_mean": float(found[1]), "target_std": float(found[2])}
    name = f"matgl-{meta['class'].lower()}-original"
    return Kit.of(name, meta, _weights(source), path=source.path)


def _description(folder: Path) -> dict[str, Any]:
    file = folder / "model.json"
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is not readable JSON: {error}.") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} holds no options by name.")
    return found


def _weights(source: Source) -> dict[str, Tensor]:
    file = source.path / "state.pt"
    found = Source(file).content
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise CheckpointError(f"{file} does not hold tensors by name: is it the state that matgl saved?")
    return {str(name): value.contiguous() for name, value in found.items()}
