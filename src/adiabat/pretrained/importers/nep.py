"""nep.txt of GPUMD (doi:10.1063/5.0106617): NEP3, NEP4 and NEP5 potentials, read and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adiabat.architectures.local.nep import NEP, NEPConfig
from adiabat.elements import number, symbol
from adiabat.errors import CapabilityError, CheckpointError
from adiabat.files import write_text
from adiabat.nn.switched_repulsion import SwitchedRepulsion
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.kit import Imported, Kit

# what l_max lists behind the highest degree, in the order of the features; None for q_1111
_FLAGS = ((2, 2, 2), None, (1, 1, 2), (1, 2, 3), (2, 3, 3), (1, 3, 4))
_VERSIONS = ("nep3", "nep4", "nep5")
_CHARGES: Mapping[str, str] = {"charge1": "full", "charge2": "reciprocal"}


def from_kit(kit: Kit) -> Imported:
    """The kit's nep.txt."""
    return Imported({"": read_nep(kit.path / "nep.txt" if kit.path.is_dir() else kit.path)})


class _Lines:
    """The lines of a header, one by one, each with the keyword it must begin with."""

    def __init__(self, file: Path):
        if not file.exists():
            raise CheckpointError(f"{file} does not exist: give the path of a nep.txt.")
        self.file = file
        self.lines = enumerate(file.read_text().splitlines(), start=1)
        self.number = 0

    def next(self, keyword: str, least: int, most: int | None = None) -> list[str]:
        """The words behind the keyword."""
        self.number, line = next(self.lines, (self.number + 1, ""))
        found, *words = line.split() or [""]
        most = least if most is None else most
        if (keyword and found != keyword) or not least <= len(words) <= most:
            count = f"{least}" if most == least else f"{least} to {most}"
            raise self.fault(f"is '{line.strip()}' where '{keyword or 'nep4'}' with {count} values is needed")
        return words if keyword else [found, *words]

    def values(self, wanted: int) -> np.ndarray:
        """All further lines, each one number."""
        found = []
        for place, line in self.lines:
            self.number = place
            found += self.floats(line.split())
        if len(found) != wanted:
            raise CheckpointError(f"{self.file} has {len(found)} values where its header asks for {wanted}.")
        return np.array(found)

    def floats(self, words: Sequence[str]) -> list[float]:
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise self.fault(f"has {' '.join(words)!r} where numbers are needed") from None
        if not np.isfinite(values).all():
            raise self.fault("has a number that is not finite")
        return values

    def integers(self, words: Sequence[str]) -> list[int]:
        values = self.floats(words)
        if any(v != int(v) or v < 0 for v in values):
            raise self.fault(f"has {' '.join(words)!r} where whole numbers are needed")
        return [int(v) for v in values]

    def fault(self, what: str) -> CheckpointError:
        return CheckpointError(f"line {self.number} of {self.file} {what}: is this a complete nep.txt of GPUMD?")


def read_nep(file: str | Path) -> NEP:
    """The potential in a nep.txt, in float64.

    Raises:
        CheckpointError: the file is damaged, or of a kind that the page does not have (dipoles, charges, dispersion).
    """
    lines = _Lines(Path(file))
    kind, count, *names = lines.next("", 2, 200)
    version, *marks = kind.split("_")
    charges = _CHARGES[marks.pop()] if marks and marks[-1] in _CHARGES and version == "nep4" else "none"
    if version not in _VERSIONS or marks not in ([], ["zbl"]):
        raise CheckpointError(
            f"{file} is of kind '{kind}': nep3, nep4, nep5, nep4_charge1 and nep4_charge2 are known, also with _zbl."
        )
    if lines.integers([count]) != [len(names)]:
        raise lines.fault(f"announces {count} elements and names {len(names)}")
    order = [number(name) for name in names]
    if len(set(order)) < len(order):
        raise lines.fault("names an element twice")
    repulsion = _repulsion(lines) if marks else None
    options = _options(lines, names) | {"networks": "shared" if version == "nep3" else "element", "charges": charges}
    if repulsion is not None:
        options["repulsion"] = repulsion if any(repulsion) else (0.0, 1.0)
    model = NEP(NEPConfig.parse(options), order).double()
    flexible = repulsion is not None and not any(repulsion)
    _fill(model, order, version, lines.values(_length(model, version, flexible)))
    return model


def _repulsion(lines: _Lines) -> tuple[float, float]:
    words = lines.next("zbl", 2, 3)
    inner, outer, *factor = lines.floats(words)
    if factor and outer:
        raise lines.fault("scales the radii of the repulsion by covalent radii, which the page NEP does not know")
    return inner, outer


