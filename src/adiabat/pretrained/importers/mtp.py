""".mtp files of MLIP-2 (doi:10.1088/2632-2153/abc9fe), read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from adiabat.architectures.local.mtp import MTP, MTPConfig
from adiabat.descriptors.contractions import COUNTS, Basic
from adiabat.errors import CapabilityError, CheckpointError, ConfigError
from adiabat.files import write_text
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.kit import Imported, Kit

Products = Sequence[Sequence[int]]
_NUMBERS = re.compile(r"\{([^{}]*)\}")
_PAIR = re.compile(r"\s*(\d+)-(\d+)\s*")
_SAME = 1e-9  # largest relative difference between two ways to evaluate a contraction


def from_kit(kit: Kit) -> Imported:
    """The kit's pot.mtp; its species are those of `species_order` in meta.json."""
    file = kit.path / "pot.mtp" if kit.path.is_dir() else kit.path
    return Imported({"": read_mtp(file, kit.meta["species_order"])})


@dataclass(frozen=True)
class _File:
    """What a .mtp file says."""

    path: Path
    values: dict[str, str]
    radial: dict[tuple[int, int], list[list[float]]]

    @classmethod
    def read(cls, path: Path) -> _File:
        if not path.exists():
            raise CheckpointError(f"{path} does not exist: give the path of a .mtp file.")
        text = path.read_bytes().split(b"#")[0].decode("ascii", "replace")  # behind a # is a binary active set
        lines = text.splitlines()
        if not lines or lines[0].strip() != "MTP":
            raise CheckpointError(f"{path} does not begin with MTP: is it a .mtp file of MLIP-2?")
        values: dict[str, str] = {}
        radial: dict[tuple[int, int], list[list[float]]] = {}
        pair = None
        for line in lines[1:]:
            key, equals, value = line.partition("=")
            found = _PAIR.fullmatch(line)
            if equals:
                values[key.strip()] = value.strip()
            elif found:
                pair = radial.setdefault((int(found[1]), int(found[2])), [])
            elif pair is not None and line.strip().startswith("{"):
                pair += [[float(v) for v in row.split(",")] for row in _NUMBERS.findall(line)]
        return cls(path, values, radial)

    def fault(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path} {what}: is it a complete .mtp file of MLIP-2?")

    def word(self, key: str) -> str:
        if key not in self.values:
            raise self.fault(f"has no {key}")
        return self.values[key]

    def real(self, key: str) -> float:
        try:
            return float(self.word(key))
        except ValueError:
            raise self.fault(f"has {key} = {self.values[key]!r} where a number is needed") from None

    def reals(self, key: str) -> np.ndarray:
        try:
            return np.array([float(v) for v in self.word(key).strip("{}").split(",")])
        except ValueError:
            raise self.fault(f"has {key} that are not numbers") from None

    def rows(self, key: str) -> list[tuple[int, ...]]:
        try:
            return [tuple(int(v) for v in row.split(",")) for row in _NUMBERS.findall(self.word(key))]
        except ValueError:
            raise self.fault(f"has {key} that are not whole numbers") from None


def read_mtp(path: str | Path, species: Iterable[int]) -> MTP:
    """The potential in a .mtp file, in float64.

    Args:
        path: the file.
        species: atomic numbers of its species 0, 1 ..., which it does not name.

    Raises:
        CheckpointError: the file is damaged, or has contractions other than those of a level.
        ConfigError: the number of species is another one.
        CapabilityError: the radial basis is not of Chebyshev polynomials, or the file has no weights.
    """
    file, order = _File.read(Path(path)), [int(z) for z in species]
    kind = file.word("radial_basis_type")
    if kind != "RBChebyshev":
        raise CapabilityError(f"{path} has radial functions of kind {kind}: only RBChebyshev is known.")
    if file.real("species_count") != len(order) or len(set(order)) < len(order):
        raise ConfigError(
            f"{path} has {file.word('species_count')} species and {order} are given: name the atomic number of each."
        )
    if "moment_coeffs" not in file.values or not file.radial:
        raise CapabilityError(f"{path} is not trained: make a new model of the same level instead.")
    level = next((k for k, n in COUNTS.items() if n == file.real("alpha_scalar_moments")), None)
    if level is None:
        raise file.fault(f"has {file.word('alpha_scalar_moments')} contractions, as no level has")
    options = {"level": level, "cutoff": file.real("max_dist"), "inner": file.real("min_dist")}
    model = MTP(MTPConfig.parse(options | {"basis": int(file.real("radial_basis_size"))}), order).double()
    _fill(model, file, order)
    return model


def _fill(model: MTP, file: _File, order: Sequence[int]) -> None:
    places = [model.elements.index(z) for z in order]
    own, kinds = model.moments, len(order)
    _, radial, basis = own.coefficients.shape
    scaling = file.real("scaling") if "scaling" in file.values else 1.0
    grid = own.coefficients.detach().view(kinds, kinds, radial, basis)
    for a in range(kinds):
        for b in range(kinds):
            rows = file.radial.get((a, b), [])
            if len(rows) < radial or any(len(row) != basis for row in rows):
                raise file.fault(f"has no {radial} rows of {basis} radial_coeffs for {a}-{b}")
            grid[places[a], places[b]] = scaling * torch.tensor(rows[:radial], dtype=torch.float64)
    own.inner.fill_(file.real("min_dist"))
    given, constants = file.reals("moment_coeffs"), torch.zeros(kinds, dtype=torch.float64)
    constants[places] = torch.from_numpy(file.reals("species_coeffs"))
    weights = torch.from_numpy(given[_matched(model, file)])
    model.set_weights(constants, weights)


