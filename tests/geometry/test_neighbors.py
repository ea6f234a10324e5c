"""Neighbor lists against trying every image, and structures that lists are known to stumble over."""

import itertools
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adiabat.errors import GeometryError
from adiabat.geometry import Graph, Halves, System, neighbor_pairs, neighbors, triplets
from adiabat.testing.reference import brute_force_pairs


def rows(pairs, shifts):
    return sorted(map(tuple, np.concatenate([np.asarray(pairs).T, np.asarray(shifts)], axis=1).tolist()))


def compare(positions, cell, pbc, cutoff):
    system = System.from_arrays(positions, [6] * len(positions), cell, pbc)
    pairs, shifts = neighbor_pairs(system, cutoff)
    expected = brute_force_pairs(np.asarray(positions, float), np.asarray(cell, float), np.asarray(pbc), cutoff)
    assert rows(pairs, shifts) == rows(*expected)
    assert bool((pairs[0].diff() >= 0).all())
    return pairs, shifts


CELLS = {
    "cubic": np.eye(3) * 4.0,
    "triclinic": [[3.1, 0.2, 0.0], [-1.1, 2.9, 0.3], [0.4, 1.2, 3.3]],
    "left-handed": [[0.0, 3.0, 0.1], [2.8, 0.0, 0.0], [0.2, 0.4, 3.3]],
    "skewed": [[2.6, 0.0, 0.0], [5.5, 2.5, 0.0], [0.0, -4.3, 2.8]],
    "flat": [[1.5, 0.0, 0.0], [0.0, 12.0, 0.0], [0.0, 0.0, 12.0]],
}


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_image_is_found(cell, pbc, search):
    rng = np.random.default_rng(len(cell))
    positions = rng.normal(size=(4, 3)) * 4.0  # some lie outside of the cell
    compare(positions, CELLS[cell], np.array(pbc, bool), 4.4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_random_structures(seed):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) + 2.5 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    if 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0).max() < 0.8:
        return
    compare(rng.normal(size=(rng.integers(1, 5), 3)) * 5.0, cell, rng.random(3) < 0.6, rng.uniform(0.5, 4.0))


def test_extremely_skewed_cells(search):
    cell = [[3.0, 0.0, 0.0], [600.0, 3.0, 0.0], [0.0, 600.0, 3.0]]  # a simple cubic lattice all the same
    pairs, shifts = neighbor_pairs(System.from_arrays([[0.1, 0, 0]], [29], cell, True), 4.5)
    assert pairs.shape[1] == 6 + 12
    vectors = Graph(System.from_arrays([[0.1, 0, 0]], [29], cell, True), pairs, shifts, 4.5).vectors()
    assert float(vectors.norm(dim=1).max()) < 4.5


def test_the_search_in_cpp_is_there():
    """Without it the others would test trees alone."""
    assert neighbors._search(os.environ.get("CXX")) is not None


@pytest.mark.parametrize("pbc", list(itertools.product((False, True), repeat=3)), ids=str)
def test_bins_find_what_trees_find(pbc):
    rng = np.random.default_rng(sum(pbc))
    for cutoff, atoms in ((1.5, 150), (4.0, 60), (7.0, 20), (11.0, 2)):
        cell = rng.normal(size=(3, 3)) + 9.0 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
        cell[1] += rng.integers(-2, 3) * cell[0]
        positions = rng.uniform(-1.5, 1.5, (atoms, 3)) @ cell
        system = System.from_arrays(positions, [6] * atoms, cell, pbc)
        found, expected = neighbor_pairs(system, cutoff), neighbors.tree_pairs(system, cutoff)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
        assert found[0].shape[1] > 0 or atoms == 2


@pytest.mark.parametrize("far", [0, 7, -4000])
def test_pairs_at_the_cutoff_are_found_from_both_ends_or_from_none(far, search):
    """In a crystal many distances are the cutoff, up to rounding that differs with the place in the cell."""
    rng, spacing = np.random.default_rng(0), 1.357
    positions = spacing * np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3) + rng.normal(size=3)
    positions += far * 4 * spacing * rng.integers(-1, 2, positions.shape)
    for factor in (1.0, 2.0**0.5, 2.0, 3.0):
        pairs, shifts = neighbor_pairs(
            System.from_arrays(positions, [14] * 64, np.eye(3) * 4 * spacing, True), factor * spacing
        )
        assert Halves.of(pairs, shifts) is not None


