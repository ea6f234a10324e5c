"""Makes the shipped silicon set with Quantum ESPRESSO: strained, rattled and vacancy cells with stress.

    apt-get install quantum-espresso quantum-espresso-data      (or any pw.x of version 6.7 or later)
    pip install ase
    python silicon.py label --pseudo /usr/share/espresso/pseudo labeled.extxyz
    python silicon.py check --pseudo /usr/share/espresso/pseudo labeled.extxyz

`label` appends one frame at a time and continues where it stopped, so a killed run loses one frame.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk

RYDBERG = 13.605693122994  # eV, CODATA 2018
BOHR = 0.529177210903  # Å
LATTICE = 5.47  # Å, close to this setting's equilibrium
PSEUDOPOTENTIAL = "Si.pbe-rrkj.UPF"
CUTOFF = 26.0  # Ry, plane waves
SMEARING = 0.01  # Ry, Gaussian
SPACING = 0.40  # 1/Å, largest distance between k-points, 2π included

INPUT = """&control
 calculation='scf', prefix='si', pseudo_dir='{pseudo}', outdir='{work}'
 tprnfor=.true., tstress=.true., disk_io='none'
/
&system
 ibrav=0, nat={atoms}, ntyp=1, ecutwfc={cutoff}, occupations='smearing', smearing='gaussian', degauss={smearing}
 nosym={nosym}
/
&electrons
 conv_thr=1e-9, mixing_beta=0.6
/
ATOMIC_SPECIES
Si 28.0855 {file}
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{positions}
K_POINTS automatic
{grid} {shift}
"""


def structures() -> list[Atoms]:
    """All geometries, in an order that keeps any prefix representative of the whole set."""
    rng = np.random.default_rng(2026)
    frames = []
    for scale in np.linspace(0.88, 1.12, 17):
        frames.append(_tagged(_deformed(bulk("Si", "diamond", LATTICE), np.eye(3) * scale ** (1 / 3)), "volume"))
    for _ in range(28):
        strain = rng.uniform(-0.06, 0.06, (3, 3))
        cell = _deformed(bulk("Si", "diamond", LATTICE), np.eye(3) + (strain + strain.T) / 2)
        frames.append(_tagged(cell, "strained"))
    cubic = bulk("Si", "diamond", LATTICE, cubic=True)
    for amplitude in np.linspace(0.02, 0.25, 70):
        strain = rng.uniform(-0.04, 0.04, (3, 3))
        atoms = _deformed(cubic, np.eye(3) + (strain + strain.T) / 2)
        atoms.positions += rng.normal(0, amplitude / np.sqrt(3), atoms.positions.shape)
        frames.append(_tagged(atoms, "rattled"))
    for amplitude in np.linspace(0.0, 0.20, 50):
        strain = rng.uniform(-0.03, 0.03, (3, 3))
        atoms = _deformed(cubic, np.eye(3) + (strain + strain.T) / 2)
        del atoms[int(rng.integers(len(atoms)))]
        atoms.positions += rng.normal(0, amplitude / np.sqrt(3), atoms.positions.shape)
        frames.append(_tagged(atoms, "vacancy"))
    return [frames[k] for k in rng.permutation(len(frames))]


def _deformed(atoms: Atoms, deformation: np.ndarray) -> Atoms:
    out = atoms.copy()
    out.set_cell(out.cell.array @ deformation, scale_atoms=True)
    return out


def _tagged(atoms: Atoms, kind: str) -> Atoms:
    atoms.info["config_type"] = kind
    return atoms


def grid(atoms: Atoms) -> np.ndarray:
    """Monkhorst-Pack divisions of even density."""
    reciprocal = 2 * np.pi * np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    return np.maximum(1, np.ceil(reciprocal / SPACING)).astype(int)


def quantum(atoms: Atoms, pseudo: Path, divisions: np.ndarray | None = None) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, tension positive) at PBE; raises if the SCF does not converge."""
    divisions = grid(atoms) if divisions is None else divisions
    with tempfile.TemporaryDirectory() as work:
        text = INPUT.format(
            pseudo=pseudo,
            work=work,
            atoms=len(atoms),
            cutoff=CUTOFF,
            smearing=SMEARING,
            # 2-atom cells have few atoms and many k-points: symmetry pays there and changes nothing else
            nosym=".false." if len(atoms) == 2 else ".true.",
            file=PSEUDOPOTENTIAL,
            cell="\n".join(" ".join(f"{x:.10f}" for x in row) for row in atoms.cell.array),
            positions="\n".join("Si " + " ".join(f"{x:.10f}" for x in row) for row in atoms.positions),
            grid=" ".join(str(n) for n in divisions),
            shift="1 1 1",
        )
        run = subprocess.run(["pw.x"], input=text, capture_output=True, text=True, cwd=work, check=False)
    return parse(run.stdout, len(atoms))


def parse(output: str, atoms: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Numbers from pw.x's text.

    With smearing the line marked `!` is the free energy, which is what forces and stress are derivatives of.
    """
    if "convergence has been achieved" not in output or "JOB DONE" not in output:
        raise RuntimeError("the SCF did not converge")
    energy = float(re.search(r"^!\s+total energy\s+=\s+(\S+) Ry", output, re.M).group(1)) * RYDBERG
    lines = re.findall(r"atom\s+\d+ type\s+1\s+force =\s+(\S+)\s+(\S+)\s+(\S+)", output)[:atoms]
    forces = np.array(lines, dtype=float) * RYDBERG / BOHR
    block = output.split("total   stress")[1].splitlines()[1:4]
    # pw.x prints the negative derivative of the energy, pressure positive; ASE's sign is tension positive
    stress = -np.array([[float(x) for x in line.split()[:3]] for line in block]) * RYDBERG / BOHR**3
    return energy, forces, stress


def label(target: Path, pseudo: Path) -> None:
    """Labels every geometry once."""
    done = {a.info["step"] for a in ase.io.iread(target, ":", format="extxyz")} if target.exists() else set()
    for index, atoms in enumerate(structures()):
        if index in done:
            continue
        try:
            energy, forces, stress = quantum(atoms, pseudo)
        except RuntimeError as error:
            print(f"frame {index} rejected: {error}", flush=True)
            continue
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.info |= {"trajectory": index, "step": index, "REF_energy": energy, "REF_stress": voigt}
        atoms.arrays["REF_forces"] = forces
        ase.io.write(target, atoms, format="extxyz", append=True)


def check(path: Path, pseudo: Path, step: float = 2e-3) -> None:
    """One force and one stress component against central differences of energies."""
    atoms = next(a for a in ase.io.iread(path, ":", format="extxyz") if a.info["config_type"] == "rattled")
    divisions = grid(atoms)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step
        energies.append(quantum(moved, pseudo, divisions)[0])
    numeric = -(energies[0] - energies[1]) / (2 * step)
    print(f"force: stored {atoms.arrays['REF_forces'][0, 0]:.6f}, finite difference {numeric:.6f} eV/Å")
    energies = []
    for sign in (1, -1):
        deformation = np.eye(3)
        deformation[0, 0] += sign * step
        energies.append(quantum(_deformed(atoms, deformation), pseudo, divisions)[0])
    numeric = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    print(f"stress xx: stored {atoms.info['REF_stress'][0]:.6f}, finite difference {numeric:.6f} eV/Å³")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["label", "check"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--pseudo", type=Path, required=True, help="folder that holds " + PSEUDOPOTENTIAL)
    arguments = parser.parse_args()
    {"label": label, "check": check}[arguments.task](arguments.file, arguments.pseudo)
