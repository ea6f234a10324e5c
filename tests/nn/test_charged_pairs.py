"""Blocks of charged and repelling pairs, cutoffs that are smooth to all orders, attention, and who is with whom."""

import math

import numpy as np
import pytest
import torch

from adiabat.geometry import Graph, System
from adiabat.nn.cutoffs import BumpCutoff, smooth_step
from adiabat.nn.dispersion import FREQUENCIES, TABLES, D4Dispersion
from adiabat.nn.electron_configurations import electron_configurations
from adiabat.nn.electrostatics import SoftenedCoulomb
from adiabat.nn.linear_attention import LinearAttention, random_directions, soft_largest
from adiabat.nn.radial import ExponentialBernsteinBasis
from adiabat.nn.zbl import LAMMPS, TrainedZBL
from adiabat.units import BOHR, COULOMB


def system_of(*sizes):
    parts = [System.from_arrays(torch.randn(n, 3) * 3.0, [1] * n) for n in sizes]
    return System.batch(parts)


def slope(function, at):
    x = torch.tensor([at], requires_grad=True)
    return float(torch.autograd.grad(function(x).sum(), x)[0])


def test_couples_are_all_pairs_of_each_system():
    system = system_of(3, 1, 4)
    graph = Graph.build(system, 0.5).with_couples()
    found = {tuple(c) for c in graph.couples.T.tolist()}
    expected = {
        (i, j) for i in range(8) for j in range(8) if i != j and int(system.system[i]) == int(system.system[j])
    }
    assert found == expected
    assert graph.couples.shape[1] == len(expected)
    assert graph.with_couples() is graph
    assert Graph.build(system_of(1), 0.5).with_couples().couples.shape == (2, 0)
    assert graph.to(dtype=torch.float32).couples is None


def test_cutoffs():
    bump = BumpCutoff(4.0)
    torch.testing.assert_close(
        bump(torch.tensor([0.0, 2.0, 3.9999999, 4.0, 5.0])), torch.tensor([1.0, math.exp(-1 / 3), 0.0, 0.0, 0.0])
    )
    assert slope(bump, 4.0) == slope(bump, 3.99999999) == 0.0
    at = torch.tensor([0.0, 1.0, 1.5, 2.0, 3.0, 4.0])
    torch.testing.assert_close(smooth_step(at, 1.0, 3.0)[[0, 1, 3, 4, 5]], torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0]))
    x = 0.25
    expected = math.exp(-1 / (1 - x)) / (math.exp(-1 / x) + math.exp(-1 / (1 - x)))
    assert float(smooth_step(at, 1.0, 3.0)[2]) == pytest.approx(expected)
    for end in (1.0, 3.0, 1.0 + 1e-13, 3.0 - 1e-13):
        assert slope(lambda r: smooth_step(r, 1.0, 3.0), end) == 0.0


def test_bernstein_functions_add_up_to_the_weight():
    basis = ExponentialBernsteinBasis(6)
    r = torch.tensor([0.1, 1.0, 7.0])
    torch.testing.assert_close(basis(r).sum(dim=1), torch.exp(-0.5 * r / BOHR))


@pytest.mark.parametrize("reach", [None, 6.0])
def test_charges_far_apart_and_close(reach):
    block = SoftenedCoulomb(1.0, 3.0, reach, COULOMB)

    def energy(r):
        return block(r, torch.tensor([0.5]), torch.tensor([-1.0]))

    k = -0.25 * COULOMB
    far = 1 / 4.0 if reach is None else 1 / 4.0 + 4.0 / 36.0 - 2.0 / 6.0
    assert float(energy(torch.tensor([4.0]))) == pytest.approx(k * far)
    if reach is None:
        assert float(energy(torch.tensor([0.5]))) == pytest.approx(k / math.sqrt(1.25))
    else:
        near = torch.tensor([6.0 - 1e-7, 6.0, 9.0])
        assert float(energy(near).abs().max()) < 1e-12
        assert abs(slope(energy, 6.0 - 1e-7)) < 1e-6
        step = 1e-6  # of the softened part, too, value and slope vanish at the reach
        soft = SoftenedCoulomb(10.0, 20.0, reach, COULOMB)
        assert abs(float(soft(torch.tensor([6.0 - step]), torch.ones(1), torch.ones(1)))) < 1e-10


