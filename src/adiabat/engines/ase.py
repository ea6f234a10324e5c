"""The wall to ASE: any potential as an ASE calculator."""

from __future__ import annotations

from typing import Any, ClassVar

import ase
import numpy as np
import torch
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from adiabat.errors import CapabilityError, DynamicsError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, SkinList, System
from adiabat.potential import Potential


class AdiabatCalculator(Calculator):
    """ASE calculator of a potential: energy (eV), forces (eV/Å), stress (eV/Å³), energies per atom.

    Args:
        potential: any potential; it is put into evaluation mode.
        skin: Å, the neighbor list is searched again only once an atom has moved half of it.

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

    def __init__(self, potential: Potential, skin: float = 0.5, **keywords: Any):
        super().__init__(**keywords)
        self.potential = potential.eval()
        self._list = SkinList(potential.cutoff, skin)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        graph = self.graph(self.atoms)
        want = {"energy", "forces"}
        asked = set(properties or ())
        if "stress" in asked:
            want.add("stress")
        prediction = evaluate(self.potential, graph, tuple(want))
        self.results = _results(prediction)
        missing = asked - set(self.results)
        if missing:
            raise CapabilityError(
                f"{type(self.potential).__name__} does not predict {', '.join(sorted(missing))}"
                f" for {self.atoms.get_chemical_formula()}."
            )

    def graph(self, atoms: ase.Atoms) -> Graph:
        """The structure with its pairs within the cutoff, in the potential's own number type and device."""
        # the list and the checks work on the exact positions; the type changes only afterwards
        system = System.from_ase(atoms)
        potential = self.potential
        if potential.cutoff == float("inf"):
            return Graph.build(system, potential.cutoff).to(potential.device, potential.dtype)
        pairs, shifts = self._list.pairs(system)
        graph = Graph(system, pairs, shifts, potential.cutoff + self._list.skin).within(potential.cutoff)
        return graph.to(potential.device, potential.dtype)


def _results(prediction: Any) -> dict[str, Any]:
    energy = float(prediction.energy)
    forces = prediction.forces.double().cpu().numpy()
    if not np.isfinite(energy) or not np.isfinite(forces).all():
        raise DynamicsError(
            f"the model returned the energy {energy} eV with forces up to {np.abs(forces).max()} eV/Å:"
            " the structure is far outside what the model was trained on."
        )
    results: dict[str, Any] = {"energy": energy, "free_energy": energy, "forces": forces}
    named = {"energies": "atomic_energies", "charges": "charges", "magmoms": "magnetic_moments"}
    for theirs, ours in named.items():
        value = getattr(prediction, ours)
        if value is not None:
            results[theirs] = value.double().cpu().numpy()
    if prediction.dipole is not None:
        results["dipole"] = prediction.dipole[0].double().cpu().numpy()
    if prediction.stress is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress[0].double().cpu().numpy())
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


def calculator(potential: Potential, dtype: torch.dtype | None = None, skin: float = 0.5) -> AdiabatCalculator:
    """An ASE calculator, optionally with the potential converted to another floating-point type."""
    return AdiabatCalculator(potential if dtype is None else potential.to(dtype), skin)
