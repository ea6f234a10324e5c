"""The cutoff functions against closed values, and their smoothness at both radii."""

import math

import pytest
import torch

from adiabat.nn.inner_cutoffs import KINDS, InnerCutoff

# value half way between inner radius and cutoff
HALF = {
    "cosine": 0.5,
    "tanh3": math.tanh(0.5) ** 3,
    "tanh3-normalized": (math.tanh(0.5) / math.tanh(1.0)) ** 3,
    "exponential": math.exp(1 - 1 / 0.75),
    "poly1": 0.5,
    "poly2": 0.5,
    "poly3": 0.5,
    "poly4": 0.5,
}


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "hard"])
def test_values_and_edges(kind):
    cut = InnerCutoff(kind, 5.0)
    r = torch.tensor([0.0, 2.5, 5.0 - 1e-7, 5.0, 7.0], requires_grad=True)
    values = cut(r)
    assert values[1].item() == pytest.approx(HALF[kind], abs=1e-14)
    assert values[2:].abs().max() < 1e-6
    assert values[3:].abs().max() == 0.0
    (slope,) = torch.autograd.grad(values.sum(), r)
    assert slope[2:].abs().max() < 1e-6
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("kind", ["cosine", "exponential", "poly1", "poly4"])
def test_inner_radius(kind):
    cut = InnerCutoff(kind, 5.0, inner=0.4)
    r = torch.tensor([0.5, 1.999, 3.5], requires_grad=True)
    values = cut(r)
    assert values[:2].tolist() == [1.0, 1.0]
    assert values[2].item() == pytest.approx(HALF[kind])
    (slope,) = torch.autograd.grad(values.sum(), r)
    assert slope[:2].tolist() == [0.0, 0.0]


def test_hard_jumps():
    assert InnerCutoff("hard", 5.0)(torch.tensor([4.999, 5.0])).tolist() == [1.0, 0.0]
