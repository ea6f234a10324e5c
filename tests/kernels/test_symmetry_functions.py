"""Symmetry functions in C++ against the descriptor in torch."""

import pytest
import torch

from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.symmetry_functions import Recipe, SymmetryFunction
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.pairs import PairIndex
from adiabat.nn.inner_cutoffs import KINDS, CutoffKind

REASON = available("symmetry_functions")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")

RECIPE = Recipe(zetas=(1.0, 2.0, 7.0, 16.0), shifted=2)


def _function(kind, center, neighbors, cutoff, **values):
    return SymmetryFunction(kind=kind, center=center, neighbors=neighbors, cutoff=cutoff, **values)


# different numbers, kinds, cutoffs and powers for the two elements
MIXED = [
    _function("G2", "H", ("O",), 4.0, eta=0.4, shift=1.1),
    _function("G5", "H", ("O", "H"), 3.5, eta=0.1, zeta=2.5, sign=-1),
    _function("G4", "H", ("O", "O"), 4.0, eta=0.1, zeta=3, shift=0.5),
    _function("G4", "H", ("O", "O"), 4.0, eta=0.1, zeta=9, shift=0.5, sign=-1),
    _function("G5", "H", ("O", "O"), 4.0, eta=0.3, zeta=1, shift=0.5),
    _function("G2", "H", ("H",), 3.0, eta=0.0),
    _function("G4", "O", ("H", "H"), 4.0, eta=0.2, zeta=4),
    _function("G4", "O", ("O", "H"), 3.0, eta=0.2, zeta=1.5),
]
FUNCTIONS = {
    "mixed": MIXED,
    "recipe": RECIPE.functions([1, 8], 4.0),
    "without the third side": RECIPE.model_copy(update={"triplets": "G5"}).functions([1, 8], 4.0),
    "pairs alone": [_function("G2", one, (one,), 4.0, eta=1.0) for one in "HO"],
}


def _system(atoms=24, seed=0):
    """Elements in no order, neighbors up to their own images."""
    generator = torch.Generator().manual_seed(seed)
    cell = torch.diag(torch.tensor([5.1, 5.4, 3.6], dtype=torch.float64))
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(3), torch.arange(2))[:atoms] + 0.5
    noise = 0.2 * torch.rand((atoms, 3), generator=generator, dtype=torch.float64)
    positions = (grid / torch.tensor([4.0, 3.0, 2.0])) @ cell + noise
    numbers = torch.tensor([1, 8])[torch.randint(2, (atoms,), generator=generator)]
    return System.from_arrays(positions.numpy(), numbers.tolist(), cell=cell.numpy(), pbc=True)


def _problem(functions, form: CutoffKind = "cosine", inner=0.0, system=None, dtype=torch.float64):
    descriptor = ACSF(functions, [1, 8], form, inner)
    graph = Graph.build(_system() if system is None else system, descriptor.cutoff + 0.5).to(dtype=dtype)
    return descriptor, graph, PairIndex.of(graph.pairs, graph.system.atoms)


def _results(descriptor, graph, pairs, compiled):
    """Values, and slopes by positions of values times random weights."""
    positions = graph.system.positions.clone().requires_grad_()
    moved = graph.replace(system=graph.system.replace(positions=positions))
    if compiled:
        kernel = descriptor.kernel().to(positions.dtype)
        values = kernel(moved.vectors(), descriptor.element[graph.system.numbers], pairs)
    else:
        values = descriptor(moved)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (slopes,) = torch.autograd.grad((values * weights.to(values.dtype)).sum(), positions)
    return values.detach(), slopes


def _compare(descriptor, graph, pairs, tolerances):
    for found, wanted, tolerance in zip(
        _results(descriptor, graph, pairs, True), _results(descriptor, graph, pairs, False), tolerances, strict=True
    ):
        assert found.dtype == wanted.dtype
        scale = float(wanted.abs().max()) if wanted.numel() else 0.0
        torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("inner", [0.0, 0.3])
@pytest.mark.parametrize("form", KINDS)
def test_equals_the_descriptor(form, inner, name):
    _compare(*_problem(FUNCTIONS[name], form, inner), (1e-12, 1e-10))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_single_precision(name):
    _compare(*_problem(FUNCTIONS[name], dtype=torch.float32), (1e-5, 1e-5))


@pytest.mark.parametrize("atoms", [1, 2, 3, 5])
def test_few_atoms(atoms):
    whole = _system()
    some = System.from_arrays(whole.positions[:atoms].numpy(), whole.numbers[:atoms].tolist())
    _compare(*_problem(MIXED, system=some), (1e-12, 1e-10))


def test_atoms_that_are_alone():
    far = System.from_arrays([[0, 0, 0], [0, 0, 20.0]], [1, 8])
    descriptor, graph, pairs = _problem(MIXED, system=System.batch([far, _system(), far]))
    values, _ = _results(descriptor, graph, pairs, True)
    assert values[:2].abs().max() == 0.0
    assert values[2:-2].abs().amax(dim=1).min() > 0.0
    _compare(descriptor, graph, pairs, (1e-12, 1e-10))


def test_no_pairs():
    descriptor, graph, pairs = _problem(MIXED, system=System.from_arrays([[0, 0, 0], [0, 0, 20.0]], [1, 8]))
    values, slopes = _results(descriptor, graph, pairs, True)
    assert values.shape == (2, descriptor.size)
    assert values.abs().max() == 0.0
    assert slopes.abs().max() == 0.0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobian(name):
    descriptor, graph, pairs = _problem(FUNCTIONS[name], "poly2")
    shift, factor = torch.rand(2, 2, descriptor.size, dtype=torch.float64)
    kernel, kinds = descriptor.kernel().scaled(shift, factor), descriptor.element[graph.system.numbers]
    vectors = graph.vectors().requires_grad_()
    values, found = kernel(vectors, kinds, pairs), kernel.jacobian(vectors, kinds, pairs)
    expected = (descriptor(graph) - shift[kinds]) * factor[kinds]
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
    weights = torch.randn(values.shape, dtype=torch.float64)
    (along,) = torch.autograd.grad(values, vectors, weights)
    made = torch.einsum("pfc,pf->pc", found, weights[graph.centers])
    torch.testing.assert_close(made, along, rtol=0, atol=1e-12 * float(along.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_do_not_change_a_bit(dtype):
    problem = _problem(FUNCTIONS["recipe"], system=System.batch([_system(seed=k) for k in range(4)]), dtype=dtype)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(_results(*problem, True))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_unknown_elements_are_not_numbers():
    descriptor, graph, pairs = _problem(MIXED)
    kinds = torch.full_like(graph.system.numbers, -1)
    assert descriptor.kernel()(graph.vectors(), kinds, pairs).isnan().all()