@pytest.mark.parametrize("axes", [[0], [1, 2], [0, 1, 2]], ids=str)
def test_atoms_very_far_apart(axes):
    positions = np.zeros((3, 3))
    positions[1, 0] = 1.0
    positions[2, axes] = 9e5
    assert neighbor_pairs(System.from_arrays(positions, [1, 1, 1]), 5.0)[0].shape[1] == 2
    assert neighbor_pairs(System.from_arrays(positions, [1, 1, 1], np.eye(3) * 9.5e5, True), 5.0)[0].shape[1] == 2


def test_long_thin_structures(search):
    rng = np.random.default_rng(2)
    chain = np.stack([np.arange(60) * 1500.0, np.zeros(60), np.zeros(60)], axis=1).repeat(2, axis=0)
    compare(chain + rng.normal(size=(120, 3)), np.zeros((3, 3)), np.array([False] * 3), 5.0)
    cell = np.array([[3.0, 0, 0], [0.5, 3e4, 0], [0, 0.3, 3e4]])
    compare(rng.random((6, 3)) * [3, 8, 8], cell, np.array([True] * 3), 4.0)


def test_huge_cell_and_lone_atoms(search):
    assert neighbor_pairs(System.from_arrays([[0, 0, 0]], [8]), 5.0)[0].shape == (2, 0)
    assert neighbor_pairs(System.from_arrays([[0, 0, 0], [20, 0, 0]], [6, 8]), 5.0)[0].shape == (2, 0)
    assert neighbor_pairs(System.from_arrays([[0, 0, 0]], [8], np.eye(3) * 1e6, True), 5.0)[0].shape == (2, 0)
    pairs, shifts = neighbor_pairs(System.from_arrays([[0, 0, 0], [1, 0, 0]], [1, 1]), float("inf"))
    assert pairs.shape == (2, 0)
    assert shifts.shape == (0, 3)


def test_a_neighbor_at_the_cutoff_is_beyond_it():
    positions = [[0.0, 0, 0], [2.0, 0, 0]]
    assert neighbor_pairs(System.from_arrays(positions, [1, 1]), 2.0 + 1e-9)[0].shape[1] == 2
    assert neighbor_pairs(System.from_arrays(positions, [1, 1]), 2.0 - 1e-9)[0].shape[1] == 0


def test_batches_keep_systems_apart():
    one = System.from_arrays([[0, 0, 0], [1, 0, 0]], [1, 1])
    two = System.from_arrays([[0, 0, 0]], [6], CELLS["triclinic"], True)
    pairs, shifts = neighbor_pairs(System.batch([one, two, one]), 3.5)
    parts = [neighbor_pairs(s, 3.5) for s in (one, two, one)]
    starts = (0, 2, 3)
    expected = torch.cat([p + k for (p, _), k in zip(parts, starts, strict=True)], dim=1)
    assert torch.equal(pairs, expected)
    assert torch.equal(shifts, torch.cat([s for _, s in parts]))
    joined = Graph.batch([Graph.build(s, 3.5) for s in (one, two, one)])
    assert torch.equal(joined.pairs, pairs)


def test_a_hundred_thousand_atoms():
    side = 47
    steps = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:100_000]
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, size=(100_000, 3))
    system = System.from_arrays(2.7 * steps + noise, np.full(100_000, 29), np.eye(3) * 2.7 * side, True)
    graph = Graph.build(system, 3.4)
    vectors = graph.vectors()
    assert float(vectors.norm(dim=1).max()) < 3.4
    assert 5.5e5 < graph.pairs.shape[1] < 6.5e5  # six neighbors each, but for the missing corner
    assert float(vectors.sum(dim=0).abs().max()) < 1e-6  # every pair is there in both directions


def test_triplets():
    system = System.from_arrays(np.random.default_rng(3).normal(size=(6, 3)) * 2, [1] * 6)
    graph = Graph.build(system, 3.0)
    centers = graph.centers.tolist()
    expected = [(a, b) for a in range(len(centers)) for b in range(a + 1, len(centers)) if centers[a] == centers[b]]
    first, second = triplets(graph.centers, 6)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == expected
    for pairs in (0, 1):
        first, second = triplets(graph.centers[:pairs], 6)
        assert len(first) == len(second) == 0


