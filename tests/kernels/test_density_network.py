"""Networks on density invariants in C++ against the page of NEP in torch."""

import pytest
import torch

from adiabat.architectures.local.nep import NEP, NEPConfig
from adiabat.descriptors.base import Descriptor
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.density_network import DensityFeatures, DensityNetwork
from adiabat.kernels.pairs import PairIndex

REASON = available("density_network")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")

SMALL = {"cutoff": 4.2, "angular_cutoff": 3.4, "channels": 3, "angular_channels": 2, "basis": 5, "angular_basis": 4}
EVERY = ((2, 2, 2), (1, 1, 2), (1, 2, 3), (2, 3, 3), (1, 3, 4))
CONFIGS = {
    "defaults": NEPConfig(cutoff=4.2, angular_cutoff=3.4),
    "all invariants": NEPConfig(**SMALL, four_body=EVERY, five_body=True, hidden=9),
    "degree 8": NEPConfig(**SMALL | {"angular_channels": 9}, l_max=8, four_body=(), hidden=17),
    "radial alone": NEPConfig(**SMALL | {"channels": 11, "basis": 1}, l_max=0, four_body=()),
    "radii of elements": NEPConfig(**SMALL, l_max=1, four_body=(), element_cutoffs={"H": (3.0, 2.5)}),
    "repulsion": NEPConfig(**SMALL, l_max=2, repulsion=(0.9, 2.2), networks="shared"),
}


def _system(atoms=24, seed=0):
    """Elements in no order, neighbors up to their own images."""
    generator = torch.Generator().manual_seed(seed)
    cell = torch.diag(torch.tensor([5.1, 5.4, 3.6], dtype=torch.float64))
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(3), torch.arange(2))[:atoms] + 0.5
    noise = 0.2 * torch.rand((atoms, 3), generator=generator, dtype=torch.float64)
    positions = (grid / torch.tensor([4.0, 3.0, 2.0])) @ cell + noise
    numbers = torch.tensor([1, 6, 8])[torch.randint(3, (atoms,), generator=generator)]
    return System.from_arrays(positions.numpy(), numbers.tolist(), cell=cell.numpy(), pbc=True)


def _problem(name, system=None, dtype=torch.float64):
    torch.manual_seed(7)
    model = NEP(CONFIGS[name], [1, 6, 8]).to(dtype)
    graph = Graph.build(_system() if system is None else system, model.cutoff + 0.3).to(dtype=dtype)
    return model, graph


def _results(model, graph):
    """Energies of atoms, and slopes by positions of energies times random weights."""
    positions = graph.system.positions.clone().requires_grad_()
    moved = graph.replace(system=graph.system.replace(positions=positions))
    values = model.atomic_energies(moved)
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (slopes,) = torch.autograd.grad((values * weights.to(values.dtype)).sum(), positions)
    return values.detach(), slopes


@pytest.mark.parametrize(("dtype", "room"), [(torch.float64, 1e-12), (torch.float32, 3e-5)])
@pytest.mark.parametrize("name", CONFIGS)
def test_rows(name, dtype, room):
    """Features, their gradient and their Jacobian, with a lonely atom."""
    system = System.batch([_system(8), System.from_arrays([[0, 0, 0]], [6])])
    model, graph = _problem(name, system, dtype)
    descriptor, vectors = model.descriptor, graph.vectors().detach()
    weights = torch.randn((9, descriptor.size), generator=torch.Generator().manual_seed(1)).to(dtype)
    found = []
    for rows in (descriptor.rows(), lambda v, *_: descriptor.from_vectors(v, graph)):
        moved = vectors.clone().requires_grad_()
        values = rows(moved, *descriptor.given(graph)[1:])
        found.append([values.detach(), *torch.autograd.grad((values * weights).sum(), moved)])
    found[0] += descriptor.jacobian(graph)
    found[1] += Descriptor.jacobian(descriptor, graph)
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=room * max(1.0, float(wanted.abs().max())))


def _compare(model, graph, tolerance):
    for found, wanted in zip(_results(model.frozen(), graph), _results(model, graph), strict=True):
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * max(1.0, float(wanted.abs().max())))


@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_page(name):
    _compare(*_problem(name), 1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_single_precision(name):
    _compare(*_problem(name, dtype=torch.float32), 1e-5)


@pytest.mark.parametrize("atoms", [1, 2, 3, 9])
def test_few_atoms(atoms):
    whole = _system()
    some = System.from_arrays(whole.positions[:atoms].numpy(), whole.numbers[:atoms].tolist())
    _compare(*_problem("repulsion", some), 1e-12)


def test_atoms_that_are_alone():
    far = System.from_arrays([[0, 0, 0], [0, 0, 20.0]], [1, 8])
    model, graph = _problem("all invariants", System.batch([far, _system(), far]))
    values, slopes = _results(model.frozen(), graph)
    assert slopes[:2].abs().max() == 0.0
    assert slopes[2:-2].abs().amax(dim=1).min() > 0.0
    assert torch.equal(values[:2], values[-2:])
    _compare(model, graph, 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_do_not_change_a_bit(dtype):
    model, graph = _problem("defaults", System.batch([_system(seed=k) for k in range(3)]), dtype)
    frozen, before, results = model.frozen(), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(_results(frozen, graph))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_two_heads_are_two_networks():
    torch.manual_seed(8)
    graph = Graph.build(_system(), 4.2)
    pairs, kinds = PairIndex.of_graph(graph), torch.randint(2, (24,))
    radii = torch.tensor([4.2, 3.4]).expand(2, 2, 2)
    features = DensityFeatures(radii, torch.randn(2, 2, 3, 4), torch.randn(2, 2, 2, 4), 2, torch.rand(3 + 4))
    inner, bias, last, out = torch.randn(2, 6, 7), torch.randn(2, 6), torch.randn(2, 2, 6), torch.randn(2, 2)
    vectors, weights = graph.vectors().requires_grad_(), torch.randn(24, 2)
    both = DensityNetwork(features, (inner, bias, last, out))(vectors, kinds, pairs)
    (found,) = torch.autograd.grad((both * weights).sum(), vectors)
    slopes = torch.zeros_like(found)
    for head in range(2):
        own = (inner, bias, last[:, head : head + 1], out[:, head : head + 1])
        one = DensityNetwork(features, own)(vectors, kinds, pairs)[:, 0]
        torch.testing.assert_close(one, both[:, head])
        slopes += torch.autograd.grad((one * weights[:, head]).sum(), vectors)[0]
    torch.testing.assert_close(found, slopes)


def test_unknown_elements_are_not_numbers():
    model, graph = _problem("defaults")
    kernel = model.frozen().kernel
    kinds = torch.full_like(graph.system.numbers, -1)
    assert kernel(graph.vectors(), kinds, PairIndex.of_graph(graph)).isnan().all()
