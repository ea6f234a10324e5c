"""Networks in the parametrization of the neural tangent kernel, whose training does not depend on their width."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

BIAS = 0.1  # β of the biases
SILU_FACTOR = 1.6765324703310907  # ⟨silu(z)²⟩^(−½) for normal z


class NTKNetwork(nn.Module):
    """x W / √n + 0.1 b for n inputs, with SiLU of unit second moment between; W starts normal, b at 0.

    Jacot, Gabriel & Hongler, arXiv:1806.07572; 0.1 and the activation as in GM-NN, doi:10.1021/acs.jctc.1c00527.

    Args:
        widths: of the input, each hidden layer and the output.

    Attributes:
        weights: W `[inputs, outputs]` of each layer.
        biases: b `[outputs]`.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.weights = nn.ParameterList(torch.randn((a, b)) for a, b in pairwise(widths))
        self.biases = nn.ParameterList(torch.zeros(b) for b in widths[1:])

    def forward(self, values: Tensor) -> Tensor:
        """`[..., widths[0]]` to `[..., widths[-1]]`."""
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if place:
                values = SILU_FACTOR * silu(values)
            values = values @ weight / sqrt(weight.shape[0]) + BIAS * bias
        return values
