"""Model: a trained potential with what is known of it, as users hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch

from adiabat import checkpoint
from adiabat.data.info import DataInfo
from adiabat.engines.ase import AdiabatCalculator
from adiabat.errors import CheckpointError, InputError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Potential

_MAX_ATOMS = 4096  # atoms evaluated together; a memory bound that keeps small systems in large batches


@dataclass(frozen=True)
class Model:
    """What `adiabat.load` returns.

    Attributes:
        potential: the model itself.
        info: elements, reference energies, level of theory, hashes of the data it was made from.
        metrics: test errors recorded at training.
        source: file it was read from.
    """

    potential: Potential
    info: DataInfo
    metrics: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None

    def predict(
        self, structures: ase.Atoms | Sequence[ase.Atoms], want: Sequence[str] | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Energies (eV), forces (eV/Å) and whatever else `want` names, as numpy arrays.

        Stress (eV/Å³, 3×3, tension positive) is added by default where the structure is periodic and the model
        local. One structure gives one dictionary, a sequence gives a list in the same order.
        """
        single = isinstance(structures, ase.Atoms)
        atoms = [structures] if single else list(structures)
        if not atoms:
            raise InputError("no structures were given: pass ASE Atoms or a list of them.")
        results: list[dict[str, Any]] = [{} for _ in atoms]
        for chunk in self._chunks(atoms, want):
            for index, row in zip(chunk, self._evaluate([atoms[i] for i in chunk], want), strict=True):
                results[index] = row
        return results[0] if single else results

    def _chunks(self, atoms: Sequence[ase.Atoms], want: Sequence[str] | None) -> list[list[int]]:
        """Structures that go together: the same default quantities, a bounded number of atoms."""
        groups: dict[bool, list[list[int]]] = {}
        sizes: dict[bool, int] = {}
        single = want is not None and "hessian" in want
        for index, one in enumerate(atoms):
            periodic = bool(one.pbc.any())
            chunks = groups.setdefault(periodic, [])
            if single or not chunks or sizes[periodic] + len(one) > _MAX_ATOMS:
                chunks.append([])
                sizes[periodic] = 0
            chunks[-1].append(index)
            sizes[periodic] += len(one)
        return [chunk for chunks in groups.values() for chunk in chunks]

    def _evaluate(self, atoms: Sequence[ase.Atoms], want: Sequence[str] | None) -> list[dict[str, Any]]:
        if want is None:
            periodic = bool(atoms[0].pbc.any())
            want = ("energy", "forces", "stress") if periodic and self.potential.local else ("energy", "forces")
        systems = System.batch([System.from_ase(a) for a in atoms])
        graph = Graph.build(systems, self.potential.cutoff).to(self.potential.device, self.potential.dtype)
        prediction = evaluate(self.potential, graph, tuple(want))
        bounds = np.concatenate([[0], np.cumsum([len(a) for a in atoms])])
        rows: list[dict[str, Any]] = []
        for k in range(len(atoms)):
            row: dict[str, Any] = {}
            for name in want:
                value = getattr(prediction, name).double().cpu().numpy()
                per_atom = name in ("forces", "atomic_energies", "charges", "magnetic_moments")
                row[name] = value[bounds[k] : bounds[k + 1]] if per_atom else value if name == "hessian" else value[k]
            row["energy"] = float(prediction.energy[k])
            rows.append(row)
        return rows

    def calculator(self, skin: float = 0.5) -> AdiabatCalculator:
        """An ASE calculator; `skin` (Å) is the slack of its neighbor list."""
        return AdiabatCalculator(self.potential, skin)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Model:
        """The same model on another device or with another floating-point type (changed in place)."""
        self.potential.to(device=device, dtype=dtype)
        return self

    def save(self, path: str | Path) -> Path:
        """Writes a checkpoint; see `adiabat.checkpoint.save`."""
        checkpoint.save(Path(path), self.potential, self.info, metrics=dict(self.metrics))
        return Path(path)


def load(path: str | Path) -> Model:
    """Reads a checkpoint written by adiabat. Nothing in it is executed.

    Raises CheckpointError if the file is missing, damaged, foreign or from a newer version.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"there is no file {path}: give the path of a .adiabat checkpoint.")
    loaded = checkpoint.load(path)
    loaded.potential.eval()
    return Model(loaded.potential, loaded.info, loaded.metrics, path)
