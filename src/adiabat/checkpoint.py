"""Checkpoints: one archive (safetensors, JSON header, SHA-256) a model. Loading never executes code.

The header:

| key | content |
|---|---|
| version | of this layout |
| adiabat | version of the package that wrote it |
| method, config, elements | what `adiabat.architectures.build` needs |
| referenced | whether the model is wrapped in `Referenced` |
| added | method, config and elements of the further terms of a `Sum`, in order; absent without |
| dtype | number type of the parameters |
| info | DataInfo |
| metrics, license, created | as given |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adiabat import __version__
from adiabat.architectures import build, method
from adiabat.archive import read_archive, write_archive
from adiabat.data.info import DataInfo
from adiabat.errors import CheckpointError, ConfigError
from adiabat.potential import ArchitectureConfig, Potential, Referenced
from adiabat.sums import Sum

VERSION = 1
Content = tuple[dict[str, Tensor], dict[str, Any]]
# version -> function that turns tensors and header of that version into the next one's; old files climb step by step
UPGRADES: dict[int, Callable[[dict[str, Tensor], dict[str, Any]], Content]] = {}
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
    model, *added = list(potential.terms) if isinstance(potential, Sum) else [potential]
    header = {
        "version": VERSION,
        "adiabat": __version__,
        **_described(model),  # type: ignore[arg-type]
        "referenced": isinstance(model, Referenced),
        "dtype": str(potential.dtype).removeprefix("torch."),
        "info": info.model_dump(mode="json"),
        "metrics": dict(metrics or {}),
        "license": license,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if added:
        header["added"] = [_described(term) for term in added]  # type: ignore[arg-type]
    write_archive(Path(path), potential.state_dict(), header)
    return Path(path)


def _described(potential: Potential) -> dict[str, Any]:
    """What builds a potential anew."""
    name = getattr(potential.config, "method", None)
    if name is None:
        raise ConfigError(f"{type(potential).__name__} has no method name in its configuration and cannot be saved.")
    config = potential.config.model_dump(mode="json")
    return {"method": name, "config": config, "elements": list(potential.elements)}


def load(path: str | Path) -> Loaded:
    """Reads a checkpoint.

    Raises CheckpointError if the file is damaged (truncated, flipped bits), foreign, or newer than this package.
    """
    path = Path(path)
    tensors, header = upgrade(*read_archive(path), path)
    try:
        potential = _rebuilt(header, header["dtype"])
        if header["referenced"]:
            potential = Referenced(potential)
        if header.get("added"):
            potential = Sum([potential, *(_rebuilt(one, header["dtype"]) for one in header["added"])])
        potential.load_arrays(tensors)
        info = DataInfo.parse(header["info"])
    except (ConfigError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path} does not fit its own configuration: {error}") from None
    return Loaded(potential, info, header["metrics"], header)


def _rebuilt(described: Mapping[str, Any], dtype: str) -> Potential:
    config = method(described["method"]).config_class.parse(described["config"])
    return fresh(config, described["elements"]).to(_DTYPES[dtype])


def fresh(config: ArchitectureConfig, elements: Iterable[int]) -> Potential:
    """A new potential whose constants are computed in float64, whatever torch's default type is.

    A model trained in float32 is cast afterwards, so that a loaded one has the very same constants.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return build(config, elements)
    finally:
        torch.set_default_dtype(before)


def upgrade(tensors: dict[str, Tensor], header: dict[str, Any], path: Path) -> Content:
    """Brings the content of an older file to the present layout."""
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise CheckpointError(
            f"{path} has checkpoint version {version}, and this adiabat {__version__} reads up to {VERSION}:"
            " install a newer adiabat."
        )
    while version < VERSION:
        if version not in UPGRADES:
            raise CheckpointError(f"{path} has checkpoint version {version}, which can no longer be read.")
        tensors, header = UPGRADES[version](tensors, header)
        version += 1
    return tensors, header | {"version": VERSION}
