"""Environments that differ and look the same to three-body descriptors: who tells them apart.

Four neighbors on a sphere around an atom, in two arrangements with the same six distances between them: the same
bonds and the same angles, so that sums over pairs and triplets agree exactly, and yet no rotation or mirror takes one
to the other. S. N. Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020), doi:10.1103/PhysRevLett.125.166001.
"""

import sys

import ase
import matplotlib.pyplot as plt
import numpy as np
import torch

from adiabat.descriptors import page
from adiabat.geometry import Graph, System

RADIUS = 1.1  # Å
# body order is that of the sums that a feature is made of
DESCRIPTORS = {
    "acsf (3 bodies)": {"kind": "acsf", "cutoff": 4.0},
    "fchl19 (3 bodies)": {"kind": "fchl19", "cutoff": 4.0, "angular_cutoff": 4.0},
    "soap (3 bodies)": {"kind": "soap", "cutoff": 4.0, "n_max": 4, "l_max": 4},
    "snap (4 bodies)": {"kind": "snap", "cutoff": 4.0, "twojmax": 6},
    "mtp, level 16 (5 bodies)": {"kind": "mtp", "cutoff": 4.0, "level": 16},
}


def twins(seed=0):
    """Two sets of four unit vectors with the same distances between them, differently arranged `[2, 4, 3]`."""
    random = np.random.default_rng(seed)
    while True:
        start, end = (_unit(random.normal(size=(4, 3))) for _ in range(2))
        ends = (0.0, 1.0)
        values = [_fault(_between(start, end, t)) for t in ends]
        if values[0] * values[1] > 0:
            continue
        low, high = ends
        for _ in range(200):
            middle = 0.5 * (low + high)
            inside = _fault(_between(start, end, middle)) * values[0] > 0
            low, high = (middle, high) if inside else (low, middle)
        one = _between(start, end, middle)
        sizes, directions = np.linalg.eigh(_swapped(one))
        other = directions[:, 1:] * np.sqrt(np.clip(sizes[1:], 0.0, None))
        apart = min(np.linalg.norm(s[:, None] - s[None], axis=2)[np.triu_indices(4, 1)].min() for s in (one, other))
        if abs(sizes[0]) < 1e-9 and sizes[1] > 0.05 and apart > 0.6:
            return np.stack([one, other])


def _unit(points):
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _between(start, end, t):
    return _unit((1 - t) * start + t * end)


def _swapped(points):
    """Gram matrix with the cosines of two pairs that share a point exchanged."""
    gram = points @ points.T
    gram[0, 1], gram[0, 2] = gram[0, 2], gram[0, 1]
    gram[1, 0], gram[2, 0] = gram[0, 1], gram[0, 2]
    return gram


def _fault(points):
    """Zero where the swapped matrix is that of points on a sphere, leaving out where the swap changes nothing."""
    gram = points @ points.T
    return np.linalg.det(_swapped(points)) / ((gram[0, 1] - gram[0, 2]) * (gram[1, 3] - gram[2, 3]))


def main(picture="degenerate_environments.svg"):
    """Returns the relative difference of each descriptor's features of the central atom."""
    torch.set_default_dtype(torch.float64)
    structures = [ase.Atoms("CH4", np.vstack([np.zeros(3), RADIUS * points])) for points in twins()]
    differences = {}
    for name, options in DESCRIPTORS.items():
        options = dict(options)
        torch.manual_seed(0)
        descriptor = page(options["kind"]).config_class.parse(options).build([1, 6])
        rows = [descriptor(Graph.build(System.from_ase(s), descriptor.cutoff))[0].detach() for s in structures]
        differences[name] = float((rows[0] - rows[1]).norm() / rows[0].norm())
        verdict = "tells them apart" if differences[name] > 1e-6 else "sees the same"
        print(f"{name:26s} {differences[name]:8.1e}  {verdict}")
    figure = plt.figure(figsize=(7.5, 3), layout="constrained")
    for place, structure in enumerate(structures):
        axes = figure.add_subplot(1, 3, place + 1, projection="3d")
        for point in structure.positions[1:]:
            axes.plot(*zip(np.zeros(3), point, strict=True), color="0.6")
            axes.plot(*point, "o", color="#2f6db3", ms=9)
        axes.plot(0, 0, 0, "o", color="0.2", ms=11)
        axes.set_axis_off()
        axes.set_title(("one", "other")[place])
    axes = figure.add_subplot(1, 3, 3)
    axes.barh(list(differences), np.maximum(list(differences.values()), 1e-16), color="#d9772b")
    axes.set(xscale="log", xlabel="relative difference of features", xlim=(1e-17, 1))
    axes.invert_yaxis()
    figure.savefig(picture)
    return differences


if __name__ == "__main__":
    main(*sys.argv[1:])
