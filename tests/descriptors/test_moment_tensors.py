"""Contractions of moment tensors: their number, their lists, their slopes and what training needs of them."""

import ase.build
import numpy as np
import pytest
import torch
from descriptor_checks import tangents_are_derivatives

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.contractions import COUNTS, contractions
from adiabat.descriptors.marked import Marked
from adiabat.descriptors.mtp import MTPConfig
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.moment_tensors import NAME
from adiabat.nn.monomials import Monomials

# numbers, basic ones, products and contractions of MLIP-2's untrained files
MLIP = {
    2: (1, 1, 0, 1),
    4: (2, 1, 1, 2),
    6: (8, 5, 5, 5),
    8: (18, 11, 14, 9),
    10: (41, 25, 42, 16),
    12: (84, 46, 117, 29),
    14: (174, 81, 348, 52),
    16: (350, 130, 969, 92),
}
needs_kernel = pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")


def _graph(cutoff=3.2):
    water, salt = ase.build.molecule("H2O"), ase.build.bulk("NaCl", "rocksalt", a=4.2)
    salt.numbers[:] = (8, 1)
    salt.rattle(0.2, seed=1)
    lone = ase.Atoms("H")
    return Graph.batch([Graph.build(System.from_ase(a), cutoff) for a in (water, salt, lone)])


def _mtp(level=8, elements=(1, 8)):
    torch.manual_seed(0)
    made = MTPConfig(level=level, cutoff=3.2, inner=0.5, basis=6).build(elements)
    with torch.no_grad():
        made.coefficients.add_(0.05 * torch.randn_like(made.coefficients))
    return made


@pytest.mark.parametrize("level", MLIP)
def test_as_many_contractions_as_mlip_has(level):
    lists = contractions(level)
    numbers, basic, products, scalars = MLIP[level]
    assert len(lists.scalars) == scalars == COUNTS[level]
    assert len(lists.basic) == basic
    assert len(lists.products) <= products
    assert lists.moments <= numbers + 1
    assert lists.radial == (level - 2) // 4 + 1


def test_products_come_after_their_factors():
    lists = contractions(12)
    made = set(range(len(lists.basic)))
    last = -1
    for a, b, factor, k in lists.products:
        assert {a, b} <= made
        assert factor >= 1
        assert k >= last
        made.add(k)
        last = k
    assert made == set(range(lists.moments))


def test_order_of_contractions_stays():
    """Saved weights rely on it: the invariants of level 8 for moments with one value for each μ and powers."""
    lists = contractions(8)
    values = [1.0 + 0.1 * k for k in range(len(lists.basic))]
    for a, b, factor, k in lists.products:
        values += [0.0] * (k + 1 - len(values))
        values[k] += factor * values[a] * values[b]
    m = {basic: 1.0 + 0.1 * k for k, basic in enumerate(lists.basic)}
    zero, one = m[0, 0, 0, 0], m[1, 0, 0, 0]
    first = sum(m[0, *p] ** 2 for p in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    second = sum(m[0, *p] ** 2 for p in ((2, 0, 0), (0, 2, 0), (0, 0, 2)))
    second += 2 * sum(m[0, *p] ** 2 for p in ((1, 1, 0), (1, 0, 1), (0, 1, 1)))
    wanted = [zero, one, zero**2, first, zero * one, second, zero**3, zero * first, zero**4]
    np.testing.assert_allclose([values[k] for k in lists.scalars], wanted)


def test_contractions_are_those_of_tensors():
    """Level 8 against traces of outer products made with numpy."""
    descriptor, graph = _mtp(), _graph()
    vectors = graph.vectors()
    r = vectors.norm(dim=1)
    f = descriptor.radial(r, descriptor.kinds(graph)).detach().numpy()
    u, centers = (vectors / r[:, None]).numpy(), graph.centers.numpy()
    for atom in range(2):
        own = centers == atom
        g, d = f[own], u[own]
        m = {(n, 0): g[:, n].sum() for n in (0, 1)}
        m |= {(n, 1): g[:, n] @ d for n in (0, 1)}
        second = np.einsum("p,pi,pj->ij", g[:, 0], d, d)
        wanted = [m[0, 0] ** k for k in (1, 2, 3, 4)] + [m[1, 0], m[0, 0] * m[1, 0]]
        wanted += [m[0, 1] @ m[0, 1], m[0, 0] * (m[0, 1] @ m[0, 1]), (second * second).sum()]
        found = descriptor(graph)[atom].detach().numpy()
        np.testing.assert_allclose(np.sort(found), np.sort(wanted), rtol=1e-12)


def test_monomials():
    directions = torch.randn(5, 3)
    monomials = Monomials(4)
    wanted = torch.stack([torch.prod(directions ** torch.tensor(p), dim=1) for p in monomials.powers], dim=1)
    torch.testing.assert_close(monomials(directions), wanted)


@needs_kernel
@pytest.mark.parametrize("level", [2, 8, 16])
def test_kernel_gives_values_and_slopes(level):
    descriptor, graph = _mtp(level), _graph()
    for found, wanted in zip(descriptor.jacobian(graph), Descriptor.jacobian(descriptor, graph), strict=True):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12 * float(wanted.abs().max()))


@needs_kernel
@pytest.mark.parametrize("marked", [False, True])
def test_kernel_gives_weighted_sums_and_tangents(marked):
    inner, graph = _mtp(8), _graph()
    descriptor = Marked(inner) if marked else inner
    weights = torch.randn(2, descriptor.size)
    pairs = [
        (descriptor.weighted(graph, weights), Descriptor.weighted(descriptor, graph, weights)),
        (descriptor.tangents(graph, weights), Descriptor.tangents(descriptor, graph, weights)),
    ]
    for found, wanted in (pair for both in pairs for pair in zip(*both, strict=True)):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12 * float(wanted.abs().max()))


def test_tangents_are_derivatives():
    tangents_are_derivatives(_mtp(6), _graph())


def test_adapted_to_the_data():
    graph = _graph()
    descriptor = MTPConfig(level=4, cutoff=3.2).build([1, 8])
    descriptor.adapt([graph])
    assert float(descriptor.inner) == pytest.approx(float(graph.vectors().norm(dim=1).min()))
    moments = descriptor.moments(graph.vectors(), graph)[:, 0]
    assert float(moments.detach().square().mean()) == pytest.approx(1.0)


def test_refuses():
    with pytest.raises(ConfigError, match="level 7"):
        MTPConfig(level=7).build([1])
    with pytest.raises(ConfigError, match="smaller than the cutoff"):
        MTPConfig(level=4, inner=6.0).build([1])
    with pytest.raises(ConfigError, match="at least 4"):
        MTPConfig(level=16, basis=3).build([1])
