"""RANN's numbers from LAMMPS's `pair_style rann`: rann.json has the files, the structures and what the program gives.

The program (29 Sep 2021) was compiled as published. It interpolates in tables of 10,000 points, to about 10⁻⁹. In two
of the small cells an atom that is found wholly screened would screen another a little, which the program leaves out;
and its forces leave out what wholly screened atoms feel. With screened bonds that name their neighbors' elements, its
forces are not the slopes of its energies (by 0.1 eV/Å and more), so that "mixed" has only energies.
"""

import json
from pathlib import Path

import pytest
import torch

from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.rann import read_rann

STORED = json.loads(Path(__file__).with_name("rann.json").read_text())
ENERGIES, FORCES, STRESS = 1e-9, 3e-9, 1e-10  # what the tables leave
# of one atom's energy, forces and stress, where wholly screened atoms count here and not there
LEFT_OUT = {
    ("one", "triclinic"): (5e-6, 6e-5, 4e-6),
    ("screened", "cubic"): (ENERGIES, 2e-6, 4e-8),
    ("screened", "triclinic"): (1e-6, 3e-5, 6e-7),
    ("mixed", "triclinic"): (3e-8, FORCES, STRESS),
}


@pytest.mark.parametrize("kind", ["one", "open", "screened", "mixed"])
def test_numbers_of_lammps(tmp_path, kind):
    path = tmp_path / "potential.rann"
    path.write_text(STORED["files"][kind])
    model = read_rann(path)
    for name, structure in STORED["structures"].items():
        wanted = STORED["expected"][kind][name]
        numbers = [13] * len(structure["numbers"]) if kind == "one" else structure["numbers"]
        periodic = structure["cell"] is not None
        system = System.from_arrays(structure["positions"], numbers, structure["cell"], pbc=periodic)
        want = ["energy", "atomic_energies", "forces", *["stress"] * periodic]
        found = evaluate(model, Graph.build(system, model.cutoff), want)
        bounds = LEFT_OUT.get((kind, name), (ENERGIES, FORCES, STRESS))
        for quantity, bound in zip(("atomic_energies", "forces", "stress"), bounds, strict=True):
            if quantity in wanted:
                value = getattr(found, quantity).detach().squeeze()
                torch.testing.assert_close(value, torch.tensor(wanted[quantity]), rtol=0, atol=bound)
