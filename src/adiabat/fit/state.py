"""The state of a running fit as one safetensors file: weights, optimizer, average, random numbers, history.

Nested dictionaries and lists become JSON, with tensors kept apart under numbered names. No pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.files import write_atomically

_TENSOR, _PAIRS = "__tensor__", "__pairs__"


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON-ready copy of nested containers; tensors go into `tensors` and leave their name behind."""
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().cpu().contiguous().clone()
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
    text = json.dumps(pack(state, tensors))
    payload = to_bytes(tensors, {"fit_state": text})
    write_atomically(path, lambda file: file.write(payload))


def load_state(path: Path) -> dict[str, Any]:
    """Reads what `save_state` wrote. Raises CheckpointError for a missing, damaged or foreign file."""
    if not path.exists():
        raise CheckpointError(f"there is no {path} to resume from: start without resume.")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("fit_state")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable fit state ({error}).") from None
    if text is None:
        raise CheckpointError(f"{path} is not a fit state: it has no such header.")
    return unpack(json.loads(text), tensors)


def random_state() -> Tensor:
    """The state of torch's random numbers."""
    return torch.get_rng_state()


def restore_random_state(state: Tensor) -> None:
    """Continues torch's random numbers where they were."""
    torch.set_rng_state(state.to(torch.uint8))
