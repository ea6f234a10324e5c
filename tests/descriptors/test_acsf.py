"""Symmetry functions against DScribe's numbers, and analytic slopes against automatic differentiation."""

import ase.build
import pytest
import torch

from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.features import Features, describe
from adiabat.descriptors.symmetry_functions import Recipe, SymmetryFunction
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.symmetry_functions import NAME
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity


def _graph(cutoff: float) -> Graph:
    water = ase.build.molecule("H2O")
    crystal = ase.build.bulk("MgO", "rocksalt", a=4.2)
    crystal.numbers[:] = (8, 1)
    crystal.rattle(0.2, seed=1)
    return Graph.batch([Graph.build(System.from_ase(a), cutoff) for a in (water, crystal)])


def _mixed() -> list[SymmetryFunction]:
    """Different numbers, kinds and cutoffs for the two elements."""
    return [
        SymmetryFunction(kind="G2", center="H", neighbors=("O",), eta=0.4, shift=1.1, cutoff=4.0),
        SymmetryFunction(kind="G5", center="H", neighbors=("O", "H"), eta=0.1, zeta=2.5, sign=-1, cutoff=3.5),
        SymmetryFunction(kind="G4", center="H", neighbors=("O", "O"), eta=0.1, zeta=3, shift=0.5, cutoff=4.0),
        SymmetryFunction(kind="G4", center="O", neighbors=("H", "H"), eta=0.2, zeta=4, cutoff=4.0),
    ]


@pytest.mark.parametrize("functions", [_mixed(), Recipe(zetas=(1.0, 4.0)).functions([1, 8], 4.0)])
@pytest.mark.parametrize("kind", ["cosine", "tanh3", "poly2", "exponential"])
@pytest.mark.parametrize("kernel", [True, False])
def test_jacobian_equals_automatic_differentiation(functions, kind, kernel, monkeypatch):
    if not kernel:
        monkeypatch.setattr("adiabat.descriptors.acsf.available", lambda name: "not wanted")
    elif available(NAME) is not None:
        pytest.skip(available(NAME))
    descriptor = ACSF(functions, [1, 8], kind)
    graph = _graph(descriptor.cutoff)
    positions = graph.system.positions.clone().requires_grad_()
    moved = graph.replace(system=graph.system.replace(positions=positions))
    weights = torch.randn(graph.system.atoms, descriptor.size, generator=torch.Generator().manual_seed(0))
    values = descriptor(moved)
    (wanted,) = torch.autograd.grad((values * weights).sum(), positions)
    features = describe(descriptor, graph)
    forces = features.forces(features.pair_slopes(weights))
    torch.testing.assert_close(features.values, values.detach(), rtol=1e-12, atol=1e-13)
    assert torch.equal(features.values, descriptor.values(graph))
    assert wanted.abs().max() > 0.01
    torch.testing.assert_close(-forces, wanted, rtol=1e-10, atol=1e-11)


def test_large_systems_go_in_chunks(monkeypatch):
    descriptor = ACSF(Recipe().functions([1, 8], 4.0), [1, 8])
    graph = _graph(4.0)
    positions = graph.system.positions.clone().requires_grad_()
    moved = graph.replace(system=graph.system.replace(positions=positions))
    found = []
    for size in (10**6, 20):
        monkeypatch.setattr("adiabat.descriptors.acsf.CHUNK", size)
        values = descriptor(moved)
        (slope,) = torch.autograd.grad(values.square().sum(), positions, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), positions)
        found.append(
            (values.detach(), slope.detach(), second, len(descriptor._bounds(graph, graph.vectors().norm(dim=1))))
        )
    assert [f[3] > 2 for f in found] == [False, True]
    for one, other in zip(found[0][:3], found[1][:3], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_single_atoms_and_no_pairs():
    descriptor = ACSF(_mixed(), [1, 8])
    far = System.from_arrays([[0, 0, 0], [0, 0, 20.0]], [1, 8])
    features = describe(descriptor, Graph.build(far, descriptor.cutoff))
    assert features.values.abs().max() == 0.0
    assert features.jacobian.shape == (0, 3, 3)
    assert descriptor.sizes == (3, 1)


def test_batch_of_features_equals_features_of_batch():
    descriptor = ACSF(_mixed(), [1, 8])
    whole = _graph(descriptor.cutoff)
    water, crystal = ase.build.molecule("H2O"), ase.build.bulk("MgO", "rocksalt", a=4.2)
    crystal.numbers[:] = (8, 1)
    crystal.rattle(0.2, seed=1)
    parts = [describe(descriptor, Graph.build(System.from_ase(a), descriptor.cutoff)) for a in (water, crystal)]
    joined, together = Features.batch(parts), describe(descriptor, whole)
    for name in ("values", "jacobian", "pairs", "vectors", "system"):
        torch.testing.assert_close(getattr(joined, name), getattr(together, name), rtol=1e-12, atol=1e-14)


def test_missing_element_is_named():
    with pytest.raises(ConfigError, match="no symmetry function"):
        ACSF(_mixed(), [1, 6, 8])
    with pytest.raises(ConfigError, match="neighbors"):
        ACSF([SymmetryFunction(kind="G4", center="H", neighbors=("H",), eta=1.0, cutoff=3.0)], [1])


def test_dscribes_numbers(shared):
    report = parity(Kit(shared / "golden" / "dscribe-acsf"))
    assert report.status == "equal", report
    assert report.worst < 1e-8  # derivatives there are finite differences
    assert {d.quantity for d in report.deviations} == {
        *("g1", "g2", "g3", "g4", "g5", "mix_all8", "g2/derivative", "g2/derivative_descriptor"),
    }
