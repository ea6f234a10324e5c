"""Makes the shipped ethanol set: GFN2-xTB dynamics for the geometries, PBE0/def2-SVP for the labels.

    pip install pyscf tblite ase
    python ethanol.py sample  geometries.extxyz
    python ethanol.py label   geometries.extxyz labeled.extxyz
    python ethanol.py check   labeled.extxyz

`label` appends one frame at a time and continues where it stopped, so a killed run loses one frame.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

HARTREE = 27.211386245988  # eV, CODATA 2018
BOHR = 0.529177210903  # Å
DEBYE = 0.20819433442462576  # e·Å
TEMPERATURES = (300, 450, 600)  # K
ISOLATED = {"H": 1, "C": 2, "O": 2}  # unpaired electrons of the ground-state atoms


def sample(path: Path, frames_per_run: int = 40, runs_per_temperature: int = 4) -> None:
    """Langevin dynamics from both conformers; one frame every 50 fs after 1 ps of equilibration."""
    from tblite.ase import TBLite

    frames = [Atoms(s, info={"config_type": "isolated_atom", "trajectory": -1, "step": 0}) for s in ISOLATED]
    run = 0
    for temperature in TEMPERATURES:
        for repeat in range(runs_per_temperature):
            rng = np.random.default_rng([temperature, repeat])
            atoms = molecule("CH3CH2OH")
            if repeat % 2:  # the library's geometry is trans; turning the hydroxyl by 120° gives gauche
                carbon, oxygen, hydrogen = _hydroxyl(atoms)
                atoms.rotate_dihedral(*_torsion(atoms, carbon, oxygen, hydrogen), 120.0, indices=[hydrogen])
            atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
            MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
            dynamics = Langevin(atoms, 0.5 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng)
            dynamics.run(2000)
            for _ in range(frames_per_run):
                dynamics.run(100)
                info = {"config_type": f"md_{temperature}K", "trajectory": run, "step": dynamics.nsteps}
                frames.append(Atoms(atoms.numbers, atoms.positions - atoms.get_center_of_mass(), info=info))
            run += 1
            print(f"run {run}: {temperature} K, {len(frames)} frames", flush=True)
    ase.io.write(path, frames, format="extxyz")


def _hydroxyl(atoms: Atoms) -> tuple[int, int, int]:
    oxygen = atoms.symbols.search("O")[0]
    distances = atoms.get_distances(oxygen, range(len(atoms)))
    near = [int(k) for k in np.argsort(distances) if k != oxygen]
    hydrogen = next(k for k in near if atoms.symbols[k] == "H")
    carbon = next(k for k in near if atoms.symbols[k] == "C")
    return carbon, int(oxygen), hydrogen


def _torsion(atoms: Atoms, carbon: int, oxygen: int, hydrogen: int) -> tuple[int, int, int, int]:
    other = next(int(k) for k in atoms.symbols.search("C") if k != carbon)
    return other, carbon, oxygen, hydrogen


def quantum(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy (eV), forces (eV/Å) and dipole (e·Å) at PBE0/def2-SVP; raises if the SCF does not converge."""
    from pyscf import dft, gto

    spin = ISOLATED[atoms.get_chemical_formula()] if len(atoms) == 1 else 0
    geometry = [(s, p) for s, p in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)]
    mol = gto.M(atom=geometry, basis="def2-svp", unit="Angstrom", spin=spin, verbose=0)
    scf = dft.UKS(mol) if spin else dft.RKS(mol)
    scf.xc, scf.conv_tol, scf.grids.level = "pbe0", 1e-9, 3
    energy = scf.kernel()
    if not scf.converged:
        raise RuntimeError("the SCF did not converge")
    dipole = scf.dip_moment(unit="Debye", verbose=0) * DEBYE
    # an atom has no force by symmetry; its open-shell density is not spherical, so a computed one would be grid noise
    forces = np.zeros((1, 3)) if len(atoms) == 1 else -scf.nuc_grad_method().kernel() * HARTREE / BOHR
    return energy * HARTREE, forces, dipole


def label(source: Path, target: Path) -> None:
    """Labels every geometry once, in an order that keeps any prefix representative of the whole set."""
    frames = ase.io.read(source, ":", format="extxyz")
    isolated = len(ISOLATED)
    order = [*range(isolated), *(isolated + np.random.default_rng(0).permutation(len(frames) - isolated))]
    done = len(list(ase.io.iread(target, ":", format="extxyz"))) if target.exists() else 0
    rejected = 0
    for position, index in enumerate(order):
        if position < done + rejected:
            continue
        atoms = frames[index]
        try:
            energy, forces, dipole = quantum(atoms)
        except RuntimeError as error:
            rejected += 1
            print(f"frame {index} rejected: {error}", flush=True)
            continue
        atoms.info |= {"REF_energy": energy, "REF_dipole": dipole}
        atoms.arrays["REF_forces"] = forces
        ase.io.write(target, atoms, format="extxyz", append=True)


def check(path: Path, step: float = 1e-3) -> None:
    """One force component of one frame against the central difference of energies."""
    atoms = next(a for a in ase.io.iread(path, ":", format="extxyz") if len(a) > 1)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[2, 0] += sign * step
        energies.append(quantum(moved)[0])
    numeric = -(energies[0] - energies[1]) / (2 * step)
    stored = atoms.arrays["REF_forces"][2, 0]
    print(f"stored {stored:.6f}, finite difference {numeric:.6f}, difference {stored - numeric:.1e} eV/Å")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["sample", "label", "check"])
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    {"sample": sample, "label": label, "check": check}[arguments.task](*arguments.files)
