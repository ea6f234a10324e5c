"""Irreps, harmonics, couplings and the equivariant layers, against e3nn where it is installed and by rotation."""

import numpy as np
import pytest
import torch

from adiabat.errors import CheckpointError, ConfigError
from adiabat.geometry import Neighborhood, PairList
from adiabat.nn.clebsch_gordan import coupling, wigner_3j
from adiabat.nn.couplings import from_tensor, polynomials
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import SCALAR, Irrep, Irreps, flatten, unflatten
from adiabat.nn.normalized import LOGISTIC_FACTOR, SILU_FACTOR, DeepReadout, Gate, LayerNormMLP, NormalizedMLP
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.nn.symmetric_contraction import SymmetricContraction
from adiabat.nn.tensor_product import NeighborTensorProduct


def _o3():
    return pytest.importorskip("e3nn.o3", reason="e3nn is not installed: it is the outside reference")


def _rotation(seed=0):
    torch.manual_seed(seed)
    q = torch.linalg.qr(torch.randn(3, 3)).Q
    return q * torch.det(q).sign()


def _wigner(l_max, rotation):
    """Matrices that rotate each degree, from the harmonics of enough directions."""
    directions = torch.randn(4 * (2 * l_max + 1), 3)
    harmonics = SphericalHarmonics(l_max)
    before, after = harmonics(directions), harmonics(directions @ rotation.T)
    parts = [slice(l**2, (l + 1) ** 2) for l in range(l_max + 1)]
    return [torch.linalg.lstsq(before[:, p], after[:, p]).solution.T for p in parts]


def _rotated(blocks, irreps, wigner):
    return [torch.einsum("mn,anc->amc", wigner[ir.l], b) for b, (_, ir) in zip(blocks, irreps, strict=True)]


def _features(irreps, atoms):
    return [torch.randn(atoms, ir.dim, m) for m, ir in irreps]


class TestIrreps:
    def test_text(self):
        irreps = Irreps.parse("16x0e + 8x1o+2e")
        assert str(irreps) == "16x0e+8x1o+1x2e"
        assert (irreps.dim, irreps.l_max, len(irreps)) == (16 + 24 + 5, 2, 3)
        assert irreps.count(Irrep(1, -1)) == 8
        assert irreps.count(Irrep(1, 1)) == 0
        assert irreps.slices() == [slice(0, 1), slice(1, 4), slice(4, 9)]
        assert Irreps.parse(irreps) is irreps
        assert str(Irreps.spherical(2, 3)) == "3x0e+3x1o+3x2e"
        assert str(Irreps.both_parities(1)) == "1x0e+1x0o+1x1o+1x1e"

    def test_products(self):
        assert [str(ir) for ir in Irrep(1, -1) * Irrep(2, 1)] == ["1o", "2o", "3o"]

    @pytest.mark.parametrize("text", ["16x0", "x0e", "0e+", "0e+0e", "a"])
    def test_wrong_text(self, text):
        with pytest.raises(ConfigError):
            Irreps.parse(text)

    def test_flat_layout(self):
        irreps = Irreps.parse("2x0e+3x1o")
        blocks = _features(irreps, 4)
        flat = flatten(blocks)
        assert torch.equal(flat[:, 2:5], blocks[1][:, :, 0])  # the components of one vector are neighbors
        for a, b in zip(unflatten(flat, irreps), blocks, strict=True):
            assert torch.equal(a, b)


class TestHarmonics:
    @pytest.mark.parametrize("normalization", ["component", "norm", "integral"])
    def test_equal_to_e3nn(self, normalization):
        vectors = torch.randn(40, 3)
        for normalize in (True, False):
            ours = SphericalHarmonics(10, normalization, normalize)(vectors)
            theirs = _o3().spherical_harmonics(list(range(11)), vectors, normalize, normalization)
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)

    def test_first_degrees_in_closed_form(self):
        x, y, z = v = torch.nn.functional.normalize(torch.randn(3), dim=0)
        degree2 = [
            3**0.5 * x * z,
            3**0.5 * x * y,
            y * y - (x * x + z * z) / 2,
            3**0.5 * y * z,
            3**0.5 / 2 * (z * z - x * x),
        ]
        found = SphericalHarmonics(2)(v)
        torch.testing.assert_close(found[:4], torch.stack([torch.ones(()), *(3**0.5 * v)]))
        torch.testing.assert_close(found[4:], 5**0.5 * torch.stack(degree2))

    def test_normalization(self):
        values = SphericalHarmonics(8)(torch.randn(5, 3)).square()
        sums = torch.stack([values[:, l**2 : (l + 1) ** 2].sum(1) for l in range(9)])
        torch.testing.assert_close(sums, (2 * torch.arange(9.0) + 1)[:, None].expand(9, 5))

    def test_zero_pairs_and_lowest_degree(self):
        assert SphericalHarmonics(4)(torch.zeros(0, 3)).shape == (0, 25)
        assert torch.equal(SphericalHarmonics(0)(torch.randn(2, 3)), torch.ones(2, 1))

    def test_gradient(self):
        vectors = torch.randn(3, 3, requires_grad=True)
        assert torch.autograd.gradcheck(SphericalHarmonics(4), (vectors,))
        assert torch.autograd.gradgradcheck(SphericalHarmonics(2), (vectors,))

    def test_constants_follow_the_type(self):
        torch.set_default_dtype(torch.float32)
        moved = SphericalHarmonics(5).double()
        torch.set_default_dtype(torch.float64)
        exact = SphericalHarmonics(5)
        for (name, a), b in zip(moved.named_buffers(), dict(exact.named_buffers()).values(), strict=True):
            assert torch.equal(a, b), name


