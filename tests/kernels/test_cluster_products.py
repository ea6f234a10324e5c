"""Cluster expansion in C++ beside torch: energies, forces, features and slopes."""

import numpy as np
import pytest
import torch

from adiabat.architectures.local.ace import ACE, ACEConfig
from adiabat.descriptors.base import Descriptor
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.cluster_products import NAME

pytestmark = pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")

BONDS = {
    "exponential": {"count": 4, "width": 0.8},
    "powers": {"basis": "ChebPow", "decay": 2.5, "count": 3, "inner": (1.6, 0.6), "core": (5.0, 1.0)},
    "linear": {"basis": "ChebLinear", "count": 3},
    "bessel": {"basis": "SBessel", "count": 4, "inner": (1.2, 0.4)},
}


def _model(bond, parameters=(1.0, 1.0), kind="FinnisSinclairShiftedScaled", trained=False):
    descriptor = {"cutoff": 4.0, "n_max": (3, 2, 1, 1), "l_max": (0, 3, 2, 1), "bond": bond, "train_radial": trained}
    descriptor |= {"bonds": {"H-O": {"count": 2, "cutoff": 3.0, "basis": "ChebPow", "decay": 2.0}}}
    embedding = {"parameters": parameters, "kind": kind}
    torch.manual_seed(0)
    model = ACE(ACEConfig.parse({"descriptor": descriptor, "embedding": embedding}), [1, 8])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def _graph():
    random = np.random.default_rng(1)
    systems = [
        System.from_arrays(random.random((n, 3)) * length, random.choice([1, 8], n), np.eye(3) * length, True)
        for n, length in ((21, 7.0), (1, 3.0), (2, 3.0))
    ]
    alone = System.from_arrays([[0.0, 0.0, 0.0]], [8])
    return Graph.build(System.batch([*systems, alone]), 4.0)


@pytest.mark.parametrize("bond", BONDS)
@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ((1.0, 1.0), "FinnisSinclair"),
        ((1.0, 1.0, 0.7, 0.5), "FinnisSinclairShiftedScaled"),
        ((0.5, 2.0, 0.7, 0.5), "FinnisSinclair"),
    ],
)
def test_frozen_equals_torch(bond, parameters, kind):
    model, graph = _model(BONDS[bond], parameters, kind, trained=bond == "powers"), _graph()
    found, wanted = (evaluate(m, graph, ("energy", "forces", "stress")) for m in (model.frozen(), model))
    for name in ("energy", "atomic_energies", "forces", "stress"):
        torch.testing.assert_close(
            getattr(found, name), getattr(wanted, name), rtol=1e-10, atol=1e-10, equal_nan=True
        )
    assert wanted.forces is not None
    assert wanted.forces.abs().max() > 0.1


@pytest.mark.parametrize("bond", BONDS)
def test_features_and_slopes_equal_torch(bond):
    model, graph = _model(BONDS[bond], trained=True), _graph()
    for _ in range(2):  # the second time with other radial functions
        values, slopes = model.descriptor.jacobian(graph)
        wanted, reference = Descriptor.jacobian(model.descriptor, graph)
        torch.testing.assert_close(values, wanted, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(slopes, reference, rtol=1e-10, atol=1e-10)
        torch.nn.init.normal_(model.descriptor.coefficients)


def test_single_precision():
    model, graph = _model(BONDS["exponential"], (1.0, 1.0, 0.7, 0.5)), _graph()
    found = evaluate(model.float().frozen(), graph.to(dtype=torch.float32), ("energy", "forces"))
    wanted = evaluate(model.double(), graph, ("energy", "forces"))
    assert found.forces is not None
    torch.testing.assert_close(found.forces.double(), wanted.forces, rtol=1e-3, atol=1e-4)
