"""Embedded atom densities: their identity with angles, their cost, their slopes, and models above them."""

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre
from small_models import ELEMENTS, several_graphs, structure
from torch.overrides import TorchFunctionMode

from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.ead import EADConfig
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.embedded_density import NAME
from adiabat.kernels.pairs import PairIndex

needs_kernel = pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")


def _ead(elements=ELEMENTS, **options):
    return EADConfig.parse({"cutoff": 3.0, "waves": 3} | options).build(elements)


def _local(regressor, **options):
    descriptor = {"kind": "ead", "cutoff": 3.0, "waves": 3} | options
    return Local(LocalConfig.parse({"descriptor": descriptor, "regressor": regressor}), ELEMENTS)


def _orbitals(descriptor, graph):
    """c φ of each pair, without its angular part `[pairs, waves]`."""
    density, r = descriptor.density, graph.vectors().norm(dim=1)
    kind = graph.of_neighbors(descriptor.element[graph.system.numbers])
    return density.gaussians(r, kind) * density.envelope(r)[:, None] * density.coefficients[kind]


def test_densities_are_sums_of_legendre_polynomials():
    """Σ_jk φ_j φ_k (r_j r_k)^l cos^l of the angle between them, the power written in Legendre polynomials."""
    descriptor = _ead(l_max=4)
    for graph in several_graphs():
        found, own, vectors = descriptor(graph), _orbitals(descriptor, graph).numpy(), graph.vectors().numpy()
        for atom in range(graph.system.atoms):
            near = graph.centers.numpy() == atom
            r = np.linalg.norm(vectors[near], axis=1)
            cosines = np.clip(vectors[near] @ vectors[near].T / (r[:, None] * r), -1.0, 1.0)
            for l in range(5):
                angular = legendre.legval(cosines, legendre.poly2leg([0.0] * l + [1.0]))
                radial = own[near] * r[:, None] ** l
                expected = np.einsum("jn,kn,jk->n", radial, radial, angular)
                rows = found[atom].view(5, -1)[l].numpy()
                assert np.allclose(rows, expected, rtol=1e-10, atol=1e-10 * max(found.abs().max().item(), 1.0))


class _Numbers(TorchFunctionMode):
    """Counts the numbers that are computed."""

    count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.count += made.numel() if isinstance(made, torch.Tensor) else 0
        return made


def test_cost_is_linear_in_neighbors():
    descriptor, counted = _ead([8], l_max=2, waves=8), []
    for count in (20, 40, 80):
        height = np.linspace(-0.9, 0.9, count)  # on a sphere around the first atom
        around = np.stack((np.cos(2.4 * np.arange(count)), np.sin(2.4 * np.arange(count))), axis=1)
        ends = 2.0 * np.hstack((around * np.sqrt(1.0 - height**2)[:, None], height[:, None]))
        graph = Graph.build(System.from_arrays(np.vstack([np.zeros(3), ends]), [8] * (count + 1)), 3.0)
        graph = graph.replace(pairs=graph.pairs[:, graph.centers == 0], shifts=graph.shifts[graph.centers == 0])
        with _Numbers() as made:
            descriptor(graph.replace(layout=PairIndex.of_graph(graph)))
        counted.append(made.count)
    assert counted[2] - counted[1] == 2 * (counted[1] - counted[0])


@pytest.mark.parametrize("options", [{"l_max": 3}, {"mixes": 1, "exponent": 2.0}, {"train": True, "l_max": 0}])
def test_slopes_in_closed_form(options):
    descriptor = _ead(**options)
    for graph in several_graphs():
        for found, wanted in zip(descriptor.jacobian(graph), Descriptor.jacobian(descriptor, graph), strict=True):
            scale = float(wanted.abs().max()) if wanted.numel() else 0.0
            torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-13 * max(scale, 1.0))


def test_slopes_are_differences():
    descriptor, graph = _ead(l_max=2), several_graphs()[1]
    _, slopes = descriptor.jacobian(graph)
    vectors, direction = graph.vectors(), torch.randn(graph.vectors().shape, generator=torch.manual_seed(1))
    step = 1e-5
    ahead, behind = (descriptor.from_vectors(vectors + s * step * direction, graph) for s in (1, -1))
    wanted = torch.zeros_like(ahead).index_add(0, graph.centers, (slopes * direction[:, None]).sum(dim=2))
    torch.testing.assert_close(
        (ahead - behind) / (2 * step), wanted, rtol=1e-7, atol=1e-8 * float(wanted.abs().max())
    )


def test_invariant_and_smooth_at_the_cutoff():
    descriptor, system = _ead(l_max=3), structure(9, 5.0, pbc=False)
    values = descriptor(Graph.build(system, 3.0))
    turn, order = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(2)))[0], torch.randperm(9)
    moved = System.from_arrays((system.positions @ turn.T + 3.0)[order].numpy(), system.numbers[order].numpy())
    torch.testing.assert_close(descriptor(Graph.build(moved, 3.0)), values[order], rtol=1e-10, atol=1e-12)
    ends = []
    for distance in (3.0 - 1e-4, 3.0 + 1e-4):
        pair = Graph.build(System.from_arrays([[0, 0, 0], [0, 0, distance]], [1, 8]), 3.5)
        assert pair.pairs.shape[1] == 2
        ends.append(descriptor.jacobian(pair))
    assert max(float(t.abs().max()) for t in ends[0]) < 1e-13
    assert not any(t.any() for t in ends[1])