class TestClebschGordan:
    def test_equal_to_e3nn(self):
        o3 = _o3()
        for l1 in range(5):
            for l2 in range(5):
                for l3 in range(abs(l1 - l2), min(l1 + l2, 6) + 1):
                    theirs = o3.wigner_3j(l1, l2, l3).double().numpy()
                    assert np.abs(wigner_3j(l1, l2, l3) - theirs).max() < 1e-10

    def test_invariant(self):
        wigner = _wigner(4, _rotation())
        for l1, l2, l3 in ((1, 1, 1), (1, 2, 3), (2, 2, 4), (3, 2, 2)):
            table = torch.as_tensor(np.array(wigner_3j(l1, l2, l3)))
            turned = torch.einsum("ai,bj,ck,ijk->abc", wigner[l1], wigner[l2], wigner[l3], table)
            torch.testing.assert_close(turned, table, rtol=1e-10, atol=1e-10)
            assert float(table.square().sum()) == pytest.approx(1.0)
            assert (coupling(l1, l2, l3) ** 2).sum() == pytest.approx(2 * l3 + 1)

    def test_triangle_rule(self):
        assert not wigner_3j(1, 1, 3).any()


class TestCouplings:
    def test_numbers_of_paths(self):
        """Numbers of the published models."""
        parts = [ir for _, ir in Irreps.spherical(3)]
        vector = Irrep(1, -1)
        assert [polynomials(parts, n, SCALAR).paths for n in (1, 2, 3)] == [1, 4, 8]
        assert [polynomials(parts, n, SCALAR, "full").paths for n in (1, 2, 3)] == [1, 4, 23]
        assert [polynomials(parts, n, vector).paths for n in (1, 2, 3)] == [1, 3, 12]
        assert [polynomials(parts, n, vector, "full").paths for n in (1, 2, 3)] == [1, 6, 51]

    def test_bases_span_the_same(self):
        parts = [ir for _, ir in Irreps.spherical(2)]
        for out in (SCALAR, Irrep(1, -1), Irrep(2, 1)):
            reduced, full = (polynomials(parts, 3, out, basis) for basis in ("reduced", "full"))
            assert reduced.monomials == full.monomials
            rows = [t.coefficients.reshape(t.paths, -1) for t in (reduced, full)]
            ranks = [np.linalg.matrix_rank(r, tol=1e-8) for r in (*rows, np.concatenate(rows))]
            assert ranks == [reduced.paths] * 3

    def test_tensor_outside_of_the_irrep(self):
        tensor = np.zeros((1, 4, 4, 1))
        tensor[0, 0, 1, 0] = 0.5
        tensor[0, 1, 1, 0] = 1.0
        values, outside = from_tensor(tensor, [(1, 1)])
        assert values.ravel().tolist() == [1.0]
        assert outside == 0.5


