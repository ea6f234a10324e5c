"""NeuroChem's files (doi:10.1039/C6SC05720A): .params, self energies, and a folder of networks for each member.

The layout that ANI-1x and its successors are published in:

    rHCNO-5.2R_16-3.5A_a4-8.params    parameters of the descriptor and the elements, text
    sae_linfit.dat                    self energies, Hartree, text
    train0/networks/ANN-H.nnf ...     layers of one network: text, compressed, behind its length
    train0/networks/ANN-H.nnf-l1.wparam, .bparam ...    weights and biases of its layers, bare float32

The folder of all members is read, or that of one (`train0`), or a file `.info` of four lines: the .params file, the
file of self energies, the members' folders without their number, and how many there are.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adiabat.elements import number
from adiabat.errors import AdiabatError, CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.source import Source

_NAMES = {
    "EtaR": "radial.eta",
    "ShfR": "radial.shifts",
    "EtaA": "angular.eta",
    "Zeta": "angular.zeta",
    "ShfA": "angular.shifts",
    "ShfZ": "angular.sections",
}
_AEV = "potentials.nnp.aev_computer."
_CELU, _GAUSSIAN, _LINEAR = 9, 5, 6
_LONGEST = 1 << 20  # bytes of a description of layers
_KEY = re.compile(r"^\s*(\w+)\s*=\s*(.*?)\s*;?\s*$")
_FILE = re.compile(r"^FILE:([\w.+-]+)\[(\d+)\]$")


@dataclass(frozen=True)
class _Files:
    """Where the parts of an ensemble are."""

    params: Path
    energies: Path
    members: Sequence[Path]


def recognize(source: Source) -> bool:
    """A folder with one .params file, or an .info file that names one."""
    if source.kind == "folder":
        return any(source.path.glob("*.params"))
    return source.path.suffix == ".info" and source.kind == "text" and ".params" in source.text


def read(source: Source) -> Kit:
    """The ensemble under TorchANI's names.

    Raises:
        CheckpointError: a file is missing, damaged, or describes something other than dense layers.
    """
    files = _from_info(source) if source.kind == "text" else _from_folder(source.path)
    names, cutoff, weights = _parameters(files.params)
    weights["energy_shifter.self_energies"] = _self_energies(files.energies, names)
    activations: set[int] = set()
    for place, folder in enumerate(files.members):
        for name in names:
            start = f"potentials.nnp.neural_networks.members.{place}.atomics.{name}."
            for key, value in _network(folder / f"ANN-{name}.nnf", activations):
                weights[start + key] = value
    if len(activations) > 1:
        raise CheckpointError(f"{source.path} has networks with different activations, which the page ANI has not.")
    activation = {_CELU: "celu", _GAUSSIAN: "gaussian"}[activations.pop()]
    meta = {"program": "NeuroChem", "elements": names, "cutoff": cutoff, "activation": activation}
    return Kit.of("ani-original", meta, weights, path=source.path)


def _from_folder(folder: Path) -> _Files:
    members = [folder] if (folder / "networks").is_dir() else []
    numbered = {int(m[1]): p for p in folder.iterdir() if (m := re.fullmatch(r"train(\d+)", p.name))}
    members += [numbered[k] for k in sorted(numbered)]
    if not members:
        raise CheckpointError(f"{folder} has no folder 'networks' or 'train0': give the folder of the whole model.")
    return _Files(_only(folder, "*.params"), _only(folder, "sae*.dat"), [m / "networks" for m in members])


def _from_info(source: Source) -> _Files:
    lines = [line.strip() for line in source.text.splitlines() if line.strip()]
    if len(lines) < 4 or not lines[3].isdigit():
        raise CheckpointError(f"{source.path} is not an .info file: it needs two files, a prefix and a number.")
    for line in lines[:3]:
        if Path(line).is_absolute() or ".." in Path(line).parts:
            raise CheckpointError(f"{source.path} names '{line}', outside of its own folder: correct the path.")
    params, energies, prefix = (source.path.parent / line for line in lines[:3])
    return _Files(params, energies, [Path(f"{prefix}{k}") / "networks" for k in range(int(lines[3]))])


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise CheckpointError(f"{folder} has {len(found)} files {pattern} where one is needed: give an .info file.")
    return found[0]


def _text(path: Path) -> str:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: is the model's folder complete?")
    return path.read_text(errors="replace")


def _parameters(path: Path) -> tuple[list[str], dict[str, float], dict[str, Tensor]]:
    """Elements, cutoffs and the descriptor's parameters, rounded to single precision as the program has them."""
    words = {m[1]: m[2].strip("[]") for line in _text(path).splitlines() if (m := _KEY.match(line))}
    missing = [key for key in ("Rcr", "Rca", "Atyp", *_NAMES) if key not in words]
    if missing:
        raise CheckpointError(f"{path} has no {missing[0]}: is it a .params file of NeuroChem?")
    if words.get("TM", "1") != "1":
        raise CheckpointError(f"{path} has symmetry functions of type TM = {words['TM']}: only type 1 is known.")
    try:
        names = [word.strip() for word in words["Atyp"].split(",")]
        for name in names:
            number(name)
        weights = {_AEV + own: torch.tensor(_numbers(words[key])).float() for key, own in _NAMES.items()}
        return names, {"radial": float(words["Rcr"]), "angular": float(words["Rca"])}, weights
    except (ValueError, AdiabatError) as error:
        raise CheckpointError(f"{path} is not readable: {error}") from None


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split(",")]


