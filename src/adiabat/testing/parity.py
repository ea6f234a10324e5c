"""Parity: does a page give the published program's numbers from the same weights?

A golden kit holds a program's weights and the numbers it gave for some structures. Its importer makes an adiabat
potential of the weights, which is evaluated on the same structures; every number the kit has is compared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ase
import numpy as np
from torch import Tensor

from adiabat.errors import AdiabatError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Potential, Prediction, Referenced
from adiabat.pretrained.importers import importer
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import energy_unit, length_unit

TOLERANCE, TOLERANCE_FLOAT32 = 1e-6, 1e-5
FLOOR = 1e-6
"""Smallest magnitude that errors are relative to: a perfect crystal's forces are rounding."""
ASYMMETRY = 1e-2
"""Part of a stress beyond which it is not compared: no energy that turning leaves as it is gives such a one."""
SUPERCELL = "_from_supercell"
_ION = re.compile(r"(?P<case>.+)@(?:Q(?P<charge>[+-]\d+)S(?P<unpaired>\d+)|charge(?P<alone>[+-]\d+))")
_PART = re.compile(r"energy_\w+_atomic")
"""Terms that a kit has beside its atomic energies instead of in them."""
# names of quantities in kits, ours first
_NAMES = {
    "energy": ("energy",),
    "atomic_energies": ("atomic_energies", "energies"),
    "forces": ("forces",),
    "magnetic_forces": ("force_mag",),
    "stress": ("stress",),
    "virial": ("virial",),
    "charges": ("charges",),
    "dipole": ("dipole",),
    "magnetic_moments": ("magnetic_moments", "magmoms"),
}
_OURS = {name: own for own, names in _NAMES.items() for name in names}


@dataclass(frozen=True)
class Deviation:
    """The largest error of one quantity, in the kit's units.

    Attributes:
        quantity: name of the quantity, after `<variant>/` where the kit has variants.
        absolute: largest absolute error.
        relative: the same over the largest magnitude of the quantity in all cases.
        largest: that magnitude.
        cases: how many cases were compared.
        worst: the case with the largest error.
    """

    quantity: str
    absolute: float
    relative: float
    largest: float
    cases: int
    worst: str


