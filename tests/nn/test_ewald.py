"""Sums in reciprocal space: Madelung's constant, supercells, batches, derivatives."""

from math import pi

import numpy as np
import pytest
import torch

from adiabat.geometry import Graph, System
from adiabat.geometry.waves import plane_waves
from adiabat.nn.ewald import EwaldSum, ReciprocalSum
from adiabat.units import COULOMB

A = 5.6
SALT = System.from_arrays(
    A / 2 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1.0]]),
    [11] * 4 + [17] * 4,
    cell=A * np.eye(3),
    pbc=True,
)
CHARGES = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=torch.float64)
SKEW = torch.tensor([[4.0, 0.3, -0.2], [0.5, 5.0, 0.1], [-0.7, 0.9, 6.0]], dtype=torch.float64)


def _skewed(seed=0, atoms=5):
    generator = torch.Generator().manual_seed(seed)
    return System.from_arrays(torch.rand((atoms, 3), generator=generator) @ SKEW, [1] * atoms, cell=SKEW, pbc=True)


def test_madelungs_constant():
    graph = Graph.build(SALT, 9.0)
    energy = EwaldSum(9.0, full=True)(graph, graph.vectors(), CHARGES)
    torch.testing.assert_close(energy, torch.full((8,), -0.5 * 1.747564595 * COULOMB / (A / 2)), rtol=2e-5, atol=0)


def test_smeared_charges_do_not_know_their_supercell():
    reciprocal = ReciprocalSum(0.5, 4.0)
    graph = Graph.build(SALT, 3.0)
    double = System.from_arrays(
        torch.cat([SALT.positions, SALT.positions + torch.tensor([0, A, 0])]),
        SALT.numbers.tolist() * 2,
        cell=torch.diag(torch.tensor([A, 2 * A, A])),
        pbc=True,
    )
    energies = reciprocal(graph, CHARGES)
    repeated = reciprocal(Graph.build(double, 3.0), CHARGES.repeat(2))
    assert energies.abs().min() > 0.1
    torch.testing.assert_close(repeated, energies.repeat(2))


def test_batched_equals_one_by_one():
    reciprocal, systems = ReciprocalSum(0.5, 3.0), [SALT, _skewed(), _skewed(1, 3)]
    charges = [CHARGES, torch.randn(5), torch.randn(3)]
    together = reciprocal(Graph.build(System.batch(systems), 2.0), torch.cat(charges))
    alone = [reciprocal(Graph.build(s, 2.0), q) for s, q in zip(systems, charges, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reach", [0.5, 2.0, 4.0])
def test_waves_are_all_within_reach_once(reach):
    system = _skewed()
    (found,) = plane_waves(system, reach)
    grid = torch.cartesian_prod(*[torch.arange(-9, 10)] * 3)
    lengths = (2 * pi * grid.double() @ torch.linalg.inv(SKEW).T).norm(dim=1)
    wanted = {tuple(n) for n in grid[(lengths < reach) & (lengths > 0)].tolist()}
    both = [tuple(n) for n in torch.cat([found, -found]).tolist()]
    assert len(both) == len(set(both))
    assert set(both) == wanted


def test_waves_of_several_systems():
    free = System.from_arrays([[0, 0, 0.0]], [1])
    slab = System.from_arrays([[0, 0, 0.0]], [1], cell=4 * torch.eye(3), pbc=[True, True, False])
    waves = plane_waves(System.batch([free, _skewed(), slab]), 2.0)
    assert waves.shape[0] == 3
    assert torch.equal(waves[1], plane_waves(_skewed(), 2.0)[0])
    assert not waves[[0, 2]].any()


def test_derivatives_of_the_energy():
    reciprocal, graph, charges = ReciprocalSum(0.6, 3.5), Graph.build(_skewed(), 2.0).with_waves(3.5), torch.randn(5)

    def energy(positions, strain):
        system = graph.system.replace(
            positions=positions + positions @ strain, cell=graph.system.cell + graph.system.cell @ strain
        )
        return reciprocal(graph.replace(system=system), charges).sum()

    inputs = (graph.system.positions.clone().requires_grad_(), torch.zeros(3, 3, requires_grad=True))
    assert torch.autograd.gradcheck(energy, inputs)
