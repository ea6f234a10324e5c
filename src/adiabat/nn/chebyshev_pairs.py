"""Trained radial functions of each pair of elements."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from adiabat.nn.cutoffs import CosineCutoff
from adiabat.nn.radial import ChebyshevBasis


class ChebyshevPairFunctions(nn.Module):
    """g_n(r) = Σ_k c_nk ½ (T_k(2 (r/r_c − 1)² − 1) + 1) f_c(r), c of each pair of elements.

    NEP's radial functions (doi:10.1063/5.0106617, sec. II), with the cosine cutoff f_c.

    Args:
        kinds: number of elements.
        channels: functions n of each pair of elements.
        basis: polynomials k.
    """

    def __init__(self, kinds: int, channels: int, basis: int):
        super().__init__()
        self.polynomials, self.cutoff = ChebyshevBasis(basis), CosineCutoff(1.0)
        self.coefficients = nn.Parameter(torch.randn(kinds * kinds, channels, basis) * basis**-0.5)

    def grid(self, kinds: int) -> Tensor:
        """c_nk `[elements, elements, channels, basis]`."""
        return self.coefficients.view(kinds, kinds, *self.coefficients.shape[1:])

    def basis(self, u: Tensor) -> Tensor:
        """f_k `[pairs, basis]` of r/r_c `[pairs]`."""
        return 0.5 * (self.polynomials(2.0 * (u - 1.0).square() - 1.0) + 1.0) * self.cutoff(u)[:, None]

    def forward(self, u: Tensor, kinds: Tensor) -> Tensor:
        """`[pairs, channels]` of r/r_c and the place of the pair's elements, both `[pairs]`."""
        own = self.coefficients.index_select(0, kinds)
        return (own @ self.basis(u)[:, :, None])[:, :, 0]
