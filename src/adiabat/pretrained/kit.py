"""Kits: a published program's weights, in one folder with structures and numbers, or in memory; always as data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ase
import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from adiabat.errors import DataError
from adiabat.files import read_structures
from adiabat.potential import Potential

_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Given:
    """The contents of a kit in memory; see `Kit.of`."""

    name: str
    meta: dict[str, Any]
    weights: dict[str, dict[str, Tensor]]
    buffers: dict[str, np.ndarray]


@dataclass(frozen=True)
class Kit:
    """One folder with meta.json, weights and outputs.npz, or the same in memory (`Kit.of`).

    Attributes:
        path: the folder; of a kit in memory the original file or folder it was read from.
        given: what a kit in memory has instead of files.
    """

    path: Path
    given: Given | None = None

    @classmethod
    def of(
        cls,
        name: str,
        meta: Mapping[str, Any],
        weights: Mapping[str, Tensor] | Mapping[str, Mapping[str, Tensor]],
        buffers: Mapping[str, np.ndarray] | None = None,
        path: str | Path = "",
    ) -> Kit:
        """A kit in memory, for files in other forms than golden kits.

        Args:
            name: starts like the golden kits of the same importer, such as `mace-...`.
            meta: what meta.json would say.
            weights: tensors by the program's names; or such dictionaries by file name where there are several.
            buffers: constants beside the weights.
            path: the original file or folder.
        """
        files = weights if any(isinstance(v, Mapping) for v in weights.values()) else {_WEIGHTS: weights}
        return cls(Path(path), Given(name, dict(meta), dict(files), dict(buffers or {})))  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """The folder's name, or the name given."""
        return self.given.name if self.given is not None else self.path.name

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Program, version, hyperparameters, units."""
        if self.given is not None:
            return self.given.meta
        file = self.path / "meta.json"
        if not file.exists():
            raise DataError(f"{self.path} is not a kit: it has no meta.json.")
        return json.loads(file.read_text())

    def weights(self, file: str = "weights.safetensors") -> dict[str, Tensor]:
        """Tensors under the program's own names."""
        if self.given is not None:
            return dict(self.given.weights[file])
        return load_file(self.path / file)

    def weight_files(self) -> list[str]:
        """Names of the files with weights: one, or one a variant (`weights-VARIANT.safetensors`)."""
        if self.given is not None:
            return list(self.given.weights)
        return [p.name for p in self.path.glob("weights*.safetensors")]

    @cached_property
    def buffers(self) -> dict[str, np.ndarray]:
        """Constants stored beside the weights, empty if there are none."""
        if self.given is not None:
            return self.given.buffers
        file = self.path / "buffers.npz"
        return dict(np.load(file)) if file.exists() else {}

    def structures(self, file: str | Path | None = None) -> dict[str, ase.Atoms]:
        """Structures by case name: the given file, else the kit's own, else the ones shared by all kits."""
        own = self.path / "structures.extxyz"
        path = Path(file) if file is not None else own if own.exists() else self.path.parent / "structures.extxyz"
        frames = read_structures(path, format="extxyz")
        return {atoms.info.get("name", atoms.info.get("case", f"{k}")): atoms for k, atoms in enumerate(frames)}

    def outputs(self, file: str | Path | None = None) -> dict[str, np.ndarray]:
        """The program's numbers under `<case>/<quantity>` or `<case>/<variant>/<quantity>`."""
        with np.load(file if file is not None else self.path / "outputs.npz") as arrays:
            return {k: arrays[k] for k in arrays.files}


@dataclass(frozen=True)
class Imported:
    """A kit's model as adiabat's own.

    Attributes:
        potentials: variant name ("" where the kit has none) to potential, in float64, eV and Å.
        energy_unit: the kit's energy unit, a name of `adiabat.units.ENERGY`; "eV" also for unit-less random weights.
        length_unit: the kit's length unit, a name of `adiabat.units.LENGTH`, for forces and stress
            (kit positions are always Å).
        offset: True if the kit's atomic energies leave out the per-element reference energies.
        beside: properties of predictions, eV, that the kit's atomic energies leave out.
        supercells: True if quantities that the kit has of a supercell of a structure are compared with those of the
            same supercell, as the program's lattice sums end where the size of the cell says.
        per_atom: True if the kit's energies, and with them their derivatives, are divided by the number of atoms.
        inputs: hands a potential what the program was given for a structure, by its names in the kit's outputs.
        differs: why the program's numbers for a structure are not those of the model as such, "" where they are.
        arrays: variant name to what gives the kit's own arrays for a structure, in its units and by its names, for
            kits of descriptors, which have no potential.
        together: gives the arrays of all structures (by name) at once, by the full names of the kit's outputs, for
            kits of kernels, whose numbers belong to pairs of structures.
    """

    potentials: Mapping[str, Potential]
    energy_unit: str = "eV"
    length_unit: str = "Å"
    offset: bool = False
    beside: tuple[str, ...] = ()
    supercells: bool = False
    per_atom: bool = False
    inputs: Callable[[Potential, ase.Atoms, Mapping[str, np.ndarray]], None] | None = None
    differs: Callable[[ase.Atoms], str] | None = None
    arrays: Mapping[str, Callable[[ase.Atoms], Mapping[str, np.ndarray]]] = field(default_factory=dict)
    together: Callable[[Mapping[str, ase.Atoms]], Mapping[str, np.ndarray]] | None = None


Importer = Callable[[Kit], Imported]
