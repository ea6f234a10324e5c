"""Frame: one labeled structure; Batch: several of them as one graph with masked labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ase
import torch
from torch import Tensor

from adiabat.errors import DataError, did_you_mean
from adiabat.geometry import Graph, System

LABELS = {
    "energy": "[] eV",
    "forces": "[atoms, 3] eV/Å",
    "stress": "[3, 3] eV/Å³, tension positive",
    "charges": "[atoms] e",
    "dipole": "[3] e·Å",
    "polarizability": "[3, 3] e·Å²/V",
    "magnetic_moments": "[atoms] μB",
}
PER_ATOM = frozenset({"forces", "charges", "magnetic_moments"})


@dataclass(frozen=True)
class Frame:
    """One structure and what is known of it.

    Attributes:
        system: a single System.
        labels: float64 tensors under names of LABELS; a missing label is absent, never zero.
        info: everything else the file said (config_type, group, source and index in it).
    """

    system: System
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.labels.items():
            if name not in LABELS:
                raise DataError(f"'{name}' is not a label.{did_you_mean(name, LABELS)}")
            want = _shape(name, self.system.atoms)
            if tuple(value.shape) != want:
                raise DataError(
                    f"the label {name} has shape {tuple(value.shape)} where {want} is needed ({LABELS[name]})."
                )

    def to_ase(self) -> ase.Atoms:
        """The structure as ASE Atoms, without labels; charge and multiplicity in `info` unless 0 and 1."""
        system = self.system
        atoms = ase.Atoms(
            system.numbers.numpy(),
            system.positions.double().numpy(),
            cell=system.cell[0].double().numpy(),
            pbc=system.pbc[0].numpy(),
        )
        if float(system.charge) != 0:
            atoms.info["charge"] = float(system.charge)
        if int(system.multiplicity) != 1:
            atoms.info["multiplicity"] = int(system.multiplicity)
        return atoms


def _shape(name: str, atoms: int) -> tuple[int, ...]:
    tensors = dict.fromkeys(("stress", "polarizability"), (3, 3))
    return {"energy": (), "dipole": (3,), "forces": (atoms, 3), **tensors}.get(name, (atoms,))


@dataclass(frozen=True)
class Batch:
    """Several frames as one graph.

    Attributes:
        graph: of all frames, in order.
        labels: `energy [systems]`, `stress [systems, 3, 3]`, `dipole [systems, 3]`, `polarizability
            [systems, 3, 3]`, per-atom ones `[atoms, ...]`; zero where absent, so only ever read through `present`.
        present: for every label in `labels`, which systems have it `[systems]`, bool.
        indices: which frames of the data set these are.
    """

    graph: Graph
    labels: dict[str, Tensor]
    present: dict[str, Tensor]
    indices: tuple[int, ...] = ()

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Batch:
        """A copy elsewhere; energies stay in float64."""
        labels = {k: v.to(device, None if k == "energy" else dtype) for k, v in self.labels.items()}
        present = {k: v.to(device) for k, v in self.present.items()}
        return Batch(self.graph.to(device, dtype), labels, present, self.indices)


def collate(
    frames: Sequence[Frame], graphs: Sequence[Graph], names: Sequence[str], indices: Sequence[int] = ()
) -> Batch:
    """Joins frames and their graphs; labels in `names` that a frame lacks are masked."""
    labels: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    for name in names:
        values = [
            f.labels[name] if name in f.labels else torch.zeros(_shape(name, f.system.atoms), dtype=torch.float64)
            for f in frames
        ]
        labels[name] = torch.cat(values) if name in PER_ATOM else torch.stack(values)
        present[name] = torch.tensor([name in f.labels for f in frames])
    return Batch(Graph.batch(graphs), labels, present, tuple(indices))
