""".snapcoeff and .snapparam of LAMMPS and FitSNAP (doi:10.1016/j.jcp.2014.12.018), read and written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.elements import number, symbol
from adiabat.errors import CapabilityError, CheckpointError
from adiabat.files import write_text
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.kit import Imported, Kit

# keyword of LAMMPS -> option of the descriptor; the first two have to be there
_NUMBERS = {"rcutfac": "cutoff", "twojmax": "twojmax", "rfac0": "rfac0", "rmin0": "rmin0"}
_FLAGS = {
    "switchflag": "switch",
    "bzeroflag": "subtract",
    "bnormflag": "normalized",
    "chemflag": "by_element",
    "wselfallflag": "self_in_all",
}
_DEFAULTS = {"rfac0": 0.99363, "rmin0": 0.0, "switchflag": 1, "bzeroflag": 1}  # LAMMPS's, others are 0
_NO_EFFECT = {"diagonalstyle": "3", "chunksize": "", "parallelthresh": ""}  # the value they must have, if any


def from_kit(kit: Kit) -> Imported:
    """The kit's two files, alone and above the repulsion that its meta.json names; or an original file."""
    if not kit.path.is_dir():
        return Imported({"": read_snap(kit.path, repulsion=kit.meta.get("repulsion"))})
    zbl = kit.meta.get("zbl")
    file = next(iter(sorted(kit.path.glob("*.snapcoeff"))), kit.path / "pot.snapcoeff")
    potentials: dict[str, Potential] = {"snap": read_snap(file)}
    if zbl:
        model = read_snap(file, repulsion=(zbl["inner"], zbl["outer"]))
        assert model.fixed is not None
        potentials |= {"snap_zbl": model, "zbl": model.fixed}
    return Imported(potentials)


def read_snap(
    coefficients: str | Path, parameters: str | Path | None = None, repulsion: tuple[float, float] | None = None
) -> SNAP:
    """The potential in two files, in float64.

    Args:
        coefficients: the .snapcoeff.
        parameters: the .snapparam; by default the one beside it with the same name.
        repulsion: radii of `pair_style zbl` of LAMMPS, Å, which neither file holds; by default those of the .mod
            file beside them, if there is one.

    Raises:
        CheckpointError: a file is damaged, or has an option that is not known.
    """
    file = Path(coefficients)
    given = _parameters(Path(parameters) if parameters is not None else file.with_suffix(".snapparam"))
    names, radii, weights, rows = _coefficients(file)
    repulsion = repulsion or _repulsion(file.with_suffix(".mod"))
    options: dict[str, Any] = {own: given[key] for key, own in _NUMBERS.items()}
    options |= {own: bool(given.get(key, 0)) for key, own in _FLAGS.items()}
    options |= {"radii": dict(zip(names, radii, strict=True)), "weights": dict(zip(names, weights, strict=True))}
    if given.get("switchinnerflag"):
        both = zip(given.get("sinner", ()), given.get("dinner", ()), strict=False)
        options["inner"] = dict(zip(names, both, strict=False))
        if len(options["inner"]) < len(names):
            raise CheckpointError(f"switchinnerflag of {file.stem} needs sinner and dinner of every element.")
    config = SNAPConfig.parse(
        {"descriptor": options, "quadratic": bool(given.get("quadraticflag")), "repulsion": repulsion}
    )
    order = [number(name) for name in names]
    model = SNAP(config, order).double()
    if rows.shape[1] != model.head.weights.shape[1]:  # type: ignore[union-attr]
        raise CheckpointError(
            f"{file} has {rows.shape[1]} coefficients of each element and its .snapparam asks for"
            f" {model.head.weights.shape[1]}: are the two of one potential?"  # type: ignore[union-attr]
        )
    places = [model.elements.index(z) for z in order]
    with torch.no_grad():
        ours = torch.from_numpy(rows)[:, _columns(model, order)]
        model.head.weights[places] = ours  # type: ignore[index]
    return model


