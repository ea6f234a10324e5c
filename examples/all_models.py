"""Every published model that adiabat reads, in one process: energies of the same structures in one table."""

import sys
import warnings

from ase.build import bulk, molecule

import adiabat
from adiabat.errors import AdiabatError
from adiabat.pretrained.catalogue import catalogue
from adiabat.pretrained.download import on_this_machine


def structures():
    """Four structures by name."""
    return {
        "ethanol": molecule("CH3CH2OH"),
        "Si": bulk("Si"),
        "Cu": bulk("Cu"),
        "MgO": bulk("MgO", "rocksalt", a=4.21),
    }


def main(*names):
    """Returns energies in eV/atom by model and structure; without names, of all models that are on this machine."""
    shown, table = structures(), {}
    every = (entry for entry in catalogue().values() if entry.status == "ready")
    print(f"{'eV/atom':28s}", *(f"{name:>10s}" for name in shown))
    for name in names or [entry.name for entry in every if on_this_machine(entry)]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = adiabat.load(name)
        except (AdiabatError, OSError) as error:
            if names:
                raise
            print(f"{name:28s} not here: {str(error)[:60]}", file=sys.stderr)
            continue
        row = {}
        for label, atoms in shown.items():
            known = set(atoms.numbers) <= set(model.potential.elements)
            row[label] = model.predict(atoms, want=("energy",))["energy"] / len(atoms) if known else None
        table[name] = row
        print(f"{name:28s}", *(f"{'–' if value is None else f'{value:.4f}':>10s}" for value in row.values()))
    return table


if __name__ == "__main__":
    main(*sys.argv[1:])
