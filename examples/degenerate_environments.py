"""Environments that differ and look the same to descriptors of three or four bodies: who tells them apart.

Four neighbors on a sphere around an atom, in two arrangements with the same six distances between them: the same
bonds and the same angles, so that sums over pairs and triplets agree exactly, and yet no rotation or mirror takes one
to the other. Seven neighbors, a triangle above the atom, the same turned below it, and one more at the top or at the
bottom: any three neighbors of the one are found in the other, or their mirror image, so that sums over an atom and
three neighbors agree too. S. N. Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020),
doi:10.1103/PhysRevLett.125.166001.
"""

import sys

import ase
import matplotlib.pyplot as plt
import numpy as np
import torch

from adiabat.descriptors import page
from adiabat.geometry import Graph, System

RADIUS = 1.1  # Å
WHOLE = {"n_max": 1, "l_max": 4, "lambda_max": 4, "components": None, "invariants": None}
# body order is that of the sums that a feature is made of
DESCRIPTORS = {
    "acsf (3 bodies)": {"kind": "acsf", "cutoff": 4.0},
    "fchl19 (3 bodies)": {"kind": "fchl19", "cutoff": 4.0, "angular_cutoff": 4.0},
    "soap (3 bodies)": {"kind": "soap", "cutoff": 4.0, "n_max": 4, "l_max": 4},
    "snap (4 bodies)": {"kind": "snap", "cutoff": 4.0, "twojmax": 6},
    "soap_bispectrum (4 bodies)": {"kind": "soap_bispectrum", "cutoff": 4.0, "n_max": 4, "l_max": 4},
    "nice, ν = 3 (4 bodies)": {"kind": "nice", "cutoff": 4.0, "order": 3} | WHOLE,
    "nice, ν = 4 (5 bodies)": {"kind": "nice", "cutoff": 4.0, "order": 4} | WHOLE,
    "ace, 4 factors (5 bodies)": {"kind": "ace", "cutoff": 4.0, "n_max": (4, 2, 1, 1), "l_max": (0, 3, 3, 3)},
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


def capped(angles=(0.0, 1.2, 2.9), twist=0.8, height=0.55, cap=1.0):
    """Two sets of seven vectors: rings at ±height with one turned by the twist, and a point at ±cap `[2, 7, 3]`."""
    rings = []
    for turn, z in ((0.0, height), (twist, -height)):
        at = turn + np.array(angles)
        rings.append(np.stack([np.cos(at), np.sin(at), np.full(len(at), z)], axis=1))
    return np.stack([np.vstack([*rings, [[0.0, 0.0, end]]]) for end in (cap, -cap)])


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
    """Returns the relative differences of each descriptor's features of the central atoms, of both pairs."""
    torch.set_default_dtype(torch.float64)
    pairs = [
        [ase.Atoms(f"CH{len(points)}", np.vstack([np.zeros(3), RADIUS * points])) for points in made]
        for made in (twins(), capped())
    ]
    differences = {}
    for name, options in DESCRIPTORS.items():
        options = dict(options)
        torch.manual_seed(0)
        descriptor = page(options["kind"]).config_class.parse(options).build([1, 6])
        differences[name] = tuple(_difference(descriptor, pair) for pair in pairs)
        verdicts = ("tells them apart" if d > 1e-6 else "sees the same" for d in differences[name])
        print(f"{name:28s}", *(f"{d:8.1e}  {v:17s}" for d, v in zip(differences[name], verdicts, strict=True)))
    figure = plt.figure(figsize=(8.5, 5.5), layout="constrained")
    for row, (pair, title) in enumerate(zip(pairs, ("three bodies alike", "four bodies alike"), strict=True)):
        for place, structure in enumerate(pair):
            axes = figure.add_subplot(2, 3, 3 * row + place + 1, projection="3d")
            _draw(axes, structure)
            axes.set_title(("one", "other")[place])
        axes = figure.add_subplot(2, 3, 3 * row + 3)
        axes.barh(list(differences), [max(d[row], 1e-16) for d in differences.values()], color="#d9772b")
        axes.set(xscale="log", xlabel="relative difference of features", xlim=(1e-17, 1), title=title)
        axes.invert_yaxis()
    figure.savefig(picture)
    return differences


def _difference(descriptor, structures):
    """Of the features of the first atoms of two structures."""
    graphs = [descriptor.prepare(Graph.build(System.from_ase(s), descriptor.cutoff)) for s in structures]
    one, other = (descriptor(graph)[0].detach() for graph in graphs)
    return float((one - other).norm() / one.norm())


def _draw(axes, structure):
    for point in structure.positions[1:]:
        axes.plot(*zip(np.zeros(3), point, strict=True), color="0.6")
        axes.plot(*point, "o", color="#2f6db3", ms=9)
    axes.plot(0, 0, 0, "o", color="0.2", ms=11)
    axes.set_axis_off()


if __name__ == "__main__":
    main(*sys.argv[1:])
