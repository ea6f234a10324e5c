"""Permutational symmetries of a molecule, found in its geometries (doi:10.1038/s41467-018-06169-2, Methods).

1. Every pair of geometries is matched: the permutation of like atoms that best aligns their distance matrices, from
   the overlap of their eigenvectors (Umeyama, doi:10.1109/34.6778) by linear assignment; kept if it aligns better
   than no permutation.
2. Pairwise matches contradict each other, so only those along the minimum spanning tree of alignment errors count.
3. Closure under composition makes them a group.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.spatial.distance import cdist

from adiabat.errors import FitError

MAX_ORDER = 1000  # a larger group is a sign of geometries too different to be matched
MAX_GEOMETRIES = 250  # pairs grow as the square; more geometries add no symmetries that matter


def find_permutations(positions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The permutation group `[S, N]` that maps geometries onto each other; row 0 is the identity.

    Args:
        positions: `[M, N, 3]`, Å.
        numbers: `[N]` atomic numbers; only like atoms are exchanged.

    Raises FitError if closure does not end below MAX_ORDER permutations.
    """
    positions = positions[:MAX_GEOMETRIES]
    distances = np.stack([cdist(p, p) for p in positions])
    errors, matches = _match_all(distances, numbers)
    return close(_along_tree(errors, matches, len(positions)))


def _match_all(distances: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray]]:
    count, atoms = distances.shape[:2]
    vectors = np.abs(np.linalg.eigh(distances)[1][:, :, ::-1])
    forbidden = numbers[:, None] != numbers[None, :]
    identity = np.arange(atoms)
    errors = np.zeros((count, count))
    matches: dict[tuple[int, int], np.ndarray] = {}
    for i in range(count):
        for j in range(i):
            cost = -vectors[i] @ vectors[j].T
            cost[forbidden] = np.abs(cost).max() + 1.0
            permutation = linear_sum_assignment(cost)[1]
            plain = np.linalg.norm(distances[i] - distances[j])
            aligned = np.linalg.norm(distances[i] - distances[j][np.ix_(permutation, permutation)])
            better = aligned < plain - 1e-12
            matches[i, j] = permutation if better else identity
            errors[i, j] = min(aligned, plain)
    return errors, matches


def _along_tree(errors: np.ndarray, matches: dict[tuple[int, int], np.ndarray], count: int) -> np.ndarray:
    """For each geometry the composition of matches on its way to the first."""
    atoms = next(iter(matches.values())).shape[0] if matches else 0
    if not matches:
        return np.zeros((1, 0), dtype=np.int64)
    # zeros mean "no edge" to scipy: identical geometries must stay connected
    tree = minimum_spanning_tree(np.where(errors > 0, errors, np.tri(count, k=-1) * 1e-12))
    order, parents = breadth_first_order(tree, 0, directed=False)
    to_root = np.tile(np.arange(atoms), (count, 1))
    for node in order[1:]:
        parent = parents[node]
        step = matches[node, parent] if node > parent else np.argsort(matches[parent, node])
        to_root[node] = to_root[parent][step]
    return np.unique(to_root, axis=0)


def close(permutations: np.ndarray) -> np.ndarray:
    """The smallest group that contains these permutations `[S, N]`, sorted with the identity first."""
    atoms = permutations.shape[1]
    group = {tuple(range(atoms))} | {tuple(p) for p in permutations.tolist()}
    new = set(group)
    while new:
        products = {tuple(a[k] for k in b) for a in group for b in new} | {
            tuple(a[k] for k in b) for a in new for b in group
        }
        new = products - group
        group |= new
        if len(group) > MAX_ORDER:
            raise FitError(
                f"the geometries suggest more than {MAX_ORDER} permutational symmetries, which no small molecule has:"
                " remove broken geometries, or switch symmetries off."
            )
    return np.array(sorted(group), dtype=np.int64)