def _options(lines: _Lines, names: Sequence[str]) -> dict[str, object]:
    """The page's options from the header's lines."""
    cutoffs = lines.floats(lines.next("cutoff", 4, max(4, 2 * len(names) + 2)))[:-2]
    if len(cutoffs) not in (2, 2 * len(names)):
        raise lines.fault(f"has {len(cutoffs)} radii where 2 or {2 * len(names)} are needed")
    pairs = list(zip(cutoffs[::2], cutoffs[1::2], strict=True))
    own = dict(zip(names, pairs, strict=True)) if len(pairs) > 1 else {}
    channels, angular_channels = lines.integers(lines.next("n_max", 2))
    basis, angular_basis = lines.integers(lines.next("basis_size", 2))
    l_max, *flags = lines.integers(lines.next("l_max", 3, 1 + len(_FLAGS)))
    hidden, deeper = lines.integers(lines.next("ANN", 2))
    if deeper:
        raise lines.fault("asks for a second hidden layer, which NEP does not have")
    asked = [triple for triple, flag in zip(_FLAGS, flags, strict=False) if flag]
    return {
        "cutoff": max(radial for radial, _ in pairs),
        "angular_cutoff": max(angular for _, angular in pairs),
        "element_cutoffs": own,
        "channels": channels + 1,
        "angular_channels": angular_channels + 1,
        "basis": basis + 1,
        "angular_basis": angular_basis + 1,
        "l_max": l_max,
        "four_body": [triple for triple in asked if triple is not None],
        "five_body": None in asked,
        "hidden": hidden,
    }


