"""The state of a running fit as one archive: weights, optimizer, average, random numbers, history.

Nested dictionaries and lists become JSON, with tensors kept apart under numbered names. No pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adiabat.archive import read_archive, write_archive
from adiabat.errors import CheckpointError

_KIND = "adiabat-state"
_TENSOR, _PAIRS = "__tensor__", "__pairs__"


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON-ready copy of nested containers; tensors go into `tensors` and leave their name behind."""
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        # a list of pairs, because optimizer states have whole numbers as keys and JSON knows only text
        return {_PAIRS: [[key, pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [pack(item, tensors) for item in value]
    return value


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack` (tuples come back as lists)."""
    if isinstance(value, dict) and _TENSOR in value:
        return tensors[value[_TENSOR]]
    if isinstance(value, dict) and _PAIRS in value:
        return {key: unpack(item, tensors) for key, item in value[_PAIRS]}
    if isinstance(value, list):
        return [unpack(item, tensors) for item in value]
    return value


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Writes the state atomically."""
    tensors: dict[str, Tensor] = {}
    header = {"state": pack(state, tensors)}
    write_archive(path, tensors, header, _KIND)


def load_state(path: Path) -> dict[str, Any]:
    """Reads what `save_state` wrote. Raises CheckpointError for a missing, damaged or foreign file."""
    if not path.exists():
        raise CheckpointError(f"there is no {path} to resume from: start without resume.")
    tensors, header = read_archive(path, _KIND)
    return unpack(header["state"], tensors)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's random numbers."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Continues torch's random numbers where they were."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
