"""Files of python-ace and LAMMPS's ML-PACE (doi:10.1038/s41524-021-00559-9): .yace read and written, .yaml read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from adiabat.architectures.local.ace import ACE, ACEConfig, Embedding
from adiabat.descriptors.ace import ACEDescriptorConfig, ClusterFunction
from adiabat.elements import number, symbol
from adiabat.errors import CapabilityError, CheckpointError, ConfigError
from adiabat.files import write_text
from adiabat.geometry import Graph
from adiabat.nn.generalized_couplings import generalized_coupling
from adiabat.nn.pair_radial import KINDS, Bond
from adiabat.potential import Potential, Prediction, Referenced, Wrapped
from adiabat.pretrained.kit import Imported, Kit


def from_kit(kit: Kit) -> Imported:
    """The kit's .yace; atoms of elements that it does not know stand for those its notes name."""
    if not kit.path.is_dir():
        return Imported({"": read_ace(kit.path)})
    files = sorted(kit.path.glob("*.yace"))
    if not files:
        raise CheckpointError(f"{kit.path} has no .yace.")
    model = read_ace(files[0])
    foreign = {number(name) for name in kit.meta.get("elements", ())} - set(model.elements)
    return Imported({"": Relabeled(model, _stand_for(kit.meta.get("notes", ()), foreign)) if foreign else model})


def _stand_for(notes: Iterable[str], foreign: Iterable[int]) -> dict[int, int]:
    """Which element each other one stands for: "relabelled Na,Si->In and Cl,C->P", "every atom relabelled Ta"."""
    known: dict[int, int] = {}
    for note in notes:
        _, _, text = note.partition("relabelled ")
        if not text:
            continue
        for part in text.split(" and "):
            ones, arrow, other = part.strip().partition("->")
            names = ones.split(",") if arrow else [symbol(z) for z in foreign]
            known |= {number(name): number(other if arrow else ones) for name in names}
    return known