def _length(model: NEP, version: str, flexible: bool) -> int:
    kinds, size, hidden = len(model.elements), model.descriptor.size, _config(model).hidden
    networks = len(model.networks.sizes)
    coefficients = sum(c.numel() for c in _coefficients(model))
    own = (size + 2 + model.charged) * hidden + (version == "nep5")
    return (
        networks * own + 1 + model.charged + coefficients + size + (10 * kinds * (kinds + 1) // 2 if flexible else 0)
    )


def _config(model: NEP) -> NEPConfig:
    assert isinstance(model.config, NEPConfig)
    return model.config


def _coefficients(model: NEP) -> Iterator[Tensor]:
    for functions in (model.descriptor.radial, model.descriptor.angular):
        if functions is not None:
            yield functions.coefficients


def _fill(model: NEP, order: Sequence[int], version: str, values: np.ndarray) -> None:
    """Networks, then common bias, coefficients [channels, basis, kinds, kinds], scaler and flexible repulsion."""
    start = 0

    def take(*shape: int) -> Tensor:
        nonlocal start
        begin, start = start, start + int(np.prod(shape))
        return torch.from_numpy(values[begin:start].reshape(shape).copy())

    places = [model.elements.index(z) for z in order]
    size, hidden, kinds = model.descriptor.size, _config(model).hidden, len(order)
    with torch.no_grad():
        for place in places if len(model.networks.sizes) > 1 else [0]:
            inner, outer = model.networks.layers[place]  # type: ignore[misc]
            inner.weight.copy_(take(hidden, size))
            inner.bias.copy_(-take(hidden))
            outer.weight.copy_(take(1 + model.charged, hidden))
            if version == "nep5":
                model.bias[place] = -take(1)[0]
        if model.charged:
            model.index.copy_(take(1)[0])
        model.bias.sub_(take(1))
        for coefficients in _coefficients(model):
            _, channels, basis = coefficients.shape
            given = take(channels, basis, kinds, kinds).permute(2, 3, 0, 1)
            grid = coefficients.view(kinds, kinds, channels, basis)
            grid[torch.tensor(places)[:, None], torch.tensor(places)] = given
        model.factor.copy_(take(size))
        if model.repulsion is not None and start < len(values):
            for first in range(kinds):
                for second in range(first, kinds):
                    row = take(5, 2).tolist()
                    model.repulsion.set_pair(places[first], places[second], row[0], row[1:])


def write_nep(potential: Potential, file: str | Path, neighbors: tuple[int, int] = (500, 200)) -> None:
    """Writes a NEP as nep.txt for GPUMD, calorine and LAMMPS; eight digits of every number are kept.

    Reference energies and the data's scale go into the output layer. nep3 and nep4 have one bias for all elements, so
    a model whose elements differ there is written as nep5.

    Args:
        potential: a NEP, bare or within `Referenced`.
        file: to be written.
        neighbors: most radial and angular neighbors of an atom, which GPUMD makes room for.

    Raises:
        CapabilityError: it is not a NEP, or one for which the format has no place.
    """
    model, scale, shifts = potential, 1.0, [0.0] * len(potential.elements)
    if isinstance(potential, Referenced):
        model, scale = potential.model, float(potential.scale)
        shifts = potential.reference[list(potential.elements)].tolist()
    if not isinstance(model, NEP):
        raise CapabilityError(f"{type(model).__name__} has no place in nep.txt: write a NEP.")
    if (model.repulsion is not None or model.charged) and scale != 1.0:
        raise CapabilityError(
            f"repulsion or charges at a scale of {scale} have no place in nep.txt: fit with scale 1."
        )
    own = model.bias.detach().double().expand(len(shifts)).tolist()
    biases = [scale * bias + shift for bias, shift in zip(own, shifts, strict=True)]
    common = len(set(biases)) == 1
    if not common and _config(model).networks == "shared":
        raise CapabilityError("a network shared by elements of different reference energies has no place in nep.txt.")
    if model.charged and (not common or _config(model).networks == "shared"):
        raise CapabilityError(
            "a NEP with charges has a place in nep.txt only with one bias and networks of elements."
        )
    version = "nep3" if _config(model).networks == "shared" else "nep4" if common else "nep5"
    values: list[Tensor] = []
    for layer, bias in zip(model.networks.layers, biases, strict=False):
        inner, outer = layer  # type: ignore[misc]
        values += [
            inner.weight,
            -inner.bias,
            scale * outer.weight,
            *([] if common else [torch.tensor([-bias], dtype=torch.float64)]),
        ]
    values += [model.index] if model.charged else []
    values.append(torch.tensor([-biases[0] if common else 0.0], dtype=torch.float64))
    kinds = len(model.elements)
    values += [c.view(kinds, kinds, *c.shape[1:]).permute(2, 3, 0, 1) for c in _coefficients(model)]
    values += [model.factor, *_flexible_values(model)]
    numbers = torch.cat([v.detach().double().flatten() for v in values]).tolist()
    lines = [*_header(model, version, neighbors), *(f"{v:15.7e}" for v in numbers)]
    write_text(Path(file), "\n".join(lines) + "\n")


def _flexible(model: NEP) -> bool:
    """Whether the repulsion differs from the universal one between the radii of the configuration."""
    own = model.repulsion
    if own is None:
        return False
    plain = SwitchedRepulsion(model.elements, *_config(model).repulsion or (0.0, 1.0)).to(own.radii)
    return not (torch.equal(plain.radii, own.radii) and torch.equal(plain.screening, own.screening))


def _flexible_values(model: NEP) -> Iterator[Tensor]:
    if model.repulsion is not None and _flexible(model):
        for first in range(len(model.elements)):
            for second in range(first, len(model.elements)):
                yield model.repulsion.radii[first, second]
                yield model.repulsion.screening[first, second]


def _header(model: NEP, version: str, neighbors: tuple[int, int]) -> list[str]:
    config = _config(model)
    names = [symbol(z) for z in model.elements]
    mark, zbl = "", []
    if config.repulsion is not None:
        inner, outer = (0.0, 0.0) if _flexible(model) else config.repulsion
        mark, zbl = "_zbl", [f"zbl {inner:g} {outer:g}"]
    mark += next((f"_{name}" for name, charges in _CHARGES.items() if charges == config.charges), "")
    cutoffs = [f"{config.cutoff:g} {config.angular_cutoff:g}"]
    if config.element_cutoffs:
        rows = model.descriptor.radii.view(len(names), len(names), 2).diagonal().T.tolist()
        cutoffs = [f"{radial:g} {angular:g}" for radial, angular in rows]
    wanted = (*config.four_body, *([None] if config.five_body else []))
    unknown = [triple for triple in config.four_body if triple not in _FLAGS]
    if unknown or config.four_body != tuple(t for t in _FLAGS if t is not None and t in wanted):
        raise CapabilityError(f"four-body degrees {config.four_body} have no place in nep.txt, or not in this order.")
    flags = [str((2 if flag == (2, 2, 2) else 1) if flag in wanted else 0) for flag in _FLAGS]
    while len(flags) > 2 and flags[-1] == "0":
        flags.pop()
    return [
        f"{version}{mark} {len(names)} {' '.join(names)}",
        *zbl,
        f"cutoff {' '.join(cutoffs)} {neighbors[0]} {neighbors[1]}",
        f"n_max {config.channels - 1} {config.angular_channels - 1}",
        f"basis_size {config.basis - 1} {config.angular_basis - 1}",
        f"l_max {config.l_max} {' '.join(flags)}",
        f"ANN {config.hidden} 0",
    ]