def write_snap(potential: Potential, file: str | Path) -> list[Path]:
    """Writes .snapcoeff, .snapparam and, where there is a repulsion, a .mod that LAMMPS includes.

    Reference energies become part of the constants. Components that are always equal get equal coefficients, which
    leaves the energy as it is: the forces of LAMMPS are those of its energy only then.

    Args:
        potential: SNAP, alone or `Referenced`.
        file: path of the .snapcoeff; the others get its name.

    Raises CapabilityError for other potentials.
    """
    model = potential.model if isinstance(potential, Referenced) else potential
    if not isinstance(model, SNAP):
        raise CapabilityError(f"{type(model).__name__} cannot be written as .snapcoeff: only SNAP can.")
    file = Path(file).with_suffix(".snapcoeff")
    weights = _symmetric(model, model.head.weights.detach().double().cpu())  # type: ignore[arg-type]
    if isinstance(potential, Referenced):
        scale = float(potential.scale)
        if model.fixed is not None and scale != 1.0:
            raise CapabilityError(
                f"SNAP with a repulsion and scale {scale:g} cannot be written: train with data.scale 1."
            )
        weights = weights * scale
        weights[:, 0] += potential.reference[list(model.elements)].double().cpu()
    names = [symbol(z) for z in model.elements]
    options = model.config.descriptor
    lines = [f"# written by adiabat, units metal\n\n{len(names)} {weights.shape[1]}"]
    for name, row in zip(names, weights, strict=True):
        lines.append(f"{name} {options.radii.get(name, 0.5)!r} {options.weights.get(name, 1.0)!r}")
        lines += [f"{value:.17g}" for value in row.tolist()]
    write_text(file, "\n".join(lines) + "\n")
    written = [file, file.with_suffix(".snapparam")]
    write_text(written[1], _parameter_lines(model, names))
    if model.config.repulsion is not None:
        written.append(file.with_suffix(".mod"))
        write_text(written[2], _commands(model, names, file))
    return written


def _symmetric(model: SNAP, weights: Tensor) -> Tensor:
    """Coefficients averaged over components that are equal: elements of equal levels may exchange their places."""
    labels, channels, size = model.descriptor.coupling.labels, model.descriptor.channels, model.descriptor.size
    mean = torch.zeros((size, size), dtype=torch.float64)
    grid = torch.arange(size).view(channels, channels, channels, len(labels))
    for place, levels in enumerate(labels):
        orders = [o for o in permutations(range(3)) if tuple(levels[k] for k in o) == levels]
        for order in orders:
            mean[grid[..., place].flatten(), grid[..., place].permute(order).flatten()] += 1.0 / len(orders)
    made = weights.clone()
    made[:, 1 : 1 + size] = weights[:, 1 : 1 + size] @ mean
    if model.config.quadratic:
        first, second = torch.triu_indices(size, size)
        for row, own in zip(made, weights, strict=True):
            form = torch.zeros((size, size), dtype=torch.float64)
            form[first, second] = form[second, first] = own[1 + size :]
            row[1 + size :] = (mean @ form @ mean)[first, second]
    return made


def _parameter_lines(model: SNAP, names: Sequence[str]) -> str:
    options = model.config.descriptor
    lines = [f"{key} {getattr(options, own)!r}" for key, own in _NUMBERS.items()]
    lines += [f"{key} {int(getattr(options, own))}" for key, own in _FLAGS.items()]
    lines.append(f"quadraticflag {int(model.config.quadratic)}")
    if options.inner:
        if missing := [name for name in names if name not in options.inner]:
            raise CapabilityError(f"the inner switch leaves {missing[0]} out, which LAMMPS does not know: give all.")
        columns = zip(*(options.inner[name] for name in names), strict=True)
        keys = ("sinner", "dinner")
        lines.append("switchinnerflag 1")
        lines += [f"{key} {' '.join(map(repr, column))}" for key, column in zip(keys, columns, strict=True)]
    return "\n".join(lines) + "\n"


def _commands(model: SNAP, names: Sequence[str], file: Path) -> str:
    """What LAMMPS includes; atom types in the order of the elements."""
    assert model.config.repulsion is not None
    inner, outer = model.config.repulsion
    lines = [f"pair_style hybrid/overlay zbl {inner!r} {outer!r} snap"]
    for first, z in enumerate(model.elements, start=1):
        for second, other in enumerate(model.elements[first - 1 :], start=first):
            lines.append(f"pair_coeff {first} {second} zbl {z} {other}")
    lines.append(f"pair_coeff * * snap {file.name} {file.with_suffix('.snapparam').name} {' '.join(names)}")
    return "\n".join(lines) + "\n"


