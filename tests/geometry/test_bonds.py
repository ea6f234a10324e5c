"""Bonds are the short halves, and their angles every couple of ends at an atom."""

import pytest
import torch
from small_models import structure

from adiabat.errors import GeometryError
from adiabat.geometry import Graph, System

FCC = System.from_arrays([[0, 0, 0]], [29], cell=[[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], pbc=True)


@pytest.mark.parametrize("system", [structure(9, 4.5), structure(9, 5.0, pbc=False), FCC, structure(1, 9.0)])
def test_bonds_and_angles(system):
    graph = Graph.build(system, 4.0).with_bonds(2.7)
    bonds, r = graph.bonds, graph.vectors().norm(dim=1)
    assert bonds is not None
    close = (r < 2.7).nonzero()[:, 0]
    assert torch.equal(bonds.both.flatten().sort()[0], close)
    assert torch.equal(graph.pairs[:, bonds.both[0]], graph.pairs[:, bonds.both[1]].flip(0))
    near = torch.bincount(graph.centers[close], minlength=system.atoms)
    assert bonds.angles.shape[1] == int((near * (near - 1) // 2).sum())
    first, second = bonds.angles
    ends = bonds.centers(graph.centers)
    assert torch.equal(ends[first], ends[second])
    assert bool((first != second).all())
    couples = torch.stack([torch.minimum(first, second), torch.maximum(first, second)])
    assert couples.unique(dim=1).shape == couples.shape
    one, other = bonds.ordered()
    assert len(one) == 2 * len(first)
    assert torch.equal(one[len(first) :], other[: len(first)])


def test_a_crystals_images_are_bonds_of_their_own():
    bonds = Graph.build(FCC, 4.0).with_bonds(2.7).bonds
    assert bonds is not None
    assert bonds.count == 6
    assert bonds.angles.shape == (2, 66)


def test_bonds_go_with_the_pairs():
    graph = Graph.build(structure(9, 4.5), 4.0).with_bonds(2.7)
    assert graph.with_bonds(2.7) is graph
    assert graph.replace(system=graph.system).bonds is graph.bonds
    assert graph.within(3.0).bonds is None
    assert graph.to(dtype=torch.float32).bonds is None
    one = graph.replace(pairs=graph.pairs[:, 1:], shifts=graph.shifts[1:])
    with pytest.raises(GeometryError, match="lacks its reverse"):
        one.with_bonds(2.7)