def test_repulsion_starts_as_the_universal_potential():
    block = TrainedZBL(COULOMB, BOHR)
    numbers, pairs = torch.tensor([6.0, 29.0]), torch.tensor([[0, 1], [1, 0]])
    r = torch.tensor([0.8, 0.8])
    found = block(r, torch.tensor([0.5, 1.0]), numbers, pairs).detach()
    x = 0.8 / (LAMMPS.length / (6**0.23 + 29**0.23))
    expected = 0.5 * COULOMB * 6 * 29 / 0.8 * sum(c * math.exp(-b * x) for c, b in LAMMPS.screening)
    assert float(found[0]) == pytest.approx(0.5 * expected, rel=1e-3)
    assert float(found[1]) == pytest.approx(2.0 * float(found[0]))


def test_attention_is_about_softmax_within_each_system():
    torch.manual_seed(0)
    system = system_of(3, 5)
    q, k, v = 0.5 * torch.randn(3, 8, 4)
    exact = torch.softmax(torch.where(system.system[:, None] == system.system, q @ k.T / 2.0, -torch.inf), dim=1) @ v
    graph = Graph.build(system, 0.1)
    found = LinearAttention(4, 8000)(q, k, v, graph)
    torch.testing.assert_close(found, exact, rtol=0.0, atol=0.03)
    few = LinearAttention(4, 6)
    alone = Graph.build(system_of(3), 0.1)
    torch.testing.assert_close(few(q, k, v, graph)[:3], few(q[:3], k[:3], v[:3], alone))
    torch.testing.assert_close(few(q, k, v, graph), few(q, k, v, graph.with_members()))


def test_largest_is_shared_by_equal_ones():
    values = torch.tensor([1.0, 1.0, 0.5, -3.0, -2.0], requires_grad=True)
    system = system_of(3, 2)
    largest = soft_largest(values, system)
    torch.testing.assert_close(largest, torch.tensor([1.0, -2.0]))
    (gradient,) = torch.autograd.grad(largest.sum(), values)
    torch.testing.assert_close(gradient, torch.tensor([0.5, 0.5, 0.0, 0.0, 1.0]))


def test_random_directions_are_orthogonal_in_groups():
    torch.manual_seed(1)
    found = random_directions(5, 12)
    assert found.shape == (5, 12)
    gram = found[:, 5:10].T @ found[:, 5:10]
    assert float((gram - gram.diagonal().diag()).abs().max()) < 1e-12


def test_electron_configurations_hold_all_electrons():
    table = electron_configurations()
    room = np.array([2, 2, 6, 2, 6, 2, 10, 6, 2, 10, 6, 2, 14, 10, 6])
    np.testing.assert_allclose((table[:, 1:16] * room).sum(axis=1), np.arange(87))
    copper = table[29] * np.array([86, *room, 2, 6, 10, 14])
    assert copper.astype(int).tolist() == [29, 2, 2, 6, 2, 6, 1, 10, *[0] * 8, 1, 0, 10, 0]


@pytest.mark.parametrize("reach", [None, 8.0])
def test_dispersion_of_one_reference(reach):
    """With one reference of known polarizability C₆ is Casimir and Polder's integral, and E is damped −C₆/r⁶."""
    block = D4Dispersion([18], reach)
    assert not block.known
    with torch.no_grad():
        for name in TABLES:
            getattr(block, name).zero_()
        for name, value in (("radii", 2.0), ("charges", 18.0), ("ratios", 2.0), ("hardness", 0.5)):
            getattr(block, name).fill_(value)
        block.fallback[:, 0] = 1.0
        block.polarizabilities[:, 0] = 11.0
        block.frequency_weights.fill_(1.0 / FREQUENCIES)
    assert block.known
    graph = Graph.build(System.from_arrays([[0, 0, 0], [0, 0, 5.0]], [18, 18]), 6.0)
    energy = float(
        block(torch.tensor([5.0, 5.0]), torch.zeros(2), torch.tensor([[0, 1], [1, 0]]), graph).detach().sum()
    )
    r, ratio = 5.0 / block.bohr, 4.0 * math.sqrt(3.0)
    radius = 0.44959224 * ratio + 3.35743605

    def damped(power):
        value = 1 / (r**power + radius**power)
        if reach is None:
            return value
        end = (reach / block.bohr) ** power + radius**power
        return value - 1 / end + power * (reach / block.bohr) ** power / end**2 * (5.0 / reach - 1)

    expected = -3 / math.pi * 121.0 * (damped(6) + 1.61679827 * ratio**2 * damped(8)) * block.hartree
    assert energy == pytest.approx(expected, rel=1e-6)
    charged = float(
        block(torch.tensor([5.0, 5.0]), torch.ones(2), torch.tensor([[0, 1], [1, 0]]), graph).detach().sum()
    )
    assert 0.5 < charged / energy < 1.0  # cations are less polarizable