class TestLinear:
    def test_equal_to_e3nn(self):
        o3 = _o3()
        irreps_in, irreps_out = Irreps.parse("5x0e+3x1o"), Irreps.parse("4x0e+2x1o+2x2e")
        ours, theirs = EquivariantLinear(irreps_in, irreps_out), o3.Linear(str(irreps_in), str(irreps_out))
        theirs.weight.data = torch.cat([w.detach().reshape(-1) for w in ours.weights.values()])
        blocks = _features(irreps_in, 6)
        torch.testing.assert_close(flatten(ours(blocks)), theirs(flatten(blocks)))

    @pytest.mark.parametrize("elements", [3, 20])
    def test_element_linear_equal_to_e3nn(self, elements):
        o3 = _o3()
        irreps_in, irreps_out = Irreps.parse("5x0e+3x1o"), Irreps.parse("4x0e+2x1o")
        ours = ElementLinear(irreps_in, irreps_out, elements)
        theirs = o3.FullyConnectedTensorProduct(str(irreps_in), f"{elements}x0e", str(irreps_out))
        theirs.weight.data = torch.cat([w.detach().transpose(0, 1).reshape(-1) for w in ours.weights.values()])
        blocks, element = _features(irreps_in, 6), torch.randint(elements, (6,))
        one_hot = torch.nn.functional.one_hot(element, elements).to(blocks[0])
        torch.testing.assert_close(flatten(ours(blocks, element)), theirs(flatten(blocks), one_hot))


class TestNeighborTensorProduct:
    pairs = torch.tensor([[0, 0, 0, 2, 2, 3], [1, 2, 3, 0, 3, 3]])

    def test_equal_to_e3nn(self):
        """Also its order of paths, which published weights follow."""
        o3 = _o3()
        left, right, wanted = Irreps.parse("2x0e+2x1o"), Irreps.spherical(3), Irreps.spherical(2)
        ours = NeighborTensorProduct(left, right, wanted)
        instructions, slots = [], []
        for _, out in wanted:
            for i, (_, a) in enumerate(left):
                for j, (_, b) in enumerate(right):
                    if out in a * b:
                        instructions.append((i, j, len(slots), "uvu", True))
                        slots.append((2, str(out)))
        theirs = o3.TensorProduct(
            str(left), str(right), slots, instructions, shared_weights=False, internal_weights=False
        )
        blocks, weights = _features(left, 4), torch.randn(6, 2 * ours.path_count)
        edges = SphericalHarmonics(3)(torch.randn(6, 3))
        hood = Neighborhood.of(self.pairs, 4)
        found = ours(blocks, hood.pad(edges), hood.pad(weights), hood)
        single = theirs(flatten(blocks)[self.pairs[1]], edges, weights)
        expected = torch.zeros(4, single.shape[1]).index_add(0, self.pairs[0], single)
        torch.testing.assert_close(flatten(found), expected)

    def test_zero_pairs(self):
        product = NeighborTensorProduct(Irreps.parse("2x0e"), Irreps.spherical(1), Irreps.spherical(1))
        hood = Neighborhood.of(torch.zeros((2, 0), dtype=torch.int64), 3)
        edges = torch.zeros(0, 4, requires_grad=True)
        found = product(
            _features(Irreps.parse("2x0e"), 3), hood.pad(edges), torch.zeros(0, 2 * product.path_count), hood
        )
        assert [tuple(b.shape) for b in found] == [(3, 1, 2), (3, 3, 2)]
        assert all(float(b.detach().abs().max()) == 0.0 for b in found)
        sum(b.sum() for b in found).backward()

    def test_layout(self):
        hood = Neighborhood.of(self.pairs, 5)
        assert hood.width == 3
        padded = hood.pad(torch.arange(1.0, 7.0))
        assert padded.tolist() == [1, 2, 3, 0, 0, 0, 4, 5, 0, 6, 0, 0, 0, 0, 0]
        assert hood.sum(padded).tolist() == [6.0, 0.0, 9.0, 6.0, 0.0]
        assert hood.neighbors[:3].tolist() == [1, 2, 3]

    def test_rows_and_the_plain_list_give_the_same(self):
        rows, plain = Neighborhood.of(self.pairs, 5), PairList(self.pairs, 5)
        values, left, right = torch.randn(6, 2), torch.randn(6, 3, 4), torch.randn(6, 3, 2)
        torch.testing.assert_close(rows.sum(rows.pad(values)), plain.sum(plain.pad(values)))
        a = rows.contract(rows.pad(left), rows.pad(right))
        torch.testing.assert_close(a, plain.contract(plain.pad(left), plain.pad(right)))
        assert torch.equal(rows.of_centers(torch.arange(5.0))[rows.slot], plain.of_centers(torch.arange(5.0)))