class Relabeled(Wrapped):
    """A potential that takes atoms of other elements for its own.

    Args:
        model: the potential.
        elements: which of its elements each other one stands for.
    """

    def __init__(self, model: Potential, elements: Mapping[int, int]):
        super().__init__(model)
        self.elements = tuple(sorted(elements))
        table = torch.zeros(119, dtype=torch.int64)
        for other, own in elements.items():
            table[other] = own
        self.register_buffer("table", table)

    def _renamed(self, graph: Graph) -> Graph:
        numbers = self.table[graph.system.numbers]  # type: ignore[index]
        return graph.replace(system=graph.system.replace(numbers=numbers))

    def check(self, graph: Graph) -> None:
        super().check(self._renamed(graph))

    def forward(self, graph: Graph) -> Prediction:
        return self.model(self._renamed(graph))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Rows as keys, [0, 1]: ..., become tuples."""


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    made = {}
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        made[tuple(name) if isinstance(name, list) else name] = loader.construct_object(value, deep=True)
    return made


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


@dataclass
class _Parts:
    """What a file holds, by element names."""

    elements: list[str]
    constants: dict[str, float]
    embeddings: dict[str, Embedding]
    bonds: dict[tuple[str, str], Bond] = field(default_factory=dict)
    coefficients: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    functions: list[ClusterFunction] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    def potential(self) -> ACE:
        """The potential, in float64; ValueError for numbers that are not finite."""
        for values in (*self.weights, *self.coefficients.values(), list(self.constants.values())):
            if not np.isfinite(values).all():
                raise ValueError("a coefficient is not finite")
        bonds = {f"{a}-{b}": bond for (a, b), bond in self.bonds.items()}
        functions = [f.model_dump() for f in self.functions]
        cutoff = max(bond.cutoff for bond in self.bonds.values())
        descriptor = ACEDescriptorConfig.model_construct(
            **ACEDescriptorConfig.parse({"cutoff": cutoff, "functions": functions[:1]}).__dict__
            | {"bonds": bonds, "functions": tuple(self.functions)}
        )
        config = ACEConfig(descriptor=descriptor, embeddings=self.embeddings)
        model = ACE(config, [number(name) for name in self.elements]).double()
        names = [symbol(z) for z in model.elements]
        table = model.descriptor.coefficients
        with torch.no_grad():
            for (center, near), values in self.coefficients.items():
                rows = torch.from_numpy(values[: table.shape[2], : table.shape[3], : table.shape[4]])
                own = table[names.index(center), names.index(near)]
                own.zero_()
                own[: rows.shape[0], : rows.shape[1], : rows.shape[2]] = rows
        weights = np.zeros(tuple(model.weights.shape))
        counts = dict.fromkeys(names, 0)
        for f, c in zip(self.functions, self.weights, strict=True):
            weights[names.index(f.center), : len(c), counts[f.center]] = c
            counts[f.center] += 1
        constants = torch.tensor([self.constants.get(name, 0.0) for name in names], dtype=torch.float64)
        model.set_weights(constants, torch.from_numpy(weights))
        return model


def read_ace(file: str | Path) -> ACE:
    """The potential in a .yace (C-tilde coefficients) or .yaml (B-basis), in float64.

    Raises:
        CheckpointError: the file is damaged, or has something that is not known.
    """
    path = Path(file)
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    try:
        data = yaml.load(path.read_text(), _Loader)
        if not isinstance(data, dict):
            raise CheckpointError(f"{path} is not a potential of python-ace: is it the .yace or .yaml itself?")
        return (_of_basis(data) if "species" in data else _of_yace(data)).potential()
    except ConfigError as error:
        raise CheckpointError(f"{path} holds what cannot be: {error}") from None
    except (KeyError, ValueError, TypeError, IndexError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} is damaged ({error!r}): is it a complete .yace or .yaml?") from None


def write_ace(potential: Potential, file: str | Path) -> Path:
    """Writes a .yace that LAMMPS and python-ace run; reference energies become part of the constants.

    Args:
        potential: ACE, alone or `Referenced`.
        file: its ending becomes .yace.

    Raises CapabilityError for other potentials.
    """
    model = potential.model if isinstance(potential, Referenced) else potential
    if not isinstance(model, ACE):
        raise CapabilityError(f"{type(model).__name__} cannot be written as .yace: only ACE can.")
    scale = float(potential.scale) if isinstance(potential, Referenced) else 1.0
    constants = scale * model.constants.detach().double().cpu()
    if isinstance(potential, Referenced):
        constants = constants + potential.reference[list(model.elements)].double().cpu()
    names = [symbol(z) for z in model.elements]
    lines = [f"elements: [{', '.join(names)}]", f"E0: {constants.tolist()}", "deltaSplineBins: 0.001", "embeddings:"]
    embeddings = model.config.embeddings_of(model.elements)
    for place, e in enumerate(embeddings):
        # powers are not in proportion to their densities: their factors take the scale, those of ρ itself too
        factors = [p * scale if k % 2 == 0 else p for k, p in enumerate(e.parameters)]
        lines.append(
            f"  {place}: {{ndensity: {e.densities}, FS_parameters: {factors}, npoti: {e.kind},"
            f" rho_core_cutoff: {e.core_cutoff * scale!r}, drho_core_cutoff: {e.core_width * scale!r}}}"
        )
    lines.append("bonds:")
    table = model.descriptor.coefficients.detach().double().cpu()
    for k, bond in enumerate(model.descriptor.radial.bonds):
        center, near = divmod(k, len(names))
        lines.append(f"  [{center}, {near}]: {{{_bond_line(bond, table[center, near, :, :, : bond.count], scale)}}}")
    lines.append("functions:")
    weights = model.weights.detach().double().cpu().numpy()
    for place, name in enumerate(names):
        lines.append(f"  {place}:")
        own = [f for f in model.descriptor.functions if f.center == name]
        densities = embeddings[place].densities
        bonds = model.descriptor.radial.bonds[place * len(names) : (place + 1) * len(names)]
        counts = {near: bond.count for near, bond in zip(names, bonds, strict=True)}
        rows = _function_lines(own, weights[place, :densities].T, names, place, counts)
        lines += [f"    - {{{row}}}" for row in rows]
    target = Path(file).with_suffix(".yace")
    write_text(target, "\n".join(lines) + "\n")
    return target


def _bond_line(bond: Bond, table: Tensor, scale: float) -> str:
    inner, core = bond.inner or (0.0, 0.0), bond.core or (0.0, 0.0)
    return (
        f"nradmax: {table.shape[0]}, lmax: {table.shape[1] - 1}, nradbasemax: {bond.count},"
        f" radbasename: {bond.basis}, radparameters: [{bond.decay!r}], radcoefficients: {table.tolist()},"
        f" prehc: {core[0] * scale!r}, lambdahc: {core[1]!r}, rcut: {bond.cutoff!r}, dcut: {bond.width!r},"
        f" rcut_in: {inner[0]!r}, dcut_in: {inner[1]!r}, inner_cutoff_type: distance"
    )


def _function_lines(
    functions: Sequence[ClusterFunction],
    weights: np.ndarray,
    names: Sequence[str],
    center: int,
    counts: Mapping[str, int],
) -> list[str]:
    """A line for each product of sums, with all its couplings added up; `weights [size, densities]`."""
    together: dict[tuple[Any, ...], np.ndarray] = {}
    for f, own in zip(functions, weights[: len(functions)], strict=True):
        key = (f.neighbors, f.n, f.l)
        together[key] = together.get(key, 0.0) + f.coupling()[..., None] * own
    lines = []
    for neighbors, n, l in sorted(together, key=lambda key: len(key[1])):
        if len(n) == 1 and n[0] > counts[neighbors[0]]:  # zero, and beyond what programs keep for the pair
            continue
        values = together[neighbors, n, l]
        # m and −m have products with the same real part: one of the two is written, with both coefficients
        rows: dict[tuple[int, ...], np.ndarray] = {}
        for place in zip(*np.nonzero(np.abs(values).max(axis=-1) > 0), strict=True):
            orders = tuple(int(k) - degree for k, degree in zip(place, l, strict=True))
            orders = min(orders, tuple(-m for m in orders))
            rows[orders] = rows.get(orders, 0.0) + values[place]
        rows = rows or {(0,) * len(n): np.zeros(weights.shape[1])}
        lines.append(
            f"mu0: {center}, rank: {len(n)}, ndensity: {weights.shape[1]}, num_ms_combs: {len(rows)},"
            f" mus: {[names.index(name) for name in neighbors]}, ns: {list(n)}, ls: {list(l)},"
            f" ms_combs: {[m for orders in rows for m in orders]},"
            f" ctildes: {[float(c) for row in rows.values() for c in row]}"
        )
    return lines


def _of_yace(data: Mapping[Any, Any]) -> _Parts:
    names = [str(name) for name in data["elements"]]
    embeddings = {names[int(k)]: _embedding(e, "FS_parameters", "cutoff") for k, e in data["embeddings"].items()}
    parts = _Parts(names, dict(zip(names, map(float, data["E0"]), strict=True)), embeddings)
    for (a, b), values in data["bonds"].items():
        key = names[a], names[b]
        parts.bonds[key] = _bond(
            values, "radbasename", "nradbasemax", ("rcut", "dcut", "rcut_in", "dcut_in"),
            (values.get("prehc", 0.0), values.get("lambdahc", 0.0)),
        )  # fmt: skip
        _add_coefficients(parts, key, values["radcoefficients"])
    for center, rows in data["functions"].items():
        for row in rows:
            _add_function(parts, names[int(center)], names, row)
    return parts


def _embedding(values: Mapping[str, Any], key: str, ending: str) -> Embedding:
    name = values["npoti"]
    if name not in ("FinnisSinclair", "FinnisSinclairShiftedScaled"):
        raise CheckpointError(f"the embedding '{name}' is not known: FinnisSinclair(ShiftedScaled) are.")
    rho = {"core_cutoff": values.get(f"rho_core_{ending}"), "core_width": values.get(f"drho_core_{ending}")}
    given = {name: float(value) for name, value in rho.items() if value is not None}
    return Embedding(kind=name, parameters=tuple(map(float, values[key])), **given)


def _bond(values: Mapping[str, Any], basis: str, count: str, radii: Sequence[str], core: tuple[float, float]) -> Bond:
    name = values[basis]
    if name not in KINDS:
        raise CheckpointError(f"the radial basis '{name}' is not known: {', '.join(KINDS)} are.")
    inner = float(values.get(radii[2], 0.0)), float(values.get(radii[3], 0.0))
    if inner[0] > 0 and values.get("inner_cutoff_type", "distance") != "distance":
        raise CheckpointError(f"inner_cutoff_type {values['inner_cutoff_type']} is not known: only distance is.")
    return Bond(
        basis=name,
        decay=float(values["radparameters"][0]),
        count=int(values[count]),
        cutoff=float(values[radii[0]]),
        width=float(values.get(radii[1], 0.0)),
        inner=inner if inner[0] > 0 else None,
        core=(float(core[0]), float(core[1])) if core[0] else None,
    )


def _add_coefficients(parts: _Parts, key: tuple[str, str], rows: Sequence[Any]) -> None:
    if len(rows):
        parts.coefficients[key] = np.array(rows, dtype=np.float64)


def _add_function(parts: _Parts, center: str, names: Sequence[str], row: Mapping[str, Any]) -> None:
    """A function of a .yace: as many features as its coefficients of all densities have dimensions."""
    rank = int(row["rank"])
    neighbors = tuple(names[int(k)] for k in np.atleast_1d(row["mus"]))
    n, l = (tuple(int(k) for k in np.atleast_1d(row[key])) for key in ("ns", "ls"))
    orders = np.array(row["ms_combs"], dtype=int).reshape(-1, rank)
    values = np.array(row["ctildes"], dtype=np.float64).reshape(len(orders), int(row["ndensity"]))
    for shape, weights in _factors(values):
        terms = {} if rank == 1 else {"orders": tuple(map(tuple, orders.tolist())), "coefficients": tuple(shape)}
        parts.functions.append(ClusterFunction(center=center, neighbors=neighbors, n=n, l=l, **terms))
        parts.weights.append(weights)


def _factors(values: np.ndarray) -> list[tuple[list[float], np.ndarray]]:
    """Terms times densities `[terms, densities]` as a sum of as few products of two as needed."""
    found: list[tuple[list[float], np.ndarray]] = []
    rest = values.copy()
    size = float(np.abs(values).max(initial=0.0))
    while True:
        pivot = np.unravel_index(int(np.abs(rest).argmax()), rest.shape)
        if found and abs(rest[pivot]) <= 1e-13 * size:
            return found
        if size == 0.0:
            return [([1.0] * len(values), np.zeros(values.shape[1]))]
        shape, weights = rest[:, pivot[1]] / rest[pivot], rest[pivot[0]].copy()
        found.append((shape.tolist(), weights))
        rest = rest - np.outer(shape, weights)


def _of_basis(data: Mapping[str, Any]) -> _Parts:
    """A file of python-ace's B-basis: blocks of one element, of pairs, of three ..."""
    blocks = [(str(b["speciesblock"]).split(), b) for b in data["species"]]
    names = [species[0] for species, _ in blocks if len(species) == 1]
    constants = {str(k): float(v) for k, v in (data.get("global") or {}).get("E0", {}).items()}
    embeddings = {s[0]: _embedding(b, "parameters", "cut") for s, b in blocks if len(s) == 1}
    parts = _Parts(names, constants, embeddings)
    for species, block in blocks:
        key = (species[0], species[-1])
        if len(species) <= 2:
            parts.bonds[key] = _bond(
                block, "radbase", "nradbaseij", ("rcutij", "dcutij", "r_in", "delta_in"),
                tuple(block.get("core-repulsion", (0.0, 0.0))),
            )  # fmt: skip
            _add_coefficients(parts, key, block["radcoefficients"])
    for _, block in blocks:
        for row in block.get("nbody") or ():
            center, *neighbors = str(row["type"]).split()
            n, l = tuple(row["nr"]), tuple(row["nl"])
            between = tuple(row.get("lint", ()))[: max(len(n) - 2, 0)]
            if len(n) > 2:
                generalized_coupling(l, between)
            parts.functions.append(
                ClusterFunction(center=center, neighbors=tuple(neighbors), n=n, l=l, between=between)
            )
            parts.weights.append(np.array(row["c"], dtype=np.float64))
    return parts
