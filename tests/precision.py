"""What every model must keep in single precision."""

import copy

import torch

from adiabat.evaluate import evaluate


def check_single_precision(model, graph, want=("energy", "forces"), atol=1e-5):
    """Energies stay sums in double precision; all else is in single precision and near the model's own values."""
    exact = evaluate(model, graph, want)
    rough = evaluate(copy.deepcopy(model).float(), graph.to(dtype=torch.float32), want)
    assert rough.energy.dtype == torch.float64
    torch.testing.assert_close(rough.energy, exact.energy, rtol=1e-5, atol=1e-5)
    for name in set(want) - {"energy"}:
        found = getattr(rough, name)
        assert found.dtype == torch.float32, name
        torch.testing.assert_close(found.double(), getattr(exact, name), rtol=1e-4, atol=atol)