def _matched(model: MTP, file: _File) -> list[int]:
    """Which of the file's contractions each of ours is, by their values for random moments."""
    lists = model.moments.lists
    known = {b: 0.5 + v for b, v in zip(lists.basic, np.random.default_rng(0).random(len(lists.basic)), strict=True)}
    theirs = [tuple(b) for b in file.rows("alpha_index_basic")]
    if any(b not in known for b in theirs):
        raise file.fault("has moments beyond its level")
    mapping = [int(v) for v in file.reals("alpha_moment_mapping")]
    found = np.array(_evaluated(theirs, known, file.rows("alpha_index_times")))[mapping]
    ours = np.array(_evaluated(lists.basic, known, lists.products))[list(lists.scalars)]
    order = np.argsort(found)
    sorted_ = order[np.argsort(np.argsort(ours))]
    if len(found) != len(ours) or not np.allclose(found[sorted_], ours, rtol=_SAME, atol=0.0):
        raise file.fault(f"has other contractions than those of level {_config(model).level}")
    return sorted_.tolist()


def _evaluated(basic: Iterable[Sequence[int]], known: dict[Basic, float], products: Products) -> list[float]:
    values = [known[b] for b in basic]  # type: ignore[index]
    values += [0.0] * (1 + max((k for *_, k in products), default=-1) - len(values))
    for a, b, factor, k in products:
        values[k] += factor * values[a] * values[b]
    return values


def _config(model: MTP) -> MTPConfig:
    assert isinstance(model.config, MTPConfig)
    return model.config


def write_mtp(potential: Potential, path: str | Path, species: Iterable[int] | None = None) -> None:
    """Writes a potential as a .mtp file for MLIP-2 and the programs that read its files.

    Reference energies become constants of species, and the data's scale goes into the weights.

    Args:
        potential: an MTP, bare or within `Referenced`.
        path: to be written.
        species: atomic numbers of species 0, 1 ...; by default the model's, ascending.

    Raises:
        CapabilityError: it is not an MTP.
        ConfigError: the species are not its elements.
    """
    model, scale, reference = potential, 1.0, torch.zeros(len(potential.elements), dtype=torch.float64)
    if isinstance(potential, Referenced):
        model, scale = potential.model, float(potential.scale)
        reference = potential.reference[list(potential.elements)]
    if not isinstance(model, MTP):
        raise CapabilityError(f"{type(model).__name__} has no place in a .mtp file: write an MTP.")
    order = list(model.elements) if species is None else [int(z) for z in species]
    if sorted(order) != list(model.elements):
        raise ConfigError(f"species {order} must be the model's elements {list(model.elements)} in some order.")
    places = [model.elements.index(z) for z in order]
    constants = (scale * model.constants.detach().double() + reference)[places]
    write_text(Path(path), "\n".join(_lines(model, places, constants.tolist(), scale)) + "\n")


def _lines(model: MTP, places: Sequence[int], constants: Sequence[float], scale: float) -> list[str]:
    own, kinds = model.moments, len(places)
    lists, (_, radial, basis) = own.lists, own.coefficients.shape
    grid = own.coefficients.detach().double().view(kinds, kinds, radial, basis)
    mapping = sorted(lists.scalars)  # as in the program's own files
    order = [lists.scalars.index(k) for k in mapping]
    rows = []
    for a in range(kinds):
        for b in range(kinds):
            rows.append(f"\t\t{a}-{b}")
            rows += [f"\t\t\t{_braced(row)}" for row in grid[places[a], places[b]].tolist()]
    return [
        "MTP",
        "version = 1.1.0",
        "potential_name = MTP1m",
        f"scaling = {1.0:.15e}",
        f"species_count = {kinds}",
        "potential_tag = ",
        "radial_basis_type = RBChebyshev",
        f"\tmin_dist = {float(own.inner):.15e}",
        f"\tmax_dist = {own.cutoff:.15e}",
        f"\tradial_basis_size = {basis}",
        f"\tradial_funcs_count = {radial}",
        "\tradial_coeffs",
        *rows,
        f"alpha_moments_count = {lists.moments}",
        f"alpha_index_basic_count = {len(lists.basic)}",
        f"alpha_index_basic = {_nested(lists.basic)}",
        f"alpha_index_times_count = {len(lists.products)}",
        f"alpha_index_times = {_nested(lists.products)}",
        f"alpha_scalar_moments = {len(lists.scalars)}",
        f"alpha_moment_mapping = {{{', '.join(map(str, mapping))}}}",
        f"species_coeffs = {_braced(constants)}",
        f"moment_coeffs = {_braced((scale * model.weights.detach().double())[order].tolist())}",
    ]


def _braced(values: Iterable[float]) -> str:
    return "{" + ", ".join(f"{v:.15e}" for v in values) + "}"


def _nested(rows: Iterable[Iterable[int]]) -> str:
    return "{" + ", ".join("{" + ", ".join(map(str, row)) + "}" for row in rows) + "}"
