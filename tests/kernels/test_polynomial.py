"""The compiled polynomial against torch and against the module that it stands for."""

import copy

import pytest
import torch

from adiabat.errors import ConfigError, InputError
from adiabat.kernels.build import available
from adiabat.kernels.polynomial import Polynomial, _children
from adiabat.nn.couplings import Basis
from adiabat.nn.irreps import Irreps
from adiabat.nn.symmetric_contraction import SymmetricContraction

REASON = available("polynomial")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")


def _pair(irreps_in, irreps_out, correlation, elements, basis: Basis = "reduced", dtype=torch.float64):
    module = SymmetricContraction(Irreps.parse(irreps_in), Irreps.parse(irreps_out), correlation, elements, basis)
    module = module.to(dtype).requires_grad_(False)
    frozen = copy.deepcopy(module)
    frozen.freeze()
    return module, frozen


def _polynomial(module) -> Polynomial:
    assert module.polynomial is not None
    return module.polynomial


def _inputs(module, atoms, elements, dtype=torch.float64):
    torch.manual_seed(1)
    features = [
        torch.randn(atoms, ir.dim, m, dtype=torch.float64).to(dtype).requires_grad_() for m, ir in module.irreps_in
    ]
    return features, torch.randint(elements, (atoms,))


def _results(module, features, element):
    made = module(features, element)
    torch.manual_seed(2)
    weights = [torch.randn(y.shape, dtype=torch.float64).to(y) for y in made]
    return [*made, *torch.autograd.grad(made, features, weights)]