class TestSymmetricContraction:
    @pytest.mark.parametrize("basis", ["reduced", "full"])
    @pytest.mark.parametrize("correlation", [1, 2, 3, 4])
    def test_rotation_and_inversion(self, basis, correlation):
        irreps, out = Irreps.spherical(2, 2), Irreps.parse("2x0e+2x1o+2x2e")
        layer = SymmetricContraction(irreps, out, correlation, 2, basis)
        blocks, element = _features(irreps, 3), torch.tensor([0, 1, 1])
        made = layer(blocks, element)
        wigner = _wigner(2, _rotation(3))
        turned = layer(_rotated(blocks, irreps, wigner), element)
        for a, b in zip(turned, _rotated(made, out, wigner), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        mirrored = layer([b * (-1) ** l for l, b in enumerate(blocks)], element)
        for l, (a, b) in enumerate(zip(mirrored, made, strict=True)):
            torch.testing.assert_close(a, b * (-1) ** l, rtol=1e-10, atol=1e-10)
            assert float(b.detach().abs().max()) > 1e-3

    def test_equal_to_the_tensor_form(self):
        """Σ w U A A A, written out."""
        irreps, out = Irreps.spherical(2, 3), Irreps.parse("3x1o")
        layer = SymmetricContraction(irreps, out, 3, 2, "full")
        tensors = {n: torch.randn(3, *[9] * n, layer.paths[0][n - 1]) for n in (1, 2, 3)}
        for n, tensor in tensors.items():
            # any tensor will do for this test, once cut to what the irrep allows
            values, _ = from_tensor(tensor.numpy(), layer.monomials[0][n - 1])
            kept = torch.zeros_like(tensor)
            for row, monomial in enumerate(layer.monomials[0][n - 1]):
                kept[(slice(None), *monomial)] = torch.as_tensor(values[:, :, row]).T
            tensors[n] = kept
            layer.set_coupling(0, n, kept.numpy())
        blocks, element = _features(irreps, 4), torch.tensor([0, 1, 0, 1])
        x = torch.cat(blocks, dim=1)
        weights = layer.weights[0][element].split(layer.paths[0], dim=1)
        expected = (
            torch.einsum("mip,apc,aic->amc", tensors[1], weights[0], x)
            + torch.einsum("mijp,apc,aic,ajc->amc", tensors[2], weights[1], x, x)
            + torch.einsum("mijkp,apc,aic,ajc,akc->amc", tensors[3], weights[2], x, x, x)
        )
        torch.testing.assert_close(layer(blocks, element)[0], expected)

    def test_shared_weights_and_gradients(self):
        irreps = Irreps.spherical(1, 2)
        layer = SymmetricContraction(irreps, irreps, 3, 1)
        blocks = [b.requires_grad_() for b in _features(irreps, 2)]
        element = torch.tensor([0, 5])  # with shared weights the element does not matter
        assert torch.autograd.gradcheck(lambda a, b: tuple(layer([a, b], element)), blocks)
        assert torch.autograd.gradgradcheck(lambda a, b: tuple(layer([a, b], element)), blocks)

    def test_wrong_tensors_are_refused(self):
        layer = SymmetricContraction(Irreps.spherical(1, 2), Irreps.parse("2x0e"), 2, 1)
        with pytest.raises(CheckpointError, match="paths"):
            layer.set_coupling(0, 2, np.zeros((1, 4, 4, 9)))
        with pytest.raises(CheckpointError, match="not equivariant"):
            layer.set_coupling(0, 2, np.ones((1, 4, 4, 2)))


class TestNormalized:
    def test_factors_keep_the_second_moment(self):
        points, weights = np.polynomial.hermite_e.hermegauss(80)
        weights = weights / weights.sum()
        logistic = 1 / (1 + np.exp(-points))
        for factor, values in ((SILU_FACTOR, points * logistic), (LOGISTIC_FACTOR, logistic)):
            assert factor**2 * (weights * values**2).sum() == pytest.approx(1.0, abs=4e-3)

    def test_network_keeps_the_size(self):
        torch.manual_seed(1)
        values = NormalizedMLP((64, 256, 256, 1000))(torch.randn(200, 64))
        assert float(values.detach().std()) == pytest.approx(1.0, abs=0.1)

    def test_gate_is_equivariant(self):
        gate = Gate(Irreps.parse("4x0e+3x1o+2x2e"))
        assert str(gate.irreps_in) == "9x0e+3x1o+2x2e"
        blocks, wigner = _features(gate.irreps_in, 5), _wigner(2, _rotation(1))
        turned = gate(_rotated(blocks, gate.irreps_in, wigner))
        for a, b in zip(turned, _rotated(gate(blocks), gate.irreps_out, wigner), strict=True):
            torch.testing.assert_close(a, b)

    def test_other_networks(self):
        assert LayerNormMLP((3, 8, 8, 2))(torch.randn(4, 3)).shape == (4, 2)
        assert DeepReadout(3, 8)(torch.randn(4, 3)).shape == (4, 1)
