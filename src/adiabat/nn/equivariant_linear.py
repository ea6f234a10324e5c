"""Linear maps of features with irreps: one matrix per irrep, the components of an irrep all alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adiabat.nn.irreps import SCALAR, Irreps

# with more sets of weights than this, gathering a matrix for each atom beats multiplying all of them
_MANY = 8


class EquivariantLinear(nn.Module):
    """y_l = x_l W_l / √(multiplicity of l in the input), W drawn from N(0, 1).

    Irreps of the output that the input lacks are zero.

    Args:
        irreps_in: of the input.
        irreps_out: of the output.
        bias: whether scalars (0e) of the output have a bias, zero at first.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, bias: bool = False):
        super().__init__()
        self.irreps_in, self.irreps_out = irreps_in, irreps_out
        self.sources = _sources(irreps_in, irreps_out)
        self.weights = nn.ParameterDict(
            {str(ir): torch.randn(irreps_in.count(ir), m) for m, ir in irreps_out if irreps_in.count(ir)}
        )
        self.bias = nn.Parameter(torch.zeros(irreps_out.count(SCALAR))) if bias else None

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """`[atoms, 2l+1, multiplicity]` of each irrep to the same of the output's irreps."""
        made = []
        for (multiplicity, ir), source in zip(self.irreps_out, self.sources, strict=True):
            if source is None:
                made.append(features[0].new_zeros((features[0].shape[0], ir.dim, multiplicity)))
            else:
                x = features[source]
                made.append(x @ (self.weights[str(ir)] * x.shape[-1] ** -0.5))
            if ir == SCALAR and self.bias is not None:
                made[-1] = made[-1] + self.bias
        return made


class ElementLinear(nn.Module):
    """y_l = x_l W_l[element] / √(multiplicity · elements): `EquivariantLinear` with weights for each element.

    This is the fully connected product with a one-hot element vector, whose zeros count in the norm.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, elements: int):
        super().__init__()
        self.irreps_in, self.irreps_out = irreps_in, irreps_out
        self.elements = elements
        self.sources = _sources(irreps_in, irreps_out)
        self.weights = nn.ParameterDict(
            {str(ir): torch.randn(elements, irreps_in.count(ir), m) for m, ir in irreps_out if irreps_in.count(ir)}
        )

    def forward(self, features: Sequence[Tensor], element: Tensor) -> list[Tensor]:
        """`[atoms, 2l+1, multiplicity]` of each irrep to the same of the output's irreps, by `element [atoms]`."""
        made = []
        chosen = element[:, None] == torch.arange(self.elements, device=element.device)
        for (multiplicity, ir), source in zip(self.irreps_out, self.sources, strict=True):
            if source is None:
                made.append(features[0].new_zeros((features[0].shape[0], ir.dim, multiplicity)))
                continue
            x = features[source]
            weights = self.weights[str(ir)] * (x.shape[-1] * self.elements) ** -0.5
            if self.elements > _MANY:
                made.append(torch.bmm(x, weights.index_select(0, element)))
            else:
                spread = x[:, :, None, :] * chosen[:, None, :, None]
                made.append(spread.flatten(2) @ weights.flatten(0, 1))
        return made


def _sources(irreps_in: Irreps, irreps_out: Irreps) -> list[int | None]:
    """Where each output irrep is in the input."""
    places = {ir: k for k, (_, ir) in enumerate(irreps_in)}
    return [places.get(ir) for _, ir in irreps_out]