def test_elements_are_told_apart_without_training():
    positions = [[0, 0, 0], [1.2, 0, 0], [0, 1.2, 0.3]]
    rows = [_ead([1, 6, 8])(Graph.build(System.from_arrays(positions, [8, *z]), 3.0))[0] for z in ([1, 6], [6, 1])]
    assert (rows[0] - rows[1]).abs().max() > 1e-3 * rows[0].abs().max()
    with pytest.raises(ConfigError, match="mixes is 3, and there are 2 elements"):
        _ead(mixes=3)


@needs_kernel
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("waves", [3, 17])
def test_kernel_equals_its_reference(waves, dtype, tolerance):
    descriptor = _ead(waves=waves, l_max=3, mixes=1).to(dtype)
    descriptor.freeze()
    kernel, _ = descriptor.density.kernels
    for graph in several_graphs():
        vectors = graph.vectors().to(dtype).requires_grad_()
        kinds, pairs = descriptor.element[graph.system.numbers], PairIndex.of_graph(graph)
        torch.manual_seed(0)
        own = torch.randn(len(kinds), waves, dtype=torch.float64).to(dtype).requires_grad_()
        results = []
        for function in (kernel, kernel.reference):
            sums = function(vectors, own, kinds, pairs)
            weights = torch.linspace(-1.0, 2.0, sums.numel(), dtype=dtype).view_as(sums)
            results.append([sums, *torch.autograd.grad((sums * weights).sum(), (vectors, own))])
        for made, wanted in zip(*results, strict=True):
            scale = float(wanted.detach().abs().max()) if wanted.numel() else 0.0
            torch.testing.assert_close(made, wanted, rtol=0.0, atol=tolerance * max(scale, 1.0))


@needs_kernel
@pytest.mark.parametrize("regressor", ["linear", "network"])
def test_frozen_equals_the_model(regressor):
    torch.manual_seed(3)
    model = _local({"kind": regressor}, l_max=3)
    model.adapt(several_graphs()[:2])
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter)
    frozen = model.frozen()
    for graph in several_graphs():
        exact, found = evaluate(model, graph), evaluate(frozen, frozen.prepare(graph))
        torch.testing.assert_close(found.energy, exact.energy, rtol=1e-6, atol=1e-6)
        scale = max(1.0, float(exact.forces.abs().max()))
        torch.testing.assert_close(found.forces, exact.forces, rtol=0, atol=1e-5 * scale)


def _labeled(teacher, count):
    frames = []
    for seed in range(count):
        system = structure(6, 4.0, seed)
        found = evaluate(teacher, Graph.build(system, 3.0))
        frames.append(Frame(system, {"energy": found.energy[0].detach(), "forces": found.forces.detach()}))
    return MemoryDataset(frames)


def test_linear_fit_finds_the_weights():
    torch.manual_seed(4)
    teacher, model = _local({"kind": "linear"}), _local({"kind": "linear"})
    torch.nn.init.normal_(teacher.head.weights)
    assert (model.fitter, Local.fitter_for(model.config), model.precompute) == ("linear", "linear", True)
    frames = _labeled(teacher, 12)
    LinearFitter(model, frames, frames, LinearConfig()).fit()
    for k in range(3):
        graph = Graph.build(structure(7, 4.0, 50 + k), 3.0)
        torch.testing.assert_close(
            evaluate(model, graph).forces, evaluate(teacher, graph).forces, rtol=1e-4, atol=1e-5
        )


def test_trained_orbitals_are_fitted_by_gradient():
    torch.manual_seed(5)
    for kind in ("linear", "network"):
        regressor = {"kind": kind} | ({"hidden": [6]} if kind == "network" else {})
        model = _local(regressor, train=True)
        assert (model.fitter, Local.fitter_for(model.config), model.precompute) == ("gradient", "gradient", False)
        before = {name: p.detach().clone() for name, p in model.descriptor.named_parameters()}
        teacher = _local({"kind": "linear"})
        torch.nn.init.normal_(teacher.head.weights)
        frames = _labeled(teacher, 4)
        model.adapt([Graph.build(frames[0].system, 3.0)])
        config = GradientConfig.parse({"epochs": 4, "batch_size": 2})
        result = GradientFitter(model, frames, frames, config).fit()
        assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
        assert set(before) == {"density.coefficients", "density.exponents", "density.centers"}
        for name, parameter in model.descriptor.named_parameters():
            assert not torch.equal(parameter.detach(), before[name]), name
    with pytest.raises(CapabilityError, match="fit them by gradient"):
        model.descriptor.tangents(several_graphs()[0], torch.zeros(2, 18))
