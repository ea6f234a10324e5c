"""Kernels of features: scikit-learn's Gaussian processes, and slopes by finite differences."""

import math

import pytest
import torch

from adiabat.fit.reduced import Ridge, Triangle
from adiabat.nn.gaussian_process import GaussianProcessHead, KernelOptions, kernel

FORMS = ["dot_product", "polynomial", "rbf", "matern32", "matern52", "laplacian"]
X = torch.tensor([[math.sin(1.0 + i), math.cos(2.0 * i)] for i in range(8)], dtype=torch.float64)
Y = torch.sin(3.0 * X[:, 0]) + X[:, 1] ** 2
NEW = torch.tensor([[0.3, -0.2], [0.9, 0.5]], dtype=torch.float64)
# GaussianProcessRegressor of scikit-learn 1.9.1 with alpha 0.01: means at NEW, deviations at two points it knows,
# and the logarithm of the evidence at the best size of prior and noise
SCIKIT = {
    "rbf": ([1.0072512918778962, 0.7690362045705239], [0.0918319700543368, 0.09477553982340546], -9.045231332782617),
    "matern32": ([0.8365890855754645, 0.8411423612166975], [0.09652908197926442, 0.09848094445603], -7.8469817858927),
    "matern52": ([0.9201423598130485, 0.8130670849838033], [0.09512158667149209, 0.097827574711484], -8.051282022030),
    "laplacian": (
        [0.6261239678381865, 0.857036482889388],
        [0.09873423900512443, 0.0991774970291],
        -7.973167478306776,
    ),
}


@pytest.mark.parametrize("form", SCIKIT)
def test_scikit_learns_process(form):
    options = KernelOptions(form=form, length=0.7)
    matrix = kernel(options, X, X)[0]
    triangle = Triangle(8)
    triangle.add(matrix, Y)
    ridge = Ridge(triangle, torch.linalg.cholesky(matrix).T)
    solution = ridge.solve(0.01, noise=0.01)
    means, deviations, evidence = (torch.tensor(v, dtype=torch.float64) for v in SCIKIT[form])
    assert torch.allclose(kernel(options, NEW, X)[0] @ solution.weights, means, atol=1e-8)
    assert torch.allclose((matrix @ solution.spread).norm(dim=1)[:2], deviations, atol=1e-8)
    cost = ridge._improbable(0.01)[0]
    assert -0.5 * (cost + 8.0 + 8.0 * math.log(2.0 * math.pi)) == pytest.approx(float(evidence), abs=1e-6)
    assert ridge.improbable() <= cost


@pytest.mark.parametrize("form", FORMS)
def test_slopes_are_derivatives(form):
    head = GaussianProcessHead(1, 2, 8, KernelOptions(form=form, length=0.7, zeta=3.0)).double()
    head.points, head.used = X[None], torch.ones((1, 8), dtype=torch.float64)
    jacobian = torch.eye(2, dtype=torch.float64)[None, :, :].expand(2, 2, 2)
    found = head.slopes(NEW, jacobian, torch.arange(2), 0)
    for axis in (0, 1):
        step = torch.zeros_like(NEW)
        step[:, axis] = 1e-6
        numeric = (head.columns(NEW + step, 0) - head.columns(NEW - step, 0)) / 2e-6
        assert torch.allclose(found[:, :, axis], numeric, atol=1e-8)
