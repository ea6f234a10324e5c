"""How the error of linear models on NICE falls with the order ν, with as many features for each.

    python benchmarks/methane_orders.py

Environments of a carbon atom with four hydrogen atoms at random places within 3 Å, 0.6 Å apart and more, have
energies of a tight-binding model: s and p orbitals of carbon, s of hydrogen, hoppings that fall off exponentially,
the four lowest states filled. That is a function of all five atoms at once. Ridge strengths are chosen on a fifth of
the training environments.
"""

import numpy as np
import torch

from adiabat.descriptors.nice import NICEConfig
from adiabat.geometry import Graph, System

TRAIN, TEST, BUDGET = 3000, 500, 150
CARBON, HYDROGEN = (-18.0, -9.0, -9.0, -9.0), -13.6  # energies of orbitals, eV
HOPPING, DECAY, BOND = (-6.0, 5.5, -3.0), 0.7, 1.1  # s-s, p-s and H-H, eV; Å


def environments(count, seed=0):
    """Positions `[count, 5, 3]`, Å, carbon first."""
    random, found = np.random.default_rng(seed), []
    while len(found) < count:
        directions = random.normal(size=(4, 3))
        directions *= 3.0 * random.uniform(size=(4, 1)) ** (1 / 3) / np.linalg.norm(directions, axis=1)[:, None]
        points = np.vstack([np.zeros(3), directions])
        apart = np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(5, 1)]
        if apart.min() > 0.6:
            found.append(points)
    return np.array(found)


def energies(positions):
    """Twice the four lowest eigenvalues `[count]`, eV."""
    matrix = np.zeros((len(positions), 8, 8))
    matrix[:, range(8), range(8)] = [*CARBON, *[HYDROGEN] * 4]
    arms = positions[:, 1:]
    r = np.linalg.norm(arms, axis=2)
    strength = np.exp((BOND - r) / DECAY)
    matrix[:, 0, 4:] = HOPPING[0] * strength
    matrix[:, 1:4, 4:] = HOPPING[1] * (arms * (strength / r)[:, :, None]).transpose(0, 2, 1)
    apart = np.linalg.norm(arms[:, :, None] - arms[:, None], axis=3)
    matrix[:, 4:, 4:] += HOPPING[2] * np.triu(np.exp((BOND - apart) / DECAY), 1)
    return 2.0 * np.linalg.eigvalsh(matrix, UPLO="U")[:, :4].sum(axis=1)


def features(positions, order, budget, train):
    """Of the central atoms, contracted on the first `train` environments `[count, at most budget]`."""
    each = (budget - 6) // max(order - 1, 1)
    config = NICEConfig(
        order=order, cutoff=3.5, n_max=6, l_max=4, lambda_max=4, sigma=0.3, components=12, invariants=each
    )
    descriptor = config.build([1])
    # the center's own density is constant, so that it needs no element of its own
    systems = [System.from_arrays(points, [1] * 5, dtype=torch.float64) for points in positions]
    graph = Graph.build(System.batch(systems), 3.5)
    with torch.no_grad():
        found = descriptor.expansion.from_vectors(graph.vectors(), graph)[::5]
        descriptor.adapt_to(found[:train])
        return torch.cat([descriptor.invariants(part) for part in found.split(200)]).numpy()


def errors(train, test, budget=BUDGET, orders=(1, 2, 3, 4)):
    """Root-mean-square errors of test environments, eV, and numbers of features, by order."""
    positions = environments(train + test)
    labels = energies(positions)
    labels -= labels[:train].mean()
    found = {}
    for order in orders:
        rows = features(positions, order, budget, train)
        rows -= rows[:train].mean(axis=0)
        part = train - train // 5
        strengths = 10.0 ** np.arange(-12, -1)
        best = min(
            strengths, key=lambda s: _error(rows[:part], labels[:part], rows[part:train], labels[part:train], s)
        )
        found[order] = (_error(rows[:train], labels[:train], rows[train:], labels[train:], best), rows.shape[1])
    return found


def _error(rows, labels, others, wanted, strength):
    """Of ridge regression, its strength in units of the largest eigenvalue."""
    square = rows.T @ rows
    square += strength * np.linalg.eigvalsh(square)[-1] * np.eye(len(square))
    return float(np.sqrt(np.mean((others @ np.linalg.solve(square, rows.T @ labels) - wanted) ** 2)))


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    print(f"{TRAIN} environments to train, {TEST} to test, at most {BUDGET} features")
    for order, (error, size) in errors(TRAIN, TEST).items():
        print(f"ν = 1..{order}: {size} features, {error:.2f} eV")
