"""Archives: named tensors and a JSON header in one safetensors file, covered by a SHA-256. Never a pickle.

The header's text is the value of the metadata key of its kind (`adiabat` for models, `adiabat-state` for running
fits); `sha256` beside it covers that text and every tensor's name, type, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.files import write_atomically

KINDS = {"adiabat": "model", "adiabat-state": "state of a running fit"}
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def write_archive(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], kind: str = "adiabat"
) -> None:
    """Writes atomically: a crash leaves the old file or the new one."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps(header, sort_keys=True)
    payload = to_bytes(tensors, {kind: text, "sha256": _digest(tensors, text)})
    write_atomically(path, lambda file: file.write(payload))


def read_archive(path: Path, kind: str = "adiabat") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file that `write_archive` wrote.

    Raises CheckpointError if it is missing, truncated, damaged, a pickle, or of another program or kind.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: check the path.")
    data = path.read_bytes()
    if data.startswith(_PICKLES) and data[8:9] != b"{":  # the length of a safetensors header may look like a pickle
        raise CheckpointError(
            f"{path} is a pickle or zip file, which may hold code: adiabat never reads those as"
            " models. `adiabat weights import` takes the weights out of it and executes nothing."
        )
    try:
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
        tensors = from_bytes(data)
    except (SafetensorError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): it is truncated, damaged or not an adiabat file."
        ) from None
    if kind not in metadata:
        others = [what for name, what in KINDS.items() if name in metadata]
        found = f"the {others[0]}" if others else "a safetensors file of another program"
        raise CheckpointError(f"{path} is {found}, where the {KINDS[kind]} of an adiabat run is needed.")
    if metadata.get("sha256") != _digest(tensors, metadata[kind]):
        raise CheckpointError(f"{path} is damaged: its SHA-256 does not match its content. Copy it again.")
    return tensors, json.loads(metadata[kind])


def _digest(tensors: Mapping[str, Tensor], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
