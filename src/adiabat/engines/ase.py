"""The wall to ASE: any potential as an ASE calculator."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import ase
import numpy as np
import torch
from ase import units
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from adiabat.compile import Frozen
from adiabat.errors import CapabilityError, DynamicsError, InputError
from adiabat.evaluate import check_request, derive
from adiabat.geometry import Graph, MovingGraph, System
from adiabat.geometry.moving import SKIN
from adiabat.geometry.system import INFO_KEYS
from adiabat.potential import Potential, Prediction

SLACK = 0.2  # Å; on other devices than the CPU pairs are counted anew only once an atom has moved half of it
# what ASE calls the quantities of a Prediction
NAMES = {
    "energy": "energy",
    "forces": "forces",
    "atomic_energies": "energies",
    "stress": "stress",
    "charges": "charges",
    "dipole": "dipole",
    "magnetic_moments": "magmoms",
}


@dataclass(frozen=True)
class Engine:
    """How a model is evaluated step after step.

    Attributes:
        prepare: adds to a graph what the model wants made beforehand; its `layout` is kept while the pairs stay.
        evaluate: the quantities wanted of a graph. Requests and elements were checked before.
    """

    prepare: Callable[[Graph], Graph]
    evaluate: Callable[[Graph, Collection[str]], Prediction]


def engine(potential: Potential, fast: bool) -> Engine:
    """The one place where a calculator's way of evaluating its model is chosen: with kernels where it has some."""
    frozen = Frozen(potential)
    if not fast or potential.device.type != "cpu" or frozen.model() is None:
        return Engine(lambda graph: graph, partial(derive, potential))

    def prepare(graph: Graph) -> Graph:
        model = frozen.model()
        return graph if model is None else model.prepare(graph)

    def run(graph: Graph, want: Collection[str]) -> Prediction:
        return frozen.evaluate(graph, want) or derive(potential, graph, want)

    return Engine(prepare, run)


class AdiabatCalculator(Calculator):
    """ASE calculator of a potential: energy (eV), forces (eV/Å), stress (eV/Å³), energies per atom.

    Everything but positions is kept from one step to the next (`MovingGraph`), and results come back from the
    model's device in one copy. Stress is computed along with the forces if it was asked for in the step before.

    Args:
        potential: any potential; it is put into evaluation mode.
        skin: Å, the neighbor list is searched again only once an atom has moved half of it.
        fast: use the method's kernels if it has some (`Potential.frozen`); energies then differ by about 1e-8.

    Raises:
        DynamicsError: the model returned a NaN or infinite energy or force.
        GeometryError: the structure has unknown elements, overlapping atoms, NaN positions, a singular cell.
        CapabilityError: stress was asked for without a periodic cell or from a global model.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "forces",
        "stress",
        "energies",
        "charges",
        "dipole",
        "magmoms",
    ]

    def __init__(self, potential: Potential, skin: float = SKIN, fast: bool = True, **keywords: Any):
        super().__init__(**keywords)
        self.fast = fast
        self.potential = potential.eval()
        self.skin = skin
        self._kind: tuple[torch.device, torch.dtype] | None = None
        self._moving: MovingGraph | None = None
        self._past_searches = 0
        self._checked: set[frozenset[str]] = set()
        self._stress = (False, False)  # asked for at the previous positions, at the present ones

    @property
    def searches(self) -> int:
        """How many neighbor searches there were."""
        return self._past_searches + (0 if self._moving is None else self._moving.searches)

    def get_property(self, name: str, atoms: ase.Atoms | None = None, allow_calculation: bool = True) -> Any:
        """One of `implemented_properties`. As ASE's own, but without copying the structure several times a step."""
        if name not in self.implemented_properties:
            raise PropertyNotImplementedError(f"{name} is not among {', '.join(self.implemented_properties)}.")
        changes = [] if atoms is None else self.check_state(atoms)
        if changes:
            self.results = {}
        if name not in self.results:
            if not allow_calculation:
                return None
            self.calculate(atoms, [name], changes)
        result = self.results[name]
        return result.copy() if isinstance(result, np.ndarray) else result

    def check_state(self, atoms: ase.Atoms, tol: float = 0.0) -> list[str]:
        """What changed since the last calculation: every change counts, `tol` is ASE's and has no effect.

        ASE's comparison takes 60 µs, three times a step of dynamics, and overlooks the charge in `atoms.info`.
        """
        old = self.atoms
        if old is None or len(old) != len(atoms):
            return all_changes[:]
        both = (
            ("positions", old.arrays["positions"], atoms.arrays["positions"]),
            ("numbers", old.arrays["numbers"], atoms.arrays["numbers"]),
            ("cell", old.cell.array, atoms.cell.array),
            ("pbc", old.pbc, atoms.pbc),
        )
        changes = [name for name, a, b in both if (a != b).any()]
        if any(old.info.get(key) != atoms.info.get(key) for key in INFO_KEYS):
            changes.append("info")
        held, given = (one.arrays.get("held_moments") for one in (old, atoms))
        if held is not given and not np.array_equal(held, given):  # type: ignore[arg-type]
            changes.append("held_moments")
        return changes

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        asked = set(properties or ())
        if system_changes:
            self._stress = (self._stress[1], False)
        self._stress = (self._stress[0], self._stress[1] or "stress" in asked)
        structure = self._hold(atoms, system_changes)
        graph = self._graph(structure)
        want = frozenset(("energy", "forces", "stress") if self._wants_stress(structure) else ("energy", "forces"))
        if want not in self._checked:
            check_request(self.potential, graph, want)
            self._checked.add(want)
        self.results = _results(self._engine.evaluate(graph, want))
        missing = asked - set(self.results)
        if missing:
            raise CapabilityError(
                f"{type(self.potential).__name__} does not predict {', '.join(sorted(missing))}"
                f" for {structure.get_chemical_formula()}."
            )

    def _wants_stress(self, structure: ase.Atoms) -> bool:
        before, now = self._stress
        return now or (before and bool(structure.pbc.any()))

    def _hold(self, atoms: ase.Atoms | None, changes: list[str]) -> ase.Atoms:
        """Keeps a copy of the structure, to compare the next one with."""
        held: ase.Atoms | None = self.atoms
        if held is not None and (atoms is None or set(changes) <= {"positions", "cell"}):
            if atoms is not None:
                held.arrays["positions"][:] = atoms.arrays["positions"]
                if "cell" in changes:
                    held.set_cell(atoms.cell.array)
            return held
        if atoms is None:
            raise InputError("the calculator has no structure yet: give atoms.")
        self._past_searches, self._moving = self.searches, None
        self.atoms = atoms.copy()
        return self.atoms

    def _graph(self, atoms: ase.Atoms) -> Graph:
        """The structure with its pairs within the cutoff, in the potential's own number type and device."""
        kind = self.potential.device, self.potential.dtype
        if kind != self._kind:
            self._engine = engine(self.potential, self.fast)
            self._kind, self._past_searches, self._moving = kind, self.searches, None
        if self._moving is None:
            self._checked.clear()
            slack = 0.0 if kind[0].type == "cpu" else min(SLACK, self.skin)
            self._moving = MovingGraph(System.from_ase(atoms), self.potential.cutoff, self.skin, slack, *kind)
        graph = self._engine.prepare(self._moving.move(atoms.arrays["positions"], atoms.cell.array))
        self._moving.keep(graph)
        return graph