def _compare(module, frozen, features, element, tolerance=1e-12):
    for a, b in zip(_results(frozen, features, element), _results(module, features, element), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert float((a - b).detach().abs().max()) <= tolerance * float(b.detach().abs().max())


class TestFrozenContraction:
    @pytest.mark.parametrize("basis", ["reduced", "full"])
    @pytest.mark.parametrize("correlation", [1, 2, 3])
    @pytest.mark.parametrize("elements", [1, 3])
    def test_natural_parity(self, basis, correlation, elements):
        module, frozen = _pair("5x0e+5x1o+5x2e+5x3o", "5x0e+5x1o+5x2e", correlation, elements, basis)
        _compare(module, frozen, *_inputs(module, 13, elements))

    @pytest.mark.parametrize("basis", ["reduced", "full"])
    def test_both_parities(self, basis):
        module, frozen = _pair("4x0e+4x0o+4x1o+4x1e", "4x0e+4x0o+4x1o+4x1e", 3, 2, basis)
        _compare(module, frozen, *_inputs(module, 9, 2))

    @pytest.mark.parametrize("correlation", [4, 5])
    def test_more_factors(self, correlation):
        module, frozen = _pair("6x0e+6x1o+6x2e" if correlation == 4 else "6x0e+6x1o", "6x0e+6x1o", correlation, 2)
        _compare(module, frozen, *_inputs(module, 7, 2))

    def test_shared_weights_ignore_the_element(self):
        module, frozen = _pair("8x0e+8x1o", "8x0e", 3, 1)
        _compare(module, frozen, *_inputs(module, 9, 5))

    @pytest.mark.parametrize("channels", [1, 5, 8, 16, 20, 33])
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
    def test_channels(self, channels, dtype, tolerance):
        n = channels
        module, frozen = _pair(f"{n}x0e+{n}x1o+{n}x2e", f"{n}x0e+{n}x1o", 3, 2, dtype=dtype)
        _compare(module, frozen, *_inputs(module, 11, 2, dtype), tolerance)

    @pytest.mark.parametrize("atoms", [1, 2, 3, 4, 64, 71, 131])
    def test_atoms(self, atoms):
        module, frozen = _pair("3x0e+3x1o", "3x0e+3x1o", 3, 1)
        _compare(module, frozen, *_inputs(module, atoms, 1))

    def test_no_atoms(self):
        module, frozen = _pair("3x0e+3x1o", "3x0e+3x1o", 3, 2)
        found, expected = (_results(m, *_inputs(m, 0, 2)) for m in (frozen, module))
        assert [y.shape for y in found] == [y.shape for y in expected] == 2 * [(0, 1, 3), (0, 3, 3)]

    def test_elements_without_atoms(self):
        module, frozen = _pair("17x0e+17x1o", "17x0e+17x1o", 3, 5)
        features, _ = _inputs(module, 10, 5)
        _compare(module, frozen, features, torch.tensor([3, 1, 3, 3, 1, 1, 1, 3, 1, 3]))

    def test_what_cannot_be_coupled_is_zero(self):
        module, frozen = _pair("3x0e", "3x0e+3x1o", 2, 1)
        features, element = _inputs(module, 4, 1)
        _compare(module, frozen, features, element, tolerance=1e-12)
        assert not frozen(features, element)[1].any()

    def test_follows_the_type_without_loss(self):
        module, frozen = _pair("4x0e+4x1o+4x2e", "4x0e+4x1o", 3, 2, dtype=torch.float32)
        module, frozen = module.double(), frozen.double()
        assert _polynomial(frozen).dtype == torch.float64
        _compare(module, frozen, *_inputs(module, 5, 2))

    def test_another_program_s_couplings(self):
        module, frozen = _pair("4x0e+4x1o+4x2e", "4x0e+4x1o", 2, 2)
        before = _polynomial(frozen).unpacked().clone()
        module.set_constant("coupling0_2", 2 * module._exact["coupling0_2"])
        frozen = copy.deepcopy(module)
        frozen.freeze()
        assert not torch.equal(_polynomial(frozen).unpacked(), before)
        _compare(module, frozen, *_inputs(module, 5, 2))

    def test_strided_features_and_gradients(self):
        module, frozen = _pair("6x0e+6x1o", "6x0e", 3, 1)
        features, element = _inputs(module, 6, 1)
        turned = [x.detach().transpose(0, 2).contiguous().transpose(0, 2).requires_grad_() for x in features]
        for a, b in zip(_results(frozen, turned, element), _results(frozen, features, element), strict=True):
            assert torch.equal(a, b)
        (a,) = torch.autograd.grad(frozen(features, element)[0].sum(), features[1])  # an expanded gradient
        (b,) = torch.autograd.grad(module(features, element)[0].sum(), features[1])
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


class TestPolynomial:
    def test_by_hand(self):
        """B_0 = 2 x² y + 3 x − y³ z, B_1 = 5 z, with another set of three times that."""
        terms = [(0, (0, 0, 1), 2.0), (0, (0,), 3.0), (0, (1, 1, 1, 2), -1.0), (1, (2,), 5.0)]
        rows, monomials, values = zip(*terms, strict=True)
        coefficients = torch.tensor([[1.0], [3.0]])[:, None] * torch.tensor(values)[None, :, None]
        polynomial = Polynomial.of(rows, monomials, coefficients.double(), 3, 2, torch.float64)
        point = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64, requires_grad=True)
        features = torch.stack([point, point])[..., None]
        made = polynomial(features, torch.tensor([1, 0]))[..., 0]
        first = 2 * 4 * 3 + 3 * 2 - 27 * 5
        assert made.tolist() == [[3 * first, 75.0], [first, 25.0]]
        (gradient,) = torch.autograd.grad(made[1, 0], point)
        assert gradient.tolist() == [4 * 2 * 3 + 3, 2 * 4 - 3 * 9 * 5, -27.0]

    def test_equals_the_reference(self):
        _, frozen = _pair("20x0e+20x1o+20x2e", "20x0e+20x1o", 3, 3)
        features, element = _inputs(frozen, 10, 3)
        joined = torch.cat(features, dim=1)
        made, expected = (f(joined, element) for f in (_polynomial(frozen), _polynomial(frozen).reference))
        torch.testing.assert_close(made, expected, rtol=1e-12, atol=1e-12)
        weights = torch.randn_like(made)
        found, wanted = (torch.autograd.grad(y, features, weights, retain_graph=True) for y in (made, expected))
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)

    def test_gradcheck(self):
        _, frozen = _pair("3x0e+3x1o+3x2e", "3x0e+3x1o", 3, 2)
        features, element = _inputs(frozen, 5, 2)
        joined = torch.cat(features, dim=1)
        assert torch.autograd.gradcheck(lambda x: _polynomial(frozen)(x, element), (joined,))

    def test_threads_do_not_change_a_bit(self):
        _, frozen = _pair("24x0e+24x1o", "24x0e+24x1o", 3, 3)
        features, element = _inputs(frozen, 150, 3)
        before = torch.get_num_threads()
        found = []
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(_results(frozen, features, element))
        finally:
            torch.set_num_threads(before)
        for a, b in zip(*found, strict=True):
            assert torch.equal(a, b)

    def test_a_copy_has_its_own_coefficients(self):
        _, frozen = _pair("3x0e+3x1o", "3x0e", 2, 1)
        other = copy.deepcopy(frozen)
        _polynomial(other).coefficients.zero_()
        assert _polynomial(frozen).coefficients.any()

    def test_needs_few_multiplications(self):
        """The tree has one node for each term and few others."""
        _, frozen = _pair("1x0e+1x1o+1x2e+1x3o", "1x0e+1x1o", 3, 1)
        polynomial = _polynomial(frozen)
        assert polynomial.terms == 94 + 316
        inner = 0
        for row in range(polynomial.rows):
            own = [m for m, place in zip(polynomial.monomials, polynomial.places, strict=True) if place == row]
            inner += len(_children(own)) - 1
        assert inner <= polynomial.terms / 2

    def test_another_type(self):
        _, frozen = _pair("3x0e+3x1o", "3x0e", 2, 2)
        with pytest.raises(ConfigError, match="float32, float64"):
            frozen(*_inputs(frozen, 3, 2, torch.float32))

    def test_element_without_coefficients(self):
        _, frozen = _pair("3x0e+3x1o", "3x0e", 2, 2)
        features, _ = _inputs(frozen, 3, 2)
        for wrong in (-1, 2):
            with pytest.raises(InputError, match="2 sets"):
                frozen(features, torch.tensor([0, wrong, 1]))
