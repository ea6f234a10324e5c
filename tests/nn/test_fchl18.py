"""FCHL18: qmllib's kernels, slopes, and what leaves a kernel as it is."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from adiabat.geometry import Graph, System
from adiabat.nn.fchl18 import FCHL18Config, SimilarityConfig, Surroundings, similarity
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity

FADING = FCHL18Config(cutoff=3.0, fade=0.5, order=3, angular_width=0.8)


def _kernel(atoms, config=FADING, **form):
    graph = Graph.build(System.from_ase(atoms, torch.float64), config.cutoff)
    made = config.build(atoms.numbers)
    terms = made.terms(Surroundings.of(graph))
    return similarity(SimilarityConfig(**form), *[made.selves(terms)] * 2, made.products(terms, terms))


def _ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=3)
    return atoms


def test_qmllibs_numbers(shared):
    report = parity(Kit(shared / "golden" / "qml-fchl18"), tolerance=1e-8)
    assert report.status == "equal", report
    assert len(report.deviations) == 15
    assert next(d for d in report.deviations if d.quantity == "representation").absolute < 1e-12


@pytest.mark.parametrize("form", ["gaussian", "matern", "cauchy", "polynomial", "sigmoid", "linear", "bessel"])
def test_slopes_are_derivatives(form):
    atoms = _ethanol()
    one = SimilarityConfig(form=form, sigma=1.5, alpha=0.3, constant=0.1, power=2.0)
    made = FADING.build(atoms.numbers)

    def summed(positions):
        system = System.from_ase(atoms, torch.float64).replace(positions=positions)
        graph = Graph.build(System.from_ase(atoms, torch.float64), FADING.cutoff)
        terms = made.terms(Surroundings.of(graph.replace(system=system)))
        both = similarity(one, made.selves(terms), made.selves(terms), made.products(terms, terms))
        return both[0].sum()

    start = torch.as_tensor(atoms.positions)
    (slope,) = torch.autograd.grad(summed(start.requires_grad_()), start)
    step = torch.zeros_like(start)
    step[4, 1] = 1e-5
    with torch.no_grad():
        numeric = (summed(start + step) - summed(start - step)) / 2e-5
    assert float(slope[4, 1]) == pytest.approx(float(numeric), rel=1e-6, abs=1e-8)
    assert abs(float(slope[4, 1])) > 1e-4


def test_turning_and_renaming_change_nothing():
    atoms = _ethanol()
    expected = _kernel(atoms)
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3))
    assert torch.allclose(_kernel(turned), expected, atol=1e-12)
    order = np.random.default_rng(0).permutation(len(atoms))
    assert torch.allclose(_kernel(atoms[order]), expected[order][:, order], atol=1e-12)
    assert torch.linalg.eigvalsh(expected).min() > -1e-10


def test_cells_smaller_than_the_cutoff():
    one = bulk("Cu", "fcc", a=3.0)
    small = _kernel(one, FCHL18Config(cutoff=4.0, fade=0.5), form="linear")
    large = _kernel(one.repeat(2), FCHL18Config(cutoff=4.0, fade=0.5), form="linear")
    assert torch.allclose(large, small.expand(8, 8), rtol=1e-10)


def test_atoms_alone_and_in_line():
    alone = _kernel(ase.Atoms("CO", [[0, 0, 0], [0, 0, 20]]))
    period = torch.exp(torch.tensor(-0.25 * (2 / 1.6) ** 2))
    assert torch.allclose(alone[0, 1], torch.exp(-(1 - period) / 2.5**2))
    line = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.1], [0.0, 0.0, -1.2]], requires_grad=True)
    atoms = ase.Atoms("COO", line.detach().numpy())
    graph = Graph.build(System.from_ase(atoms, torch.float64), 3.0)
    graph = graph.replace(system=graph.system.replace(positions=line))
    made = FADING.build([6, 8])
    (slope,) = torch.autograd.grad(made.selves(made.terms(Surroundings.of(graph))).sum(), line)
    assert slope.isfinite().all()


def test_elements_overlap_by_their_places():
    likeness = FCHL18Config().build([6, 14, 26, 79, 92]).likeness
    assert float(likeness[0, 1]) == pytest.approx(np.exp(-0.25 / 1.6**2))  # one period apart
    # iron has column 14, gold 17, two periods below; uranium 22
    assert float(likeness[2, 3]) == pytest.approx(np.exp(-0.25 * (4 + 9) / 1.6**2))
    assert float(likeness[2, 4]) == pytest.approx(np.exp(-0.25 * (9 + 64) / 1.6**2))
    assert torch.equal(FCHL18Config(alchemy=False).build([6, 14]).likeness, torch.eye(2))
