"""Copies of systems and graphs."""

import dataclasses

import pytest
import torch

from adiabat.geometry import Graph, System
from adiabat.geometry.records import replace


def test_a_copy_has_the_changed_fields_and_shares_the_others():
    system = System.from_arrays([[0, 0, 0], [1, 0, 0]], [1, 8])
    moved = replace(system, positions=system.positions + 1.0)
    assert moved.numbers is system.numbers
    assert not torch.equal(moved.positions, system.positions)
    assert vars(moved).keys() == vars(dataclasses.replace(system)).keys()
    with pytest.raises(dataclasses.FrozenInstanceError):
        moved.positions = system.positions
    with pytest.raises(TypeError, match="System has no field position, velocity"):
        replace(system, position=0, velocity=0)


def test_conversions_that_change_nothing_copy_nothing():
    system = System.from_arrays([[0, 0, 0], [1, 0, 0]], [1, 8])
    assert system.to("cpu", torch.float64) is system
    assert system.to() is system
    single = system.to(dtype=torch.float32)
    assert {single.positions.dtype, single.cell.dtype, single.charge.dtype} == {torch.float32}
    graph = Graph.build(system, 2.0)
    assert graph.replace(layout=graph.rows()).to(dtype=torch.float64).layout is None
