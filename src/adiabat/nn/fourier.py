"""Angular bases whose frequencies can be trained."""

import math

import torch
from torch import Tensor, nn


class FourierBasis(nn.Module):
    """1/√(2π), sin(k θ)/√π and cos(k θ)/√π for k = 1..order, at first (CHGNet, doi:10.1038/s42256-023-00716-3).

    Args:
        order: number of frequencies k.
        zeroth: whether the constant is the cosine of a frequency too, 0 at first (matgl).
        trainable: whether the frequencies are trained.
    """

    frequencies: Tensor

    def __init__(self, order: int, zeroth: bool = False, trainable: bool = True):
        super().__init__()
        first = 0 if zeroth else 1
        self.zeroth = zeroth
        frequencies = torch.arange(first, order + 1, dtype=torch.get_default_dtype())
        if trainable:
            self.frequencies = nn.Parameter(frequencies)
        else:
            self.register_buffer("frequencies", frequencies)

    def forward(self, angles: Tensor) -> Tensor:
        """`[...]` radians to `[..., 2 · order + 1]`: the constant, all sines, all cosines."""
        phases = angles[..., None] * self.frequencies
        constant = torch.full_like(angles[..., None], math.sqrt(0.5))
        if self.zeroth:
            constant, phases = constant * torch.cos(phases[..., :1]), phases[..., 1:]
        return torch.cat((constant, torch.sin(phases), torch.cos(phases)), dim=-1) / math.sqrt(math.pi)
