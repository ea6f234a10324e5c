"""Products of features with different multiplicities, the gate, and cutoffs that come with them."""

import pytest
import torch

from adiabat.geometry.neighborhood import PairList
from adiabat.nn.cutoffs import XPLORCutoff
from adiabat.nn.distance_transforms import PairCutoffs
from adiabat.nn.edges import Edges
from adiabat.nn.irreps import Irreps
from adiabat.nn.mixed_product import MixedTensorProduct
from adiabat.nn.normalized import SILU_FACTOR, TANH_FACTOR, Gate
from adiabat.nn.tensor_product import NeighborTensorProduct

HARMONICS = Irreps.spherical(2)


def _edges():
    pairs = PairList(torch.tensor([[0, 0, 1, 2], [1, 2, 0, 0]]), 3)
    harmonics = torch.randn(4, 9)
    none = torch.zeros(0)
    return Edges(pairs, none, harmonics, none, None, none, none, none)


def test_equal_multiplicities_are_one_product():
    features, out = Irreps.parse("4x0e+4x1o"), Irreps.parse("1x0e+1x1o+1x1e+1x2e")
    mixed, plain = MixedTensorProduct(features, HARMONICS, out), NeighborTensorProduct(features, HARMONICS, out)
    edges, values = _edges(), [torch.randn(3, ir.dim, m) for m, ir in features]
    weights = torch.randn(4, mixed.weights)
    wanted = plain(values, edges.harmonics, weights, edges.hood)
    for a, b in zip(mixed(values, edges, lambda: weights), wanted, strict=True):
        assert torch.equal(a, b)


def test_different_multiplicities_are_a_wider_product_cut_down():
    """With zeros for the channels that an irrep lacks, a product of one multiplicity gives the same."""
    features, wide = Irreps.parse("2x0e+5x1o"), Irreps.parse("5x0e+5x1o")
    out = Irreps.parse("1x0e+1x1o+1x2e")
    mixed, plain = MixedTensorProduct(features, HARMONICS, out), MixedTensorProduct(wide, HARMONICS, out)
    edges = _edges()
    values = [torch.randn(3, 1, 2), torch.randn(3, 3, 5)]
    filled = [torch.cat([values[0], torch.zeros(3, 1, 3)], dim=2), values[1]]
    places, start = {}, 0
    for multiplicity, path in plain.couplings():
        places[path] = start
        start += multiplicity
    columns = torch.cat([torch.arange(places[path], places[path] + m) for m, path in mixed.couplings()])
    weights = torch.randn(4, plain.weights)
    found = mixed(values, edges, lambda: weights[:, columns])
    wanted = plain(filled, edges, lambda: weights)
    for (_, ir), a, b in zip(mixed.irreps_out, found, wanted, strict=True):
        ours, theirs = ([c for c in p.couplings() if c[1][2] == ir] for p in (mixed, plain))
        begins = {path: 5 * k for k, (_, path) in enumerate(theirs)}
        chosen = torch.cat([torch.arange(begins[path], begins[path] + m) for m, path in ours])
        torch.testing.assert_close(a, b[..., chosen])


def test_what_can_be_made():
    features, wanted = Irreps.parse("4x0e+3x1e"), Irreps.parse("2x0e+2x0o+2x1o+2x1e+2x2o")
    assert str(MixedTensorProduct.reachable(features, HARMONICS, wanted)) == "2x0e+2x0o+2x1o+2x1e+2x2o"
    assert str(MixedTensorProduct.reachable(Irreps.parse("4x0e"), HARMONICS, wanted)) == "2x0e+2x1o"
    assert str(MixedTensorProduct.sources(features, HARMONICS, Irreps.parse("1x0e"))) == "4x0e"


def test_gate():
    gate = Gate(Irreps.parse("2x0e+1x0o+3x1o"), gates="silu", odd="tanh")
    assert str(gate.irreps_in) == "5x0e+1x0o+3x1o"
    scalars, odd, vectors = torch.randn(4, 1, 5), torch.randn(4, 1, 1), torch.randn(4, 3, 3)
    found = gate([scalars, odd, vectors])
    torch.testing.assert_close(found[0], SILU_FACTOR * torch.nn.functional.silu(scalars[..., :2]))
    torch.testing.assert_close(found[1], TANH_FACTOR * torch.tanh(odd))
    torch.testing.assert_close(found[2], vectors * SILU_FACTOR * torch.nn.functional.silu(scalars[..., 2:]))


def test_switching_function():
    cutoff = XPLORCutoff(5.0, 4.0)
    r = torch.tensor([1.0, 4.0, 4.5, 5.0, 6.0], requires_grad=True)
    values = cutoff(r)
    middle = (25 - 20.25) ** 2 * (25 + 40.5 - 48) / 9**3
    assert values.tolist() == pytest.approx([1.0, 1.0, middle, 0.0, 0.0])
    (slopes,) = torch.autograd.grad(values.sum(), r)
    assert slopes[[0, 1, 3, 4]].abs().max() < 1e-12
    assert slopes[2] < -1.0


def test_pair_cutoffs_stretch():
    stretch = PairCutoffs(5.0, [(1, 8, 2.5)])
    found = stretch(torch.tensor([2.0, 2.0]), torch.tensor([1, 8]), torch.tensor([[0, 1], [1, 0]]))
    assert found.tolist() == [4.0, 2.0]