def _results(prediction: Prediction) -> dict[str, Any]:
    """What a Prediction holds, under ASE's names."""
    assert prediction.forces is not None
    found = [(theirs, value) for ours, theirs in NAMES.items() if (value := getattr(prediction, ours)) is not None]
    # one copy from the model's device, not one for each quantity
    flat = torch.cat([value.detach().reshape(-1).double() for _, value in found]).cpu().numpy()
    results: dict[str, Any] = {}
    begin = 0
    for name, value in found:
        results[name] = flat[begin : begin + value.numel()].reshape(value.shape)
        begin += value.numel()
    energy, forces = float(results["energy"][0]), results["forces"]
    if not math.isfinite(energy) or not np.isfinite(forces).all():
        raise DynamicsError(
            f"the model returned the energy {energy} eV with forces up to {np.abs(forces).max()} eV/Å:"
            " the structure is far outside what the model was trained on."
        )
    results["energy"] = results["free_energy"] = energy
    if "dipole" in results:
        results["dipole"] = results["dipole"][0]
    if "stress" in results:
        results["stress"] = full_3x3_to_voigt_6_stress(results["stress"][0])
    return results


def thermalize(atoms: ase.Atoms, temperature: float, random: np.random.Generator) -> None:
    """Draws Maxwell-Boltzmann momenta at `temperature` (K), without drift, and without rotation if not periodic.

    Own code because ASE renamed its function between the versions that adiabat supports.
    """
    masses = atoms.get_masses()[:, None]
    momenta = random.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    momenta -= masses / masses.sum() * momenta.sum(axis=0)
    if not atoms.pbc.any() and len(atoms) > 2:
        arms = atoms.positions - atoms.get_center_of_mass()
        spin = np.cross(arms, momenta).sum(axis=0)
        inertia = (
            masses[:, :, None] * ((arms**2).sum(axis=1)[:, None, None] * np.eye(3) - arms[:, :, None] * arms[:, None])
        ).sum(axis=0)
        # least squares, because a linear molecule has no inertia about its axis
        momenta -= masses * np.cross(np.linalg.lstsq(inertia, spin, rcond=1e-8)[0], arms)
    atoms.set_momenta(momenta)


def calculator(potential: Potential, dtype: torch.dtype | None = None, skin: float = SKIN) -> AdiabatCalculator:
    """An ASE calculator, optionally with the potential converted to another floating-point type."""
    return AdiabatCalculator(potential if dtype is None else potential.to(dtype), skin)
