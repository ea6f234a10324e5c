"""Muon: orthogonalized steps for matrices, Adam's for the rest."""

import pytest
import torch

from adiabat.fit.muon import Muon, is_matrix, orthogonalized


@pytest.mark.parametrize("shape", [(6, 6), (4, 11), (11, 4)])
def test_singular_values_are_near_one(shape):
    torch.manual_seed(0)
    matrix = 1e-6 * torch.randn(shape)
    found = orthogonalized(matrix)
    # the iteration is steep at 0 and flat near 1; directions stay
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = left.T @ found @ right.T
    torch.testing.assert_close(aligned, torch.diag(aligned.diagonal()), atol=1e-10, rtol=0)


def test_no_gradient_moves_nothing():
    assert not orthogonalized(torch.zeros(3, 5)).any()
    rows = torch.zeros(4, 5)
    rows[1] = torch.arange(5.0)
    assert not orthogonalized(rows)[[0, 2, 3]].any()


def test_other_parameters_take_the_steps_of_adamw():
    torch.manual_seed(0)
    start, slopes = torch.randn(7), torch.randn(5, 7)
    made = []
    for kind in (Muon, torch.optim.AdamW):
        parameter = torch.nn.Parameter(start.clone())
        optimizer = kind([{"params": [parameter], "weight_decay": 0.1}], lr=0.01, betas=(0.9, 0.99), eps=1e-8)
        for slope in slopes:
            parameter.grad = slope.clone()
            optimizer.step()
        made.append(parameter.detach())
    torch.testing.assert_close(*made, rtol=1e-10, atol=0)


def test_a_step_of_a_matrix_is_as_large_as_one_of_adam():
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.zeros(8, 30))
    assert is_matrix(parameter)
    assert not is_matrix(torch.zeros(1, 30))
    parameter.grad = torch.randn(8, 30)
    Muon([{"params": [parameter]}], lr=0.01).step()
    size = parameter.detach().square().mean().sqrt()
    assert 0.1 * 0.01 < size < 0.3 * 0.01
