"""The graph of a structure that moves: the pairs of a fresh search at every step, and searches only when needed."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from adiabat.errors import GeometryError
from adiabat.geometry import Graph, MovingGraph, System

CUTOFF = 3.5


def rows(graph):
    return sorted(map(tuple, torch.cat([graph.pairs.T, graph.shifts], dim=1).tolist()))


def silicon(seed=0):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def walk(atoms, steps, length, seed=0):
    """Positions of a random walk."""
    random = np.random.default_rng(seed)
    for _ in range(steps):
        atoms.positions += random.normal(0.0, length, atoms.positions.shape)
        yield atoms


@pytest.mark.parametrize("make", [silicon, lambda: molecule("CH3CH2OH")])
def test_equals_a_fresh_search(make, search):
    atoms = make()
    moving = MovingGraph(System.from_ase(atoms), CUTOFF, skin=0.6)
    for step, moved in enumerate(walk(atoms, 30, 0.03)):
        graph = moving.move(moved.positions, moved.cell.array)
        fresh = Graph.build(System.from_ase(moved), CUTOFF)
        assert torch.equal(graph.pairs, fresh.pairs), step
        assert torch.equal(graph.shifts, fresh.shifts), step
        assert torch.equal(graph.vectors(), fresh.vectors())
    assert 1 < moving.searches < 15


def test_a_deforming_cell_is_followed(search):
    atoms = silicon()
    moving = MovingGraph(System.from_ase(atoms), CUTOFF, skin=0.6)
    random = np.random.default_rng(1)
    for moved in walk(atoms, 30, 0.02):
        strain = np.eye(3) + random.normal(0.0, 0.004, (3, 3))
        moved.set_cell(moved.cell.array @ strain, scale_atoms=True)
        graph = moving.move(moved.positions, moved.cell.array)
        assert rows(graph) == rows(Graph.build(System.from_ase(moved), CUTOFF))
        assert torch.equal(graph.system.cell[0], torch.as_tensor(moved.cell.array))
    assert 1 < moving.searches < 15


def test_a_shrinking_cell_is_searched_again():
    """Atoms that only follow their cell do not move against it; what comes closer is the images."""
    atoms = silicon()
    moving = MovingGraph(System.from_ase(atoms), CUTOFF, skin=0.6)
    for scale in np.linspace(1.0, 0.7, 8):
        smaller = atoms.copy()
        smaller.set_cell(atoms.cell.array * scale, scale_atoms=True)
        graph = moving.move(smaller.positions, smaller.cell.array)
        assert rows(graph) == rows(Graph.build(System.from_ase(smaller), CUTOFF))
    assert moving.searches > 1


def test_a_cell_that_is_not_periodic_everywhere():
    atoms = silicon()
    atoms.pbc = (True, True, False)
    moving = MovingGraph(System.from_ase(atoms), CUTOFF)
    moving.move(atoms.positions, atoms.cell.array)
    atoms.set_cell(atoms.cell.array * 0.9, scale_atoms=True)
    graph = moving.move(atoms.positions, atoms.cell.array)
    assert rows(graph) == rows(Graph.build(System.from_ase(atoms), CUTOFF))


def test_slack_keeps_every_pair_within_the_cutoff():
    atoms = silicon()
    moving = MovingGraph(System.from_ase(atoms), CUTOFF, skin=0.8, slack=0.3)
    lists = set()
    for moved in walk(atoms, 30, 0.01):
        graph = moving.move(moved.positions)
        lists.add(id(graph.pairs))
        near = graph.vectors().norm(dim=1) < CUTOFF
        kept = graph.replace(pairs=graph.pairs[:, near], shifts=graph.shifts[near])
        assert rows(kept) == rows(Graph.build(System.from_ase(moved), CUTOFF))
        assert float(graph.vectors().norm(dim=1).max()) < CUTOFF + 2 * 0.3
    assert len(lists) < 10


def test_what_did_not_change_is_kept(search):
    atoms = silicon()
    moving = MovingGraph(System.from_ase(atoms), CUTOFF, dtype=torch.float32)
    first = moving.move(atoms.positions)
    moving.keep(first.replace(layout=first.rows()).with_halves())
    second = moving.move(atoms.positions + 1e-4)
    assert second.pairs is first.pairs
    assert second.shifts is first.shifts
    assert second.system.cell is first.system.cell
    assert second.layout is not None
    assert second.halves is not None
    assert second.system.positions.dtype == torch.float32
    third = moving.move(atoms.positions * 1.05)
    assert third.layout is None  # other pairs, another layout
    assert third.halves is None
    with pytest.raises(GeometryError, match="not finite"):
        moving.move(atoms.positions * np.nan)


def test_pairs_may_all_go_and_come_back(search):
    """With and without a new search in between."""
    pair = System.from_arrays([[0, 0, 0], [3.0, 0, 0]], [1, 1])
    for skin in (0.1, 5.0):
        moving = MovingGraph(pair, CUTOFF, skin)
        for distance, expected in ((3.0, 2), (4.4, 0), (20.0, 0), (3.4, 2), (3.6, 0)):
            assert moving.move(np.array([[0, 0, 0], [distance, 0, 0]])).pairs.shape[1] == expected


def test_arrays_in_any_order_in_memory():
    atoms = silicon()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.1 * np.triu(np.ones((3, 3)), 1)), scale_atoms=True)
    moving = MovingGraph(System.from_ase(atoms), CUTOFF)
    atoms.set_cell(atoms.cell.array * 0.99, scale_atoms=True)
    graph = moving.move(np.asfortranarray(atoms.positions), np.asfortranarray(atoms.cell.array))
    assert rows(graph) == rows(Graph.build(System.from_ase(atoms), CUTOFF))


def test_a_global_model_has_no_pairs():
    atoms = molecule("H2O")
    moving = MovingGraph(System.from_ase(atoms), float("inf"))
    graph = moving.move(atoms.positions)
    assert graph.pairs.shape == (2, 0)
    assert graph.cutoff == float("inf")
    assert moving.searches == 0
    with pytest.raises(GeometryError, match="not finite"):
        moving.move(atoms.positions * np.nan)


def test_what_cannot_move_is_named():
    water = System.from_ase(molecule("H2O"))
    with pytest.raises(GeometryError, match="2 systems"):
        MovingGraph(System.batch([water, water]), CUTOFF)
    with pytest.raises(GeometryError, match="slack"):
        MovingGraph(water, CUTOFF, skin=0.2, slack=0.3)
