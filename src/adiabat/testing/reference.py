"""Neighbor pairs by trying every image: slow, and with nothing in it that could go wrong."""

from __future__ import annotations

import numpy as np
import torch

from adiabat.geometry import Graph, System
from adiabat.geometry.neighbors import complete_cell


def brute_force_pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """All directed pairs `[2, pairs]` and shifts `[pairs, 3]` within `cutoff` (Å), sorted by center.

    Args:
        positions: `[atoms, 3]`, Å, not necessarily inside the cell.
        cell: `[3, 3]`, rows are lattice vectors.
        pbc: `[3]`, which of them repeat.
        cutoff: Å.
    """
    box = complete_cell(np.asarray(cell, dtype=float), np.asarray(pbc, dtype=bool))
    fractional = positions @ np.linalg.inv(box)
    spread = np.ptp(fractional, axis=0)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(box), axis=0)
    reach = np.where(pbc, np.ceil(cutoff / heights + spread), 0).astype(int)
    found_pairs, found_shifts = [], []
    for shift in np.ndindex(*(2 * reach + 1)):
        steps = np.array(shift) - reach
        apart = positions[None, :] - positions[:, None] + steps @ box
        near = (apart**2).sum(axis=-1) < cutoff**2
        if not steps.any():
            np.fill_diagonal(near, False)
        pairs = np.stack(np.nonzero(near))
        found_pairs.append(pairs)
        found_shifts.append(np.broadcast_to(steps, (pairs.shape[1], 3)))
    pairs, shifts = np.concatenate(found_pairs, axis=1), np.concatenate(found_shifts)
    order = np.argsort(pairs[0], kind="stable")
    return pairs[:, order], shifts[order]


def brute_force_graph(system: System, cutoff: float) -> Graph:
    """Graph of one system from `brute_force_pairs`."""
    pairs, shifts = brute_force_pairs(
        system.positions.double().numpy(), system.cell[0].double().numpy(), system.pbc[0].numpy(), cutoff
    )
    return Graph(system, torch.as_tensor(pairs), torch.as_tensor(shifts.copy()), cutoff)


def supercell(system: System, repeats: tuple[int, int, int]) -> System:
    """One system repeated along its lattice vectors, copies of the whole cell one after the other."""
    steps = torch.cartesian_prod(*(torch.arange(n) for n in repeats)).to(system.positions.dtype).reshape(-1, 3)
    moves = steps @ system.cell[0]
    positions = (moves[:, None] + system.positions[None]).reshape(-1, 3)
    count = len(moves)
    return system.replace(
        positions=positions,
        numbers=system.numbers.repeat(count),
        system=system.system.repeat(count),
        cell=system.cell * torch.tensor(repeats, dtype=system.cell.dtype)[:, None],
        charge=system.charge * count,
    )
