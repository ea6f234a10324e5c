"""System: atoms in space, always a batch of one or more separate systems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import ase
import numpy as np
import torch
from torch import Tensor

from adiabat.elements import MAX_NUMBER, symbol
from adiabat.errors import GeometryError
from adiabat.geometry.records import replace

MAX_COORDINATE = 1e6  # Å; beyond this float32 positions resolve less than 0.1 Å and neighbor lists lose pairs
INFO_KEYS = ("charge", "total_charge", "multiplicity", "spin_multiplicity", "head")  # of ASE Atoms that are read


@dataclass(frozen=True)
class Environment:
    """What acts on the atoms from outside.

    Attributes:
        field: uniform electric field `[systems, 3]`, V/Å, or None.
        charges: MM point charges `[charges]`, e, or None.
        charge_positions: `[charges, 3]`, Å, or None.
        charge_system: `[charges]`, which system each point charge acts on, or None.
        moments: magnetic moments that the atoms are held at `[atoms, 3]`, μB, or None.
    """

    field: Tensor | None = None
    charges: Tensor | None = None
    charge_positions: Tensor | None = None
    charge_system: Tensor | None = None
    moments: Tensor | None = None


@dataclass(frozen=True)
class System:
    """A batch of atomic systems.

    Attributes:
        positions: `[atoms, 3]`, Å.
        numbers: atomic numbers `[atoms]`, int64.
        cell: `[systems, 3, 3]`, Å, rows are lattice vectors; zeros where there is no cell.
        pbc: `[systems, 3]`, bool.
        system: `[atoms]`, int64, the system each atom belongs to, ascending.
        charge: total charge `[systems]`, e.
        multiplicity: spin multiplicity 2S+1 `[systems]`.
        head: level of theory a multi-head model answers with `[systems]`, int64.
        environment: what acts from outside, or None.
    """

    positions: Tensor
    numbers: Tensor
    cell: Tensor
    pbc: Tensor
    system: Tensor
    charge: Tensor
    multiplicity: Tensor
    head: Tensor
    environment: Environment | None = None

    def __len__(self) -> int:
        return self.cell.shape[0]

    @property
    def atoms(self) -> int:
        """Number of atoms in the whole batch."""
        return self.positions.shape[0]

    @property
    def systems(self) -> int:
        """Number of systems; unlike `len`, it stays a symbol while a model is traced for compilation."""
        return self.cell.shape[0]

    @property
    def atom_counts(self) -> Tensor:
        """Number of atoms of each system `[systems]`."""
        return self.sum_over_atoms(torch.ones_like(self.system))

    @property
    def volume(self) -> Tensor:
        """Cell volume `[systems]`, Å³, positive also for left-handed cells; 0 without a cell."""
        a, b, c = self.cell.unbind(1)
        return (torch.linalg.cross(a, b) * c).sum(dim=1).abs()

    def sum_over_atoms(self, values: Tensor) -> Tensor:
        """Sums `[atoms, ...]` to `[systems, ...]`."""
        out = values.new_zeros((self.systems, *values.shape[1:]))
        return out.index_add(0, self.system, values)

    def replace(self, **changes: Any) -> System:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> System:
        """A copy on another device or with another floating-point type; itself where that changes nothing."""
        floats = self.positions, self.cell, self.charge
        there = device is None or torch.device(device) == self.positions.device
        if there and self.environment is None and (dtype is None or all(t.dtype == dtype for t in floats)):
            return self
        changes: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes[field.name] = value.to(device, dtype if value.is_floating_point() else None)
        if self.environment is not None:
            moved = {f.name: getattr(self.environment, f.name) for f in fields(Environment)}
            changes["environment"] = Environment(
                **{
                    k: v if v is None else v.to(device, dtype if v.is_floating_point() else None)
                    for k, v in moved.items()
                }
            )
        return replace(self, **changes)

    def check(self, elements: Sequence[int] | None = None) -> System:
        """Returns itself, or raises GeometryError for what no potential can be evaluated on."""
        check_atoms(self.positions, self.numbers)
        for index in range(len(self)):
            check_cell(self.cell[index], self.pbc[index])
        if elements is not None:
            check_elements(self.numbers, elements)
        return self

    @classmethod
    def from_arrays(
        cls,
        positions: Any,
        numbers: Any,
        cell: Any = None,
        pbc: Any = False,
        charge: float = 0.0,
        multiplicity: int = 1,
        head: int = 0,
        dtype: torch.dtype = torch.float64,
        check: bool = True,
    ) -> System:
        """One system from plain arrays (Å). Raises GeometryError for what cannot be evaluated."""
        positions = torch.from_numpy(np.asarray(positions, dtype=np.float64).reshape(-1, 3)).to(dtype)
        numbers = torch.from_numpy(np.asarray(numbers).reshape(-1)).to(torch.int64)
        cell = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)
        repeats = np.empty((1, 3), dtype=bool)
        repeats[:] = pbc
        system = cls(
            positions=positions,
            numbers=numbers,
            cell=torch.from_numpy(cell.reshape(1, 3, 3)).to(dtype),
            pbc=torch.from_numpy(repeats),
            system=torch.zeros(len(numbers), dtype=torch.int64),
            charge=torch.full((1,), charge, dtype=dtype),
            multiplicity=torch.full((1,), multiplicity, dtype=torch.int64),
            head=torch.full((1,), head, dtype=torch.int64),
        )
        if positions.shape[0] != numbers.shape[0]:
            raise GeometryError(
                f"{positions.shape[0]} positions for {numbers.shape[0]} atomic numbers: give one each."
            )
        return system.check() if check else system

    @classmethod
    def from_ase(cls, atoms: ase.Atoms, dtype: torch.dtype = torch.float64, check: bool = True) -> System:
        """One system from ASE. Total charge and multiplicity are read from `atoms.info` (`charge`,
        `multiplicity` or `spin_multiplicity`), neutral singlet without; magnetic moments that the atoms are held at
        from `atoms.arrays["held_moments"]` (`[atoms, 3]`, μB)."""
        info = atoms.info
        charge = info.get("charge", info.get("total_charge", 0.0))
        multiplicity = info.get("multiplicity", info.get("spin_multiplicity", 1))
        if not isinstance(charge, Real) or not math.isfinite(charge):
            raise GeometryError(f"the total charge {charge!r} is not a finite number: set atoms.info['charge'].")
        if not isinstance(multiplicity, Real) or not float(multiplicity).is_integer() or float(multiplicity) < 1:
            raise GeometryError(
                f"the multiplicity {multiplicity!r} is not a whole number of at least 1 (2S+1):"
                " set atoms.info['multiplicity']."
            )
        made = cls.from_arrays(
            atoms.positions,
            atoms.numbers,
            atoms.cell.array,
            atoms.pbc,
            float(charge),
            int(float(multiplicity)),
            int(info.get("head", 0)),
            dtype,
            check,
        )
        held = atoms.arrays.get("held_moments")
        if held is None:
            return made
        if held.shape != (len(atoms), 3) or not np.isfinite(held).all():
            raise GeometryError(f"held_moments must be {len(atoms)} × 3 finite numbers, and have shape {held.shape}.")
        return made.replace(environment=Environment(moments=torch.as_tensor(held, dtype=dtype)))

    @classmethod
    def batch(cls, systems: Sequence[System]) -> System:
        """Several systems as one batch, in order. Environments are joined if every system has one or none has."""
        if len(systems) == 1:
            return systems[0]
        if not systems:
            raise GeometryError("no systems were given: a batch needs at least one.")
        starts = np.cumsum([0] + [len(s) for s in systems])
        joined = {
            f.name: torch.cat([getattr(s, f.name) for s in systems])
            for f in fields(cls)
            if f.name not in ("system", "environment")
        }
        index = torch.cat([s.system + int(start) for s, start in zip(systems, starts, strict=False)])
        environment = _batch_environments([s.environment for s in systems], starts)
        return cls(**joined, system=index, environment=environment)


def _batch_environments(environments: list[Environment | None], starts: np.ndarray) -> Environment | None:
    given = [e for e in environments if e is not None]
    if not given:
        return None
    if len(given) < len(environments):
        raise GeometryError("some systems of the batch have an environment and some have none: give all or none.")

    def join(name: str, shift: bool = False) -> Tensor | None:
        values = [getattr(e, name) for e in given]
        if any(v is None for v in values):
            return None
        return torch.cat([v + int(s) if shift else v for v, s in zip(values, starts, strict=False)])

    charges = join("charges"), join("charge_positions"), join("charge_system", shift=True)
    return Environment(join("field"), *charges, join("moments"))


def check_atoms(positions: Tensor, numbers: Tensor) -> None:
    """Raises GeometryError for no atoms, NaN or absurd coordinates, and atomic numbers that do not exist."""
    if positions.shape[0] == 0:
        raise GeometryError("the structure has no atoms: a potential needs at least one.")
    (low, high), (least, most) = torch.aminmax(positions), torch.aminmax(numbers)
    in_range = float(low) >= -MAX_COORDINATE and float(high) <= MAX_COORDINATE  # false for NaN
    if in_range and int(least) >= 1 and int(most) <= MAX_NUMBER:
        return
    bad = ~torch.isfinite(positions).all(dim=1)
    if bool(bad.any()):
        index = int(bad.nonzero()[0])
        raise GeometryError(
            f"the position of atom {index} is {positions[index].tolist()}, which is not finite:"
            " the structure or the simulation that made it is broken."
        )
    far = positions.abs().amax(dim=1) > MAX_COORDINATE
    if bool(far.any()):
        index = int(far.nonzero()[0])
        raise GeometryError(
            f"atom {index} is at {positions[index].tolist()} Å, beyond {MAX_COORDINATE:.0e} Å:"
            " wrap it into the cell or check the length unit."
        )
    wrong = (numbers < 1) | (numbers > MAX_NUMBER)
    if bool(wrong.any()):
        index = int(wrong.nonzero()[0])
        raise GeometryError(
            f"atom {index} has atomic number {int(numbers[index])}: give a whole number from 1 to {MAX_NUMBER}."
        )


def check_cell(cell: Tensor, pbc: Tensor) -> None:
    """Raises GeometryError if a periodic direction has no lattice vector or the periodic ones are dependent."""
    rows: list[list[float]] = cell.tolist()
    vectors = [row for row, repeats in zip(rows, pbc.tolist(), strict=True) if repeats]
    if not vectors:
        return
    if not all(math.isfinite(x) for row in rows for x in row):
        raise GeometryError(f"the cell {rows} is not finite.")
    lengths = [math.hypot(*vector) for vector in vectors]
    if min(lengths) < 1e-3 or _volume(vectors) < 1e-5 * math.prod(lengths):
        raise GeometryError(
            f"the cell {cell.tolist()} is singular in its periodic directions {pbc.tolist()}:"
            " give independent lattice vectors or switch pbc off there."
        )


def _volume(vectors: Sequence[Sequence[float]]) -> float:
    """What one, two or three vectors span: a length, an area or a volume."""
    a, b, c = (*vectors, [0.0] * 3, [0.0] * 3)[:3]
    normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    if len(vectors) == 3:
        return abs(sum(n * x for n, x in zip(normal, c, strict=True)))
    return math.hypot(*(normal if len(vectors) == 2 else a))


def check_elements(numbers: Tensor, elements: Sequence[int]) -> None:
    """Raises GeometryError naming the elements a model was not made for."""
    unknown = sorted(set(numbers.bincount().nonzero()[:, 0].tolist()) - {int(e) for e in elements})
    if unknown:
        names = ", ".join(symbol(n) for n in unknown)
        known = ", ".join(symbol(n) for n in elements)
        raise GeometryError(f"this model does not know {names}. It knows: {known}.")
