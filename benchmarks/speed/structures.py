"""The structures, by number of atoms: the same in every program, for they depend on seeds alone."""

import ase
import numpy as np
from ase.build import bulk, molecule

CUTOFF = 5.0  # Å
ELEMENTS = ("H", "C", "O", "Si")
ALLOY = 50  # atoms
# cubic diamond cells of 8 atoms along each axis
SILICON = {
    512: (4, 4, 4),
    2000: (5, 5, 10),
    4096: (8, 8, 8),
    10000: (5, 10, 25),
    20000: (10, 10, 25),
    50000: (10, 25, 25),
}


def structure(atoms, seed=0):
    """21 (benzene and ethanol), 192 (a box of water) or as many atoms of silicon as `SILICON` has."""
    if atoms == 21:
        return molecules(seed)
    if atoms == 192:
        return water(seed)
    return silicon(SILICON[atoms], seed)


def molecules(seed):
    """Benzene and ethanol 3.4 Å apart; every seed but 0 displaces the atoms by 0.05 Å."""
    ethanol = molecule("CH3CH2OH")
    ethanol.translate([0, 0, 3.4])
    both = molecule("C6H6") + ethanol
    if seed:
        both.rattle(0.05, seed=seed)
    return both


def water(seed):
    """64 randomly turned molecules on a grid in a cubic cell of 12.42 Å."""
    random, one, length = np.random.default_rng(seed), molecule("H2O"), 12.42
    box = ase.Atoms(cell=[length] * 3, pbc=True)
    for place in np.ndindex(4, 4, 4):
        turned = one.copy()
        turned.rotate(random.uniform(0, 360), random.normal(size=3))
        turned.translate((np.array(place) + 0.5) * length / 4)
        box += turned
    return box


def silicon(cells, seed):
    """Diamond cells of 5.43 Å, displaced by 0.05 Å."""
    crystal = bulk("Si", "diamond", a=5.43, cubic=True) * cells
    crystal.rattle(0.05, seed=seed)
    return crystal


def boxed(atoms):
    """The same; molecules in a periodic box that keeps them apart, for programs that know no others."""
    atoms = atoms.copy()
    if not atoms.pbc.any():
        atoms.cell = [40.0] * 3
        atoms.center()
        atoms.pbc = True
    return atoms


def alloys(count, first=0):
    """Crystals of 50 copper and gold atoms at random, stretched by 2 % and displaced by 0.1 Å."""
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        crystal = bulk("Cu", "fcc", a=3.9) * (5, 5, 2)
        crystal.symbols[:] = random.choice(["Cu", "Au"], len(crystal))
        crystal.set_cell(crystal.cell * (1 + 0.02 * random.normal(size=3)[:, None]), scale_atoms=True)
        crystal.rattle(0.1, rng=random)
        yield crystal


def training_batch(size=8):
    """Displaced copies of the 21 atoms with random labels: `(frames, energies [size], forces [21·size, 3])`."""
    random = np.random.default_rng(0)
    frames = [structure(21, seed) for seed in range(1, size + 1)]
    return frames, random.normal(size=size), random.normal(size=(21 * size, 3))