def _self_energies(path: Path, names: Sequence[str]) -> Tensor:
    """Lines such as `C,1=-38.08316124`, Hartree, in the order of the elements."""
    found = dict(re.findall(r"^\s*(\w+)\s*,\s*\d+\s*=\s*(\S+)", _text(path), re.MULTILINE))
    missing = [name for name in names if name not in found]
    if missing:
        raise CheckpointError(f"{path} has no self energy of {missing[0]}.")
    try:
        return torch.tensor([float(found[name]) for name in names], dtype=torch.float64)
    except ValueError as error:
        raise CheckpointError(f"{path} is not readable: {error}.") from None


def _network(path: Path, activations: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Weights and biases of an .nnf file's layers by name; adds the hidden layers' activations to the set."""
    layers = list(_layers(path))
    if len(layers) < 2:
        raise CheckpointError(f"{path} has {len(layers)} layers: it needs a hidden one and the output.")
    for depth, layer in enumerate(layers):
        last = depth == len(layers) - 1
        kind, rows, columns = (_whole(path, layer, key) for key in ("activation", "nodes", "blocksize"))
        if _whole(path, layer, "type") != 0 or kind not in ((_LINEAR,) if last else (_CELU, _GAUSSIAN)):
            raise CheckpointError(f"layer {depth + 1} of {path} is of a kind that is not known (activation {kind}).")
        if not last:
            activations.add(kind)
        weight = _values(path, layer, "weights", rows * columns).view(rows, columns)
        bias = _values(path, layer, "biases", rows)
        # the program's Gaussian is exp(−x²), the page's exp(−x²/2)
        factor = 2.0**0.5 if kind == _GAUSSIAN else 1.0
        start = "final_layer" if last else f"layers.{depth}"
        yield f"{start}.weight", weight.double() * factor
        yield f"{start}.bias", bias.double() * factor


def _layers(path: Path) -> Iterator[Mapping[str, str]]:
    """The key and value pairs between `layer [` and `]`."""
    inside: dict[str, str] | None = None
    for line in _description(path).splitlines():
        if re.match(r"^\s*layer\s*\[\s*$", line):
            inside = {}
        elif line.strip() == "]" and inside is not None:
            yield inside
            inside = None
        elif inside is not None and (match := _KEY.match(line)):
            inside[match[1]] = match[2]


def _description(path: Path) -> str:
    """The text in an .nnf file: its length, `=`, a line break and a bzip2 stream."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: is the model's folder complete?")
    head, _, packed = path.read_bytes()[:_LONGEST].partition(b"=\n")
    try:
        if not head.strip().isdigit():
            raise ValueError("it does not begin with a length")
        unpacked = bz2.BZ2Decompressor().decompress(packed, _LONGEST)
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} is not an .nnf file of NeuroChem: {error}.") from None
    return unpacked.decode("ascii", errors="replace")


def _whole(path: Path, layer: Mapping[str, Any], key: str) -> int:
    value = layer.get(key, "")
    if not re.fullmatch(r"\d{1,7}", value):
        raise CheckpointError(f"{path} has a layer with {key} '{value}', which is no whole number.")
    return int(value)


def _values(path: Path, layer: Mapping[str, str], key: str, count: int) -> Tensor:
    """The float32 numbers of a file beside the .nnf file."""
    match = _FILE.match(layer.get(key, ""))
    if match is None or int(match[2]) != count:
        raise CheckpointError(f"{path} has a layer with {key} '{layer.get(key, '')}' where {count} are needed.")
    file = path.parent / match[1]
    if not file.is_file() or file.stat().st_size != 4 * count:
        raise CheckpointError(f"{file}, which {path.name} names, is missing or not {4 * count} bytes long.")
    values = np.fromfile(file, dtype="<f4")
    if not np.isfinite(values).all():
        raise CheckpointError(f"{file} holds values that are not finite.")
    return torch.from_numpy(values.astype(np.float32))