@pytest.mark.parametrize("far", [0.0, 1e5])
def test_the_order_does_not_depend_on_the_search(far):
    rng = np.random.default_rng(3)
    positions = rng.uniform(0, 5, (6, 3)) + far * rng.integers(-1, 2, (6, 3)) * 5.0
    cell = np.eye(3) * 5.0
    system = System.from_arrays(positions, [6] * 6, cell, True)
    pairs, shifts = neighbor_pairs(system, 3.0)
    table = torch.cat([pairs, shifts.T]).T.tolist()
    assert len(table) > 20
    assert table == sorted(table)
    graph = Graph(system, *neighbor_pairs(system, 4.5), 4.5).within(3.0)
    assert torch.equal(graph.pairs, pairs)
    assert torch.equal(graph.shifts, shifts)


def test_wrong_cutoffs_are_named():
    for cutoff in (0.0, -1.0, float("nan")):
        with pytest.raises(GeometryError, match="positive"):
            neighbor_pairs(System.from_arrays([[0, 0, 0]], [1]), cutoff)


def test_overlapping_atoms_are_named(search):
    with pytest.raises(GeometryError, match="atoms 0 and 2 are .* overlapping"):
        neighbor_pairs(System.from_arrays([[0, 0, 0], [1, 0, 0], [0, 0, 0.001]], [1, 1, 1]), 3.0)
    with pytest.raises(GeometryError, match="overlapping"):  # through the boundary
        neighbor_pairs(System.from_arrays([[0, 0, 0], [3.999, 0, 0]], [1, 1], np.eye(3) * 4, True), 3.0)


@pytest.mark.parametrize(
    ("positions", "numbers", "cell", "match"),
    [
        ([[0.0, 0, 0], [float("nan"), 0, 0]], [1, 1], np.eye(3) * 4, "not finite"),
        ([[0.0, 0, 0], [2e6, 0, 0]], [1, 1], np.eye(3) * 4, "beyond"),
        ([[0.0, 0, 0], [1.0, 0, 0]], [1, 0], np.eye(3) * 4, "atomic number 0"),
        ([[0.0, 0, 0], [1.0, 0, 0]], [1, 1], np.ones((3, 3)), "singular"),
        ([[0.0, 0, 0], [1.0, 0, 0]], [1, 1], np.full((3, 3), np.inf), "not finite"),
        ([[0.0, 0, 0], [1.0, 0, 0]], [1, 1], np.eye(3) * 0.005, "atoms 0 and 0 are 5.00e-03 Å apart"),
        (np.zeros((0, 3)), [], np.eye(3) * 4, "no atoms"),
    ],
)
def test_what_cannot_be_searched_is_named(positions, numbers, cell, match):
    good = System.from_arrays([[0, 0, 0], [1, 0, 0]], [1, 1], np.eye(3) * 4, True)
    bad = System.from_arrays(positions, numbers, cell, True, check=False)
    with pytest.raises(GeometryError, match=match):
        neighbor_pairs(System.batch([good, bad]), 3.0)


def test_too_many_images_for_memory_are_an_error():
    system = System.from_arrays([[0, 0, 0]], [1], np.eye(3) * 0.02, True)
    with pytest.raises(MemoryError, match="do not fit"):
        neighbor_pairs(system, 30.0)


def test_single_precision_and_other_orders_in_memory():
    rng = np.random.default_rng(5)
    system = System.from_arrays(rng.normal(size=(9, 3)) * 3, [1] * 9, np.eye(3) * 6, True)
    turned = system.replace(positions=system.positions.T.contiguous().T, cell=system.cell.mT.contiguous().mT)
    expected = neighbor_pairs(system, 4.0)
    for other in (turned, system.to(dtype=torch.float32)):
        assert all(torch.equal(a, b) for a, b in zip(neighbor_pairs(other, 4.0), expected, strict=True))


def test_within():
    system = System.from_arrays(np.random.default_rng(1).normal(size=(5, 3)) * 2, [1] * 5)
    graph = Graph.build(system, 5.0)
    assert rows(graph.within(2.5).pairs, graph.within(2.5).shifts) == rows(*neighbor_pairs(system, 2.5))
    assert graph.within(7.0) is graph


def test_values_go_to_pairs_and_back():
    graph = Graph.build(System.from_arrays([[0, 0, 0], [1, 0, 0], [2.5, 0, 0], [9, 0, 0]], [1] * 4), 2.0)
    values = torch.arange(8.0).reshape(4, 2)
    assert torch.equal(graph.of_centers(values), values[graph.pairs[0]])
    assert torch.equal(graph.of_neighbors(values), values[graph.pairs[1]])
    found = graph.sum_over_neighbors(graph.of_neighbors(values))
    assert torch.equal(found, torch.stack([values[1], values[0] + values[2], values[1], torch.zeros(2)]))