@dataclass(frozen=True)
class ParityReport:
    """What a comparison gave.

    Attributes:
        kit: its name.
        status: "equal", "off" or "no page" (no importer for the kit yet).
        tolerance: largest relative error that counts as equal.
        deviations: one for each quantity.
        failures: cases that the kit has numbers for and adiabat could not evaluate, with the reason.
        skipped: cases, variants and quantities that were not compared, with the reason.
    """

    kit: str
    status: Literal["equal", "off", "no page"]
    tolerance: float = TOLERANCE
    deviations: tuple[Deviation, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        """Largest relative error of any quantity."""
        return max((d.relative for d in self.deviations), default=float("nan"))


def parity(
    kit: Kit, structures: Path | None = None, outputs: Path | None = None, tolerance: float | None = None
) -> ParityReport:
    """Compares a kit's numbers with those of the page that its importer fills.

    Args:
        kit: the golden kit.
        structures: other structures than the kit's (extxyz with names).
        outputs: numbers for them, in the form of outputs.npz.
        tolerance: largest relative error; by default 1e-6, or 1e-5 if the program ran in float32 alone.
    """
    if tolerance is None:
        tolerance = _tolerance(kit)
    read = importer(kit)
    if read is None:
        return ParityReport(kit.name, "no page", tolerance)
    try:
        imported = read(kit)
    except AdiabatError as error:
        return ParityReport(kit.name, "off", tolerance, failures={"import": str(error)})
    given = kit.outputs(outputs)
    comparison = _Comparison(kit, imported, _with_ions(_structures(kit, structures), given))
    comparison.run(given)
    deviations = comparison.deviations()
    equal = bool(deviations) and not comparison.failures and all(d.relative <= tolerance for d in deviations)
    return ParityReport(
        kit.name, "equal" if equal else "off", tolerance, deviations, comparison.failures, comparison.skipped
    )


def scoreboard(folder: Path) -> list[ParityReport]:
    """The parity of every kit in a folder, in order of names."""
    return [parity(Kit(file.parent)) for file in sorted(folder.glob("*/meta.json"))]


def _tolerance(kit: Kit) -> float:
    dtype = str(kit.meta.get("dtype", ""))
    return TOLERANCE_FLOAT32 if "float32" in dtype and "float64" not in dtype else TOLERANCE


def _structures(kit: Kit, file: Path | None) -> dict[str, ase.Atoms]:
    if file is not None:
        return kit.structures(file)
    native = kit.path / "native.extxyz"  # structures that the published weights were made for
    return kit.structures() | (kit.structures(native) if native.exists() else {})


def _with_ions(structures: dict[str, ase.Atoms], outputs: Iterable[str]) -> dict[str, ase.Atoms]:
    """Structures with those that a kit names `<case>@Q<charge>S<unpaired electrons>` or `<case>@charge<charge>`."""
    made = dict(structures)
    for name in {key.split("/")[0] for key in outputs}:
        ion = _ION.fullmatch(name)
        if ion is not None and ion["case"] in structures:
            made[name] = atoms = structures[ion["case"]].copy()
            atoms.info |= {"charge": float(ion["charge"] or ion["alone"])}
            atoms.info |= {"multiplicity": int(ion["unpaired"]) + 1} if ion["unpaired"] else {}
    return made


class _Comparison:
    """Evaluates case by case and keeps what differs."""

    def __init__(self, kit: Kit, imported: Imported, structures: Mapping[str, ase.Atoms]):
        self.kit, self.imported, self.structures = kit, imported, structures
        self.rows: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
        self.failures: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def run(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Compares all outputs with the predictions for their structures."""
        if self.imported.together is not None:
            return self._compare_together(outputs)
        cases: dict[tuple[str, str], dict[str, np.ndarray]] = defaultdict(dict)
        for key, values in outputs.items():
            if "/" in key:
                case, *variant, quantity = key.split("/")
                cases[case, "/".join(variant)][quantity] = values
            else:
                self.skipped[key] = "belongs to no structure"
        for name in self.structures:
            if name not in {case for case, _ in cases}:
                self.skipped[name] = _reason(self.kit, name)
        for (case, variant), given in cases.items():
            label = f"{case}/{variant}" if variant else case
            if case not in self.structures:
                self.skipped[label] = "no structure of this name"
            elif variant in self.imported.arrays:
                self._compare_arrays(label, case, variant, given)
            elif variant not in self.imported.potentials:
                self.skipped[f"*/{variant}"] = "the importer gives no model for this variant"
            else:
                self._compare(label, case, variant, given)

    def _comparable(self, label: str, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The program's values under our names; supercell values replace the plain ones."""
        wanted: dict[str, np.ndarray] = {}
        for name in sorted(given, key=lambda n: n.endswith(SUPERCELL)):
            own = _OURS.get(name.removesuffix(SUPERCELL))
            if own is None:
                self.skipped[f"*/{name}"] = "not a quantity that parity compares"
            elif not np.isfinite(given[name]).all():
                self.skipped[f"{label}/{name}"] = "the program's value is not finite"
            elif own in ("stress", "virial") and _asymmetry(given[name]) > ASYMMETRY:
                self.skipped[f"{label}/{name}"] = "the program's is not symmetric: its energy changes with rotation"
            else:
                wanted[own] = given[name]
        if "atomic_energies" in wanted:
            wanted["atomic_energies"] = wanted["atomic_energies"] + sum(given[n] for n in given if _PART.fullmatch(n))
        return wanted

    def _compare(self, label: str, case: str, variant: str, given: Mapping[str, np.ndarray]) -> None:
        potential, atoms = self.imported.potentials[variant], self.structures[case]
        if self.imported.differs is not None and (reason := self.imported.differs(atoms)):
            self.skipped[label] = reason
            return
        if self.imported.inputs is not None:
            self.imported.inputs(potential, atoms, given)
        wanted = self._comparable(label, given)
        if "virial" in wanted and not atoms.pbc.any():
            self.skipped[f"{label}/virial"] = "not compared without periodicity"
            del wanted["virial"]
        try:
            found = _values(potential, atoms, wanted, self.imported)
            if self.imported.supercells and "supercell_repeats" in given:
                repeats = tuple(given["supercell_repeats"].astype(int).tolist())
                names = [own for own in wanted if own + SUPERCELL in given]
                found |= _values_from_supercell(potential, atoms, names, self.imported, repeats)
        except AdiabatError as error:
            self.failures[label] = str(error)
            return
        self._note(label, case, variant, found, wanted)

    def _compare_arrays(self, label: str, case: str, variant: str, given: Mapping[str, np.ndarray]) -> None:
        """Descriptors and properties: whatever the kit has of what the importer gives."""
        if self.imported.differs is not None and (reason := self.imported.differs(self.structures[case])):
            self.skipped[label] = reason
            return
        try:
            found = self.imported.arrays[variant](self.structures[case])
        except AdiabatError as error:
            self.failures[label] = str(error)
            return
        for name in given.keys() - found.keys():
            self.skipped[f"*/{name}"] = "not a quantity that the importer gives"
        wanted = {name: given[name] for name in given if name in found}
        for name in [name for name, value in wanted.items() if not np.isfinite(value).all()]:
            self.skipped[f"{label}/{name}"] = "the program's value is not finite"
            del wanted[name]
        self._note(label, case, variant, found, wanted)

    def _compare_together(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Numbers of pairs of structures, such as kernels."""
        assert self.imported.together is not None
        found = self.imported.together(self.structures)
        for name in outputs.keys() - found.keys():
            self.skipped[name] = "not a quantity that the importer gives"
        for name in sorted(outputs.keys() & found.keys()):
            self._note(name, "all", "", found, {name: outputs[name]})

    def _note(
        self, label: str, case: str, variant: str, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
    ) -> None:
        """Keeps the largest differences of one case."""
        for name, value in wanted.items():
            if found[name].size != value.size:
                self.failures[label] = f"{name} has {found[name].size} values where the kit has {value.size}"
                continue
            error = float(np.abs(found[name].reshape(value.shape) - value).max(initial=0.0))
            row = f"{variant}/{name}" if variant else name
            self.rows[row].append((case, error, float(np.abs(value).max(initial=0.0))))

    def deviations(self) -> tuple[Deviation, ...]:
        """The largest errors; NaN counts as infinite."""
        found = []
        for quantity, rows in sorted(self.rows.items()):
            largest = max(size for _, _, size in rows)
            worst, error, _ = max(rows, key=lambda row: np.inf if np.isnan(row[1]) else row[1])
            error = float("inf") if np.isnan(error) else error
            found.append(Deviation(quantity, error, error / max(largest, FLOOR), largest, len(rows), worst))
        return tuple(found)


def _asymmetry(stress: np.ndarray) -> float:
    """The largest difference from the transpose, relative to the largest magnitude."""
    stress = stress.reshape(3, 3) if stress.size == 9 else stress
    if stress.shape[-2:] != (3, 3):
        return 0.0
    return float(np.abs(stress - stress.swapaxes(-1, -2)).max() / max(np.abs(stress).max(), FLOOR))


def _values(
    potential: Potential, atoms: ase.Atoms, names: Iterable[str], imported: Imported
) -> dict[str, np.ndarray]:
    """What adiabat predicts for one structure, in the kit's units."""
    graph = Graph.build(System.from_ase(atoms, potential.dtype), potential.cutoff)
    want = {"stress" if name == "virial" else name for name in names}
    found = evaluate(potential, graph, tuple(want))
    energy, length = energy_unit(imported.energy_unit), length_unit(imported.length_unit)
    energy = energy * graph.system.atoms if imported.per_atom else energy
    units = {
        "energy": energy,
        "atomic_energies": energy,
        "forces": energy / length,
        "magnetic_forces": energy,
        "stress": energy / length**3,
        "virial": energy,
        "dipole": length,
    }
    values = {}
    for name in names:
        tensor = _quantity(found, name, graph)
        if name == "atomic_energies" and imported.offset and isinstance(potential, Referenced):
            tensor = tensor - potential.reference[graph.system.numbers]
        if name == "atomic_energies":
            tensor = tensor - sum(found.properties[part] for part in imported.beside)
        values[name] = tensor.detach().double().numpy() / units.get(name, 1.0)
    return values


def _values_from_supercell(
    potential: Potential, atoms: ase.Atoms, names: Iterable[str], imported: Imported, repeats: tuple[int, int, int]
) -> dict[str, np.ndarray]:
    """`_values` as a supercell gives them: the energy's share, the first copy's forces and charges."""
    found = _values(potential, atoms.repeat(repeats), names, imported)
    shares = {"energy": 1.0 / np.prod(repeats), "virial": 1.0 / np.prod(repeats)}
    per_atom = {"forces", "charges", "atomic_energies", "magnetic_moments"}
    return {n: v[: len(atoms)] if n in per_atom else v * shares.get(n, 1.0) for n, v in found.items()}


def _quantity(found: Prediction, name: str, graph: Graph) -> Tensor:
    if name == "virial":  # −dE/dε, the sign that most programs call virial
        assert found.stress is not None
        return -found.stress * graph.system.volume[:, None, None]
    return getattr(found, name)


def _reason(kit: Kit, case: str) -> str:
    """Why the kit has no numbers for a case, as far as it says."""
    notes: dict[str, Any] = {}
    cases = kit.meta.get("cases")
    for part in (cases, kit.meta.get("errors")):
        if isinstance(part, dict):
            for key, value in part.items():
                notes |= value if isinstance(value, dict) else {key: value}
    note = str(notes.get(case, ""))
    return note if note and note != "ok" else "the kit has no numbers for it"
