"""Structures, parameters and files of the classical potentials that LAMMPS evaluated.

Numpy and ASE alone, because it is read by `make.py` in LAMMPS's environment and by the tests in ours. The files hold
published parameters (Tersoff 1989; Stillinger and Weber 1985) or functions made up here.
"""

import ase
import ase.build
import numpy as np


def structures(symbols, nearest, seed=0):
    """Five structures whose neighbors are about `nearest` (Å) apart, by name; cells are lower triangular."""
    random = np.random.default_rng(seed)
    diamond = ase.build.bulk("Si", "diamond", a=nearest * 4 / np.sqrt(3), cubic=True)
    packed = ase.build.bulk("Cu", "fcc", a=nearest * np.sqrt(2), cubic=True) * (2, 1, 1)
    small = ase.build.bulk("Cu", "fcc", a=nearest * np.sqrt(2))
    small.set_cell(small.cell.cellpar(), scale_atoms=True)
    slab = packed.copy()
    slab.pbc = (True, True, False)
    slab.cell[2, 2] = 30.0
    slab.positions[:, 2] += 12.0
    cluster = packed.copy()
    cluster.pbc = False
    cluster.set_cell(np.eye(3) * 40.0)
    cluster.positions += 15.0
    out = {"diamond": diamond, "packed": packed, "small": small, "slab": slab, "cluster": cluster}
    for one in out.values():
        one.symbols = list(random.choice(symbols, len(one)))
        one.positions += random.normal(scale=0.06 * nearest, size=one.positions.shape)
        if one.pbc.all():
            cell = one.cell.array.copy()
            cell[1, 0] += 0.05 * nearest
            cell[2, 1] -= 0.04 * nearest
            one.set_cell(cell, scale_atoms=True)
            one.wrap()
    return out


def setfl(names, fs):
    """Tables of made-up functions; with `fs`, what an element feels depends on both."""
    points, step, densities, density_step, cutoff = 301, 0.02, 201, 0.05, 5.5
    r, rho = np.arange(points) * step, np.arange(densities) * density_step
    end = np.where(r < cutoff, (1 - np.minimum(r / cutoff, 1.0)) ** 3, 0.0)
    numbers = {"Cu": 29, "Ni": 28}
    lines = ["made-up functions", "for tests", "units metal", f"{len(names)} {' '.join(names)}"]
    lines.append(f"{densities} {density_step} {points} {step} {cutoff}")

    def table(values):
        lines.extend(f"{value:.16e}" for value in values)

    for k, name in enumerate(names):
        lines.append(f"{numbers[name]} 60.0 3.6 fcc")
        table(-(1.2 + 0.3 * k) * np.sqrt(rho + 0.01) + 0.02 * rho**2)
        for j in range(len(names) if fs else 1):
            table((4.0 + k + 0.7 * j) * np.exp(-(0.9 + 0.1 * k + 0.05 * j) * (r - 1.0)) * end)
    for k in range(len(names)):
        for j in range(k + 1):
            table(r * (3.0 + 0.4 * (k + j)) * (np.exp(-2.4 * (r - 2.0)) - 0.4 * np.exp(-1.2 * (r - 2.0))) * end)
    return "\n".join(lines) + "\n"


# A, B, λ, μ, β, n, c, d, h, R, S of Tersoff 1989 and χ of Si-C
_TERSOFF = {
    "Si": (1830.8, 471.18, 2.4799, 1.7322, 1.1e-6, 0.78734, 100390.0, 16.217, -0.59825, 2.7, 3.0),
    "C": (1393.6, 346.74, 3.4879, 2.2119, 1.5724e-7, 0.72751, 38049.0, 4.3484, -0.57058, 1.8, 2.1),
}


def tersoff(names, m=3, gamma=1.0, lambda3=0.0):
    """The mixture rules of 1989; λ₃ is made up where given."""
    lines = ["# UNITS: metal", "# e1 e2 e3 m gamma lambda3 c d cos n beta lambda2 B R D lambda1 A"]
    for i in names:
        for j in names:
            for k in names:
                a, b, lam, mu, beta, n, c, d, h, _, _ = _TERSOFF[i]
                aj, bj, lamj, muj = _TERSOFF[j][:4]
                inner, outer = (np.sqrt(_TERSOFF[i][s] * _TERSOFF[k][s]) for s in (9, 10))
                chi = 0.9776 if i != j else 1.0
                pair = (0.5 * (mu + muj), chi * np.sqrt(b * bj))
                middle = (0.5 * (inner + outer), 0.5 * (outer - inner))
                numbers = (m, gamma, lambda3, c, d, h, n, beta, *pair, *middle, 0.5 * (lam + lamj), np.sqrt(a * aj))
                lines.append(f"{i} {j} {k} " + " ".join(repr(float(x)) for x in numbers))
    return "\n".join(lines) + "\n"


def stillinger_weber(names, tol=0.0):
    """Silicon of 1985, and made-up numbers for a second element."""
    lines = ["# e1 e2 e3 epsilon sigma a lambda gamma cos A B p q tol"]
    size = {name: 1.0 + 0.1 * k for k, name in enumerate(names)}
    for i in names:
        for j in names:
            for k in names:
                epsilon = 2.1683 * np.sqrt(size[i] ** 2 * size[j] * size[k]) if j != k else 2.1683 * size[i] * size[j]
                sigma = 2.0951 * 0.5 * (size[i] + size[j])
                numbers = (
                    sigma,
                    1.8,
                    21.0 / size[i],
                    1.2 * size[j],
                    -1 / 3,
                    7.049556277,
                    0.6022245584,
                    4.0,
                    0.0,
                    tol,
                )
                lines.append(f"{i} {j} {k} {float(epsilon)!r}\n  " + " ".join(repr(float(x)) for x in numbers))
    return "\n".join(lines) + "\n"


