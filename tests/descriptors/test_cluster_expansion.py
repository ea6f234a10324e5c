"""Invariants of the cluster expansion: independent, complete, and coupled as they should be."""

import numpy as np
import pytest
import torch

from adiabat.descriptors.ace import ACEDescriptorConfig, ClusterFunction
from adiabat.errors import ConfigError
from adiabat.geometry import Graph, System
from adiabat.nn.generalized_couplings import (
    couplings,
    generalized_coupling,
    in_real_harmonics,
    independent,
    symmetrized,
)
from adiabat.nn.product_terms import ProductList, ProductTerms
from adiabat.nn.spherical_harmonics import SphericalHarmonics


def _environments(count, neighbors=7, elements=(8,), seed=0):
    random = np.random.default_rng(seed)
    systems = []
    for _ in range(count):
        places = random.normal(size=(neighbors + 1, 3)) * 1.5
        places[0] = 0
        systems.append(System.from_arrays(places, random.choice(elements, neighbors + 1)))
    return Graph.build(System.batch(systems), 4.0)


@pytest.mark.parametrize("degrees", [(2, 2), (1, 1, 2), (1, 1, 1, 1), (1, 2, 1, 2, 2), (1,) * 6])
def test_couplings_are_invariant_and_orthonormal(degrees):
    torch.manual_seed(0)
    every = [in_real_harmonics(generalized_coupling(degrees, b)) for b in couplings(degrees)]
    rotation = torch.linalg.qr(torch.randn(3, 3))[0]
    vectors = torch.randn(len(degrees), 3)
    harmonics = SphericalHarmonics(max(degrees))

    def values(vectors):
        rows = harmonics(vectors[:, [1, 2, 0]]).numpy()
        made = []
        for tensor in every:
            for row, l in zip(rows, degrees, strict=True):
                tensor = np.tensordot(row[l * l : (l + 1) ** 2], tensor, (0, 0))
            made.append(float(tensor))
        return made

    np.testing.assert_allclose(values(vectors @ rotation.T), values(vectors), atol=1e-10)
    if sum(degrees) % 2 == 0:
        rows = np.array([generalized_coupling(degrees, b).ravel() for b in couplings(degrees)])
        np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-12)


def test_repeated_factors_leave_fewer_couplings():
    assert len(couplings((1, 1, 1, 1))) == 3
    assert len(independent((1, 1, 1, 1), "abcd")) == 3
    assert len(independent((1, 1, 1, 1), "aabb")) == 2  # (a·a)(b·b) and (a·b)²
    assert independent((1, 1, 1, 1), "aaaa") == ((0, 0),)
    assert independent((3, 3, 3), "aaa") == ()
    one = symmetrized(generalized_coupling((1, 1, 1, 1), (2, 2)), (1, 1, 1, 1), "aaaa")
    other = symmetrized(generalized_coupling((1, 1, 1, 1), (0, 0)), (1, 1, 1, 1), "aaaa")
    assert np.linalg.matrix_rank(np.stack([one.ravel(), other.ravel()]), tol=1e-10) == 1


@pytest.mark.parametrize(
    ("n_max", "l_max", "elements"), [((3, 2, 2, 1), (0, 2, 2, 2), (8,)), ((2, 1, 1), (0, 2, 1), (1, 8))]
)
def test_functions_are_linearly_independent(n_max, l_max, elements):
    options = ACEDescriptorConfig.parse({"cutoff": 4.0, "n_max": n_max, "l_max": l_max, "bond": {"count": 3}})
    descriptor = options.build(elements).double()
    graph = _environments(40, elements=elements)
    values = descriptor(graph)[graph.system.numbers == 8][: 4 * descriptor.size]
    assert len(values) > descriptor.size
    spectrum = torch.linalg.svdvals(values / values.norm(dim=0))
    assert spectrum[-1] > 1e-7 * spectrum[0]


def test_every_function_is_there():
    # of one element, n = 1 and l = 1: A, A·A, and nothing of three; (A·A)² of four
    options = ACEDescriptorConfig.parse({"n_max": (1, 1, 1, 1), "l_max": (0, 1, 1, 1), "bond": {"count": 1}})
    degrees = [f.l for f in options.build([8]).functions]
    assert degrees == [
        (0,), (0, 0), (1, 1), (0, 0, 0), (0, 1, 1), (0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1),
    ]  # fmt: skip


def test_functions_that_a_pair_does_not_have_are_left_out():
    options = {"n_max": (3, 2), "l_max": (0, 0), "bond": {"count": 3}, "bonds": {"H-O": {"count": 1}}}
    descriptor = ACEDescriptorConfig.parse(options).build([1, 8])
    assert descriptor.sizes == (4 + 6, 6 + 10)
    assert ACEDescriptorConfig.parse(options | {"train_radial": True}).build([1, 8]).sizes == (4 + 10, 6 + 10)


def test_products_are_made_once():
    wanted = [(0, 0), (0, 1), (0, 0, 1), (0, 0, 1, 1), (0, 1, 1)]
    made = ProductList.of(wanted, 2)
    assert len(made.first) == 5
    features = [{m: 1.0} for m in wanted]
    values = ProductTerms(features, 2)(torch.tensor([[2.0, 3.0]]))
    assert values.tolist() == [[4.0, 6.0, 12.0, 36.0, 18.0]]


def test_slopes_equal_finite_differences():
    options = ACEDescriptorConfig.parse(
        {"cutoff": 4.0, "n_max": (2, 2, 1), "l_max": (0, 2, 2), "bond": {"count": 3, "basis": "SBessel"}}
        | {"bonds": {"H-O": {"basis": "ChebPow", "decay": 2.0, "count": 2, "cutoff": 3.0, "inner": (1.0, 0.3)}}}
    )
    descriptor = options.build([1, 8]).double()
    graph = _environments(1, 4, (1, 8))
    assert torch.autograd.gradcheck(lambda v: descriptor.from_vectors(v, graph), graph.vectors().requires_grad_())


def test_wrong_functions_are_refused():
    for wrong in ({"neighbors": ("O",), "n": (99,), "l": (0,)}, {"neighbors": ("H", "H"), "n": (1, 1), "l": (0, 0)}):
        options = ACEDescriptorConfig(functions=(ClusterFunction(center="O", **wrong),))
        with pytest.raises(ConfigError):
            options.build([8])
    with pytest.raises(ConfigError, match="as many"):
        ACEDescriptorConfig(n_max=(3, 2), l_max=(0,)).build([8])
