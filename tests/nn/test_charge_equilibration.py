"""Charges in equilibrium: two atoms by hand, Madelung's constant, splits of Ewald's sum, batches, derivatives."""

from math import erf, pi

import numpy as np
import pytest
import torch

from adiabat.errors import CapabilityError
from adiabat.geometry import Graph, System
from adiabat.nn.charge_equilibration import ChargeEquilibration, GaussianCoulomb, ScreenedElectrostatics
from adiabat.nn.ewald_split import EwaldSplit
from adiabat.nn.inner_cutoffs import InnerCutoff
from adiabat.units import COULOMB

A = 5.6
SALT = System.from_arrays(
    A / 2 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1.0]]),
    [11] * 4 + [17] * 4,
    cell=A * np.eye(3),
    pbc=True,
)
SKEW = torch.tensor([[4.0, 0.3, -0.2], [0.5, 5.0, 0.1], [-0.7, 0.9, 3.5]], dtype=torch.float64)
WIDTHS, HARDNESS = (0.4, 0.9), (9.0, 13.0)
SPLITS = {
    "plain": EwaldSplit(),
    "kolafa-perram": EwaldSplit(rule="kolafa-perram", precision=1e-13),
    "jackson-catlow": EwaldSplit(rule="jackson-catlow", precision=1e-15),
}


def skewed(atoms=4, seed=0, charge=0.0, pbc=True):
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand((atoms, 3), generator=generator, dtype=torch.float64) @ SKEW
    return System.from_arrays(places, [1] * atoms, SKEW if pbc else None, pbc, charge=charge)


def block(split=SPLITS["plain"]):
    return ChargeEquilibration(GaussianCoulomb(WIDTHS, split), HARDNESS)


def elements(system):
    return torch.arange(system.atoms) % 2


def test_two_atoms_by_hand():
    r, chi = 1.3, torch.tensor([2.0, 5.0])
    system = System.from_arrays([[0, 0, 0], [0, 0, r]], [1, 1], charge=0.25)
    charges, potentials = block()(Graph.build(system, 2.0), chi, torch.tensor([0, 1]))
    own = [COULOMB / (sigma * pi**0.5) for sigma in WIDTHS]
    between = COULOMB * erf(r / (2 * (WIDTHS[0] ** 2 + WIDTHS[1] ** 2)) ** 0.5) / r
    diagonal = [j + a for j, a in zip(HARDNESS, own, strict=True)]
    first = (5.0 - 2.0 + 0.25 * (diagonal[1] - between)) / (diagonal[0] + diagonal[1] - 2 * between)
    expected = torch.tensor([first, 0.25 - first])
    torch.testing.assert_close(charges, expected, rtol=1e-13, atol=1e-14)
    made = torch.tensor([own[0] * first + between * (0.25 - first), between * first + own[1] * (0.25 - first)])
    torch.testing.assert_close(potentials, made, rtol=1e-13, atol=1e-14)


def test_madelungs_constant():
    coulomb = GaussianCoulomb((0.2, 0.25), EwaldSplit())
    matrix = coulomb(Graph.build(SALT, 2.0), torch.tensor([0] * 4 + [1] * 4))[0]
    charges = torch.tensor([1.0] * 4 + [-1.0] * 4)
    own = 4 * 0.5 * COULOMB * (1 / 0.2 + 1 / 0.25) / pi**0.5
    energy = 0.5 * charges @ matrix @ charges - own
    assert float(energy) == pytest.approx(-4 * 1.7475645946331822 * COULOMB / (A / 2), rel=1e-10)


@pytest.mark.parametrize("charge", [0.0, 1.0])
def test_the_split_does_not_matter(charge):
    system = skewed(charge=charge)
    graph, element = Graph.build(system, 2.0), elements(system)
    matrices = [GaussianCoulomb(WIDTHS, split)(graph, element)[0] for split in SPLITS.values()]
    reaches = [split.reaches(float(system.volume), 4, 0.9, COULOMB) for split in SPLITS.values()]
    assert np.ptp([width for width, _, _ in reaches]) > 0.1
    for other in matrices[1:]:
        torch.testing.assert_close(other, matrices[0], rtol=0, atol=1e-9)