def _lines(file: Path) -> list[list[str]]:
    """Words of each line without comments."""
    if not file.exists():
        raise CheckpointError(f"{file} does not exist: SNAP needs a .snapcoeff and a .snapparam.")
    return [words for line in file.read_text().splitlines() if (words := line.split("#")[0].split())]


def _parameters(file: Path) -> dict[str, Any]:
    given: dict[str, Any] = dict(_DEFAULTS)
    for key, *words in _lines(file):
        if key in _NO_EFFECT:
            if _NO_EFFECT[key] not in ("", *words):
                raise CheckpointError(f"{file} has {key} {' '.join(words)}: only {_NO_EFFECT[key]} is known.")
            continue
        known = {*_NUMBERS, *_FLAGS, "quadraticflag", "switchinnerflag", "sinner", "dinner"}
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if key not in known or not values or not np.isfinite(values).all():
            raise CheckpointError(f"{file} has the line '{key} {' '.join(words)}', which is not known.")
        whole = key == "twojmax" or key.endswith("flag")
        given[key] = values if key in ("sinner", "dinner") else int(values[0]) if whole else values[0]
    if missing := [key for key in ("rcutfac", "twojmax") if key not in given]:
        raise CheckpointError(f"{file} has no {missing[0]}: is it a complete .snapparam?")
    return given


def _coefficients(file: Path) -> tuple[list[str], list[float], list[float], np.ndarray]:
    """Elements, radii, weights and coefficients `[elements, columns]`."""
    (first, *rest) = _lines(file) or [[]]
    try:
        kinds, columns = (int(word) for word in first)
        blocks = [rest[k * (columns + 1) : (k + 1) * (columns + 1)] for k in range(kinds)]
        names = [block[0][0] for block in blocks]
        radii, weights = ([float(block[0][k]) for block in blocks] for k in (1, 2))
        rows = np.array([[float(word) for (word,) in block[1:]] for block in blocks])
    except (ValueError, IndexError):
        raise CheckpointError(f"{file} is damaged: is it a complete .snapcoeff?") from None
    if rows.shape != (kinds, columns) or len(rest) != kinds * (columns + 1) or not np.isfinite(rows).all():
        raise CheckpointError(f"{file} does not hold the {kinds} times {columns} finite numbers it announces.")
    return names, radii, weights, rows


def _repulsion(file: Path) -> tuple[float, float] | None:
    """Radii of `pair_style ... zbl inner outer` in commands of LAMMPS."""
    if not file.exists():
        return None
    text = re.sub(r"&\s*\n", " ", file.read_text())
    variables: Mapping[str, str] = dict(re.findall(r"^\s*variable\s+(\S+)\s+equal\s+(\S+)", text, re.MULTILINE))
    text = re.sub(r"\$\{(\w+)\}", lambda found: variables.get(found[1], found[0]), text)
    found = re.search(r"^\s*pair_style\s.*\bzbl\s+(\S+)\s+(\S+)", text, re.MULTILINE)
    if found is None:
        return None
    try:
        return float(found[1]), float(found[2])
    except ValueError:
        raise CheckpointError(f"{file} has '{found[0].strip()}' where two numbers behind zbl are needed.") from None


def _columns(model: SNAP, order: Sequence[int]) -> Tensor:
    """Which column of the file each of ours is, for elements in the file's order."""
    size, channels = model.descriptor.size, model.descriptor.channels
    place = [order.index(z) for z in model.elements] if channels > 1 else [0]
    grid = np.arange(size).reshape(channels, channels, channels, -1)
    linear = grid[np.ix_(place, place, place, range(grid.shape[3]))].ravel()
    parts = [np.zeros(1, dtype=np.int64), 1 + linear]
    if model.config.quadratic:
        where = np.zeros((size, size), dtype=np.int64)
        rows, columns = np.triu_indices(size)
        where[rows, columns] = where[columns, rows] = np.arange(len(rows))
        parts.append(1 + size + where[linear[rows], linear[columns]])
    return torch.from_numpy(np.concatenate(parts))