_LJ = {"epsilon": {"Ar": 0.0104, "Kr": 0.0146}, "sigma": {"Ar": 3.4, "Kr": 3.65}, "cutoff": 8.0}
_LJ_TERMS = ["pair_coeff 1 1 0.0104 3.4", "pair_coeff 2 2 0.0146 3.65"]
_MORSE = {
    "depth": {"Cu": 0.3429, "Ni": 0.4205, "Cu-Ni": 0.38},
    "stiffness": {"Cu": 1.3588, "Ni": 1.4199, "Cu-Ni": 1.4},
    "length": {"Cu": 2.866, "Ni": 2.78, "Cu-Ni": 2.82},
    "cutoff": 6.0,
}
_MORSE_TERMS = [
    "pair_coeff 1 1 0.3429 1.3588 2.866",
    "pair_coeff 2 2 0.4205 1.4199 2.78",
    "pair_coeff 1 2 0.38 1.4 2.82",
]
# name: (method, options, file name and its text or None, elements, nearest neighbors in Å, commands of LAMMPS)
CASES: dict = {
    "lj-none": ("lennard_jones", {**_LJ, "ending": "none"}, None, ("Ar", "Kr"), 3.6,
                ["pair_style lj/cut 8.0", *_LJ_TERMS, "pair_modify mix arithmetic"]),
    "lj-shift": ("lennard_jones", {**_LJ, "ending": "shift", "mixing": "geometric"}, None, ("Ar", "Kr"), 3.6,
                 ["pair_style lj/cut 8.0", *_LJ_TERMS, "pair_modify shift yes mix geometric"]),
    "lj-linear": ("lennard_jones", {**_LJ, "ending": "linear"}, None, ("Ar", "Kr"), 3.6,
                  ["pair_style lj/smooth/linear 8.0", *_LJ_TERMS, "pair_modify mix arithmetic"]),
    "morse-shift": ("morse", {**_MORSE, "ending": "shift"}, None, ("Cu", "Ni"), 2.5,
                    ["pair_style morse 6.0", *_MORSE_TERMS, "pair_modify shift yes"]),
    "morse-linear": ("morse", {**_MORSE, "ending": "linear"}, None, ("Cu", "Ni"), 2.5,
                     ["pair_style morse/smooth/linear 6.0", *_MORSE_TERMS]),
    "zbl": ("zbl", {"inner": 1.5, "outer": 3.0}, None, ("O", "Si"), 1.9,
            ["pair_style zbl 1.5 3.0", "pair_coeff 1 1 8 8", "pair_coeff 2 2 14 14", "pair_coeff 1 2 8 14"]),
    "eam-alloy": ("eam", {}, ("made.eam.alloy", setfl(("Ni", "Cu"), False)), ("Cu", "Ni"), 2.5,
                  ["pair_style eam/alloy", "pair_coeff * * {file} Cu Ni"]),
    "eam-fs": ("eam", {}, ("made.eam.fs", setfl(("Ni", "Cu"), True)), ("Cu", "Ni"), 2.5,
               ["pair_style eam/fs", "pair_coeff * * {file} Cu Ni"]),
    "eam-dense": ("eam", {}, ("made.eam.alloy", setfl(("Ni", "Cu"), False)), ("Cu", "Ni"), 1.9,
                  ["pair_style eam/alloy", "pair_coeff * * {file} Cu Ni"]),
    "tersoff-si": ("tersoff", {}, ("Si.tersoff", tersoff(("Si",))), ("Si",), 2.35,
                   ["pair_style tersoff", "pair_coeff * * {file} Si"]),
    "tersoff-sic": ("tersoff", {}, ("SiC.tersoff", tersoff(("Si", "C"))), ("C", "Si"), 1.9,
                    ["pair_style tersoff", "pair_coeff * * {file} C Si"]),
    "tersoff-linear": ("tersoff", {}, ("SiC.tersoff", tersoff(("Si", "C"), 1, 0.8, 1.3)), ("C", "Si"), 1.9,
                       ["pair_style tersoff", "pair_coeff * * {file} C Si"]),
    "tersoff-cubic": ("tersoff", {}, ("SiC.tersoff", tersoff(("Si", "C"), 3, 0.8, 1.3)), ("C", "Si"), 1.9,
                      ["pair_style tersoff", "pair_coeff * * {file} C Si"]),
    "sw-si": ("stillinger_weber", {}, ("Si.sw", stillinger_weber(("Si",))), ("Si",), 2.35,
              ["pair_style sw", "pair_coeff * * {file} Si"]),
    "sw-mixed": ("stillinger_weber", {}, ("SiGe.sw", stillinger_weber(("Si", "Ge"))), ("Ge", "Si"), 2.4,
                 ["pair_style sw", "pair_coeff * * {file} Ge Si"]),
    "sw-tol": ("stillinger_weber", {}, ("SiGe.sw", stillinger_weber(("Si", "Ge"), 0.005)), ("Ge", "Si"), 2.4,
               ["pair_style sw", "pair_coeff * * {file} Ge Si"]),
}  # fmt: skip