def test_far_apart_in_a_large_cell_equals_a_molecule():
    molecule = System.from_arrays([[0, 0, 0], [0.7, 0.9, -0.4]], [1, 1])
    large = molecule.replace(cell=120 * torch.eye(3)[None], pbc=torch.tensor([[True] * 3]))
    chi = torch.tensor([1.0, -2.0])
    alone, inside = (block()(Graph.build(s, 2.0), chi, elements(s))[0] for s in (molecule, large))
    torch.testing.assert_close(inside, alone, rtol=5e-6, atol=0)  # images of the dipole: as 1/L³


def test_total_charges_are_exact_and_potentials_equal():
    systems = [skewed(5, 1, 0.0), skewed(3, 2, -1.0, pbc=False), SALT, skewed(1, 3, 2.0)]
    batch, generator = System.batch(systems), torch.Generator().manual_seed(4)
    chi = torch.randn(batch.atoms, generator=generator)
    element = torch.cat([elements(s) for s in systems])
    made = block()
    charges, potentials = made(Graph.build(batch, 2.0), chi, element)
    torch.testing.assert_close(batch.sum_over_atoms(charges), batch.charge, rtol=0, atol=1e-12)
    slopes = (chi + made.hardness[element] * charges + potentials).detach().split([s.atoms for s in systems])
    assert max(float(part.max() - part.min()) for part in slopes) < 1e-11
    alone = [
        made(Graph.build(s, 2.0), c, elements(s))[0] for s, c in zip(systems, chi.split([5, 3, 8, 1]), strict=True)
    ]
    torch.testing.assert_close(charges, torch.cat(alone), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("pbc", [True, False])
def test_first_and_second_derivatives(pbc):
    system, made = skewed(3, 5, 0.5, pbc), block()
    made.root.requires_grad_(False)
    graph = made.coulomb.prepare(Graph.build(system, 2.0))

    def charges(positions, chi):
        moved = graph.replace(system=system.replace(positions=positions))
        return made(moved, chi, elements(system))[0]

    inputs = (system.positions.clone().requires_grad_(), torch.tensor([1.0, -2.0, 3.0]).requires_grad_())
    assert torch.autograd.gradcheck(charges, inputs)
    assert torch.autograd.gradgradcheck(charges, inputs)


def test_screening_leaves_nothing_nearby_and_everything_afar():
    close, far = (System.from_arrays([[0, 0, 0], [0, 0, r]], [1, 1]) for r in (1.0, 5.0))
    coulomb = GaussianCoulomb(WIDTHS, EwaldSplit())
    screened = ScreenedElectrostatics(InnerCutoff("cosine", 4.0, 0.5))
    charges, element = torch.tensor([0.3, -0.7]), torch.tensor([0, 1])
    for system, expected in ((close, 0.0), (far, -0.21 * COULOMB / 5.0)):
        graph = Graph.build(system, 4.0)
        potentials = coulomb(graph, element)[0] @ charges
        energy = screened(graph, charges, potentials, coulomb.widths[element]).sum()
        assert float(energy) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_what_has_no_such_charges_is_refused():
    coulomb = GaussianCoulomb(WIDTHS, EwaldSplit())
    slab = skewed().replace(pbc=torch.tensor([[True, True, False]]))
    with pytest.raises(CapabilityError, match=r"pbc \[True, True, False\]: put vacuum"):
        coulomb.check(Graph.build(slab, 2.0))
    graph = Graph.build(skewed(), 2.0)
    with pytest.raises(CapabilityError, match="cannot be split"):
        coulomb.check(graph.replace(owned=torch.tensor([True, True, False, False])))
    coulomb.check(graph)
