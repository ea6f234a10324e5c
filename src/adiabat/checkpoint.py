"""Checkpoints: one safetensors file with a JSON header and a SHA-256. Loading never executes code.

The header is the value of `adiabat` in the safetensors metadata:

| key | content |
|---|---|
| version | of this layout |
| adiabat | version of the package that wrote it |
| method, config, elements | what `adiabat.architectures.build` needs |
| referenced | whether the model is wrapped in `Referenced` |
| dtype | number type of the parameters |
| info | DataInfo |
| metrics, license, created | as given |

`sha256` beside it covers the header and every tensor's name, type, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from adiabat import __version__
from adiabat.architectures import build, method
from adiabat.data.info import DataInfo
from adiabat.errors import CheckpointError, ConfigError
from adiabat.files import write_atomically
from adiabat.potential import Potential, Referenced

VERSION = 1
# version -> function that turns a header of that version into the next; old files are upgraded step by step
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Loaded:
    """What a checkpoint holds."""

    potential: Potential
    info: DataInfo
    metrics: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)


def save(
    path: str | Path,
    potential: Potential,
    info: DataInfo,
    metrics: Mapping[str, Any] | None = None,
    license: str = "",
) -> Path:
    """Writes a checkpoint atomically: a crash leaves the old file intact."""
    config = potential.config
    name = getattr(config, "method", None)
    if name is None:
        raise ConfigError(f"{type(potential).__name__} has no method name in its configuration and cannot be saved.")
    header = {
        "version": VERSION,
        "adiabat": __version__,
        "method": name,
        "config": config.model_dump(mode="json"),
        "elements": list(potential.elements),
        "referenced": isinstance(potential, Referenced),
        "dtype": str(potential.dtype).removeprefix("torch."),
        "info": info.model_dump(mode="json"),
        "metrics": dict(metrics or {}),
        "license": license,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in potential.state_dict().items()}
    write_tensors(Path(path), tensors, header)
    return Path(path)


def load(path: str | Path) -> Loaded:
    """Reads a checkpoint.

    Raises CheckpointError if the file is damaged (truncated, flipped bits), foreign, or newer than this package.
    """
    path = Path(path)
    tensors, header = read_tensors(path)
    header = upgrade(header, path)
    try:
        page = method(header["method"])
        potential: Potential = build(page.config_class.parse(header["config"]), header["elements"])
    except (ConfigError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be rebuilt: {error}") from None
    potential = potential.to(_DTYPES[header["dtype"]])
    if header["referenced"]:
        potential = Referenced(potential)
    try:
        potential.load_arrays(tensors)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path} does not fit its own configuration: {error}") from None
    return Loaded(potential, DataInfo.parse(header["info"]), header["metrics"], header)


def upgrade(header: dict[str, Any], path: Path) -> dict[str, Any]:
    """Brings an older header to the present layout."""
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise CheckpointError(
            f"{path} has checkpoint version {version}, and this adiabat {__version__} reads up to {VERSION}:"
            " install a newer adiabat."
        )
    while version < VERSION:
        if version not in UPGRADES:
            raise CheckpointError(f"{path} has checkpoint version {version}, which can no longer be read.")
        header = UPGRADES[version](header)
        version = header["version"]
    return header


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """One safetensors file with a JSON header and the SHA-256 of both."""
    text = json.dumps(header, sort_keys=True)
    metadata = {"adiabat": text, "sha256": _digest(tensors, text)}
    payload = to_bytes(dict(tensors), metadata)
    write_atomically(path, lambda file: file.write(payload))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file that `write_tensors` wrote."""
    if not path.exists():
        raise CheckpointError(f"there is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable adiabat checkpoint ({error}): it is truncated, damaged or of another kind"
            " (pickles are never read)."
        ) from None
    if "adiabat" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file of another program: it has no adiabat header.")
    if metadata.get("sha256") != _digest(tensors, metadata["adiabat"]):
        raise CheckpointError(f"{path} is damaged: its SHA-256 does not match its content. Copy it again.")
    return tensors, json.loads(metadata["adiabat"])


def _digest(tensors: Mapping[str, Tensor], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
