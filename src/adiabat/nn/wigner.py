"""Rotations of spherical-harmonic coefficients into frames whose polar axis points along a pair.

In such a frame what is left of a rotation is a turn about the pair, which mixes only the orders m and −m: the
reduction from SO(3) to SO(2) of S. Passaro and C. L. Zitnick (eSCN, ICML 2023, doi:10.48550/arXiv.2302.03655).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adiabat.nn.clebsch_gordan import coupling
from adiabat.nn.constants import ConstantModule


def pair_frames(directions: Tensor) -> Tensor:
    """Rotation matrices R with R u = (0, 1, 0) `[n, 3, 3]` of unit vectors u `[n, 3]`.

    R is the shortest rotation where u_y ≥ 0, and elsewhere the shortest one after half a turn about x, so that R and
    its slopes are finite for all u, along the axes too. Across u_y = 0 it jumps by a turn about u, which nothing
    feels that does not depend on turns about u.
    """
    x, y, z = directions.unbind(-1)
    side = torch.where(y >= 0, torch.ones_like(y), -torch.ones_like(y))
    x_part, z_part = x / (1 + side * y), z / (1 + side * y)
    rows = (
        (1 - x * x_part, -side * x, -z * x_part),
        (x, y, z),
        (-side * z * x_part, -z, side * (1 - z * z_part)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


class WignerRows(ConstantModule):
    """Rows |m| ≤ m_max of Wigner's matrices D^l(R), l = 0 ... l_max, which take real coefficients into a frame.

    Each degree follows from the one below: coupling row m of D^(l−1) with row 0 of D¹, the polar axis, to l gives a
    multiple of row m of D^l, because orders add up; rows ±l come from rows ±(l−1) and ±1. There are no angles, hence
    no poles, and no rows that are not asked for. Components run m = −l..l in the order of `SphericalHarmonics`, whose
    values in a direction are √(2l+1) times row 0 of the frame with its polar axis along it.

    Args:
        l_max: highest degree.
        m_max: highest order of the rows, at most `l_max`.
    """

    def __init__(self, l_max: int, m_max: int):
        super().__init__()
        self.l_max, self.m_max = l_max, m_max
        for l in range(2, l_max + 1):
            table = coupling(l - 1, 1, l)
            kept = min(l - 1, m_max)
            diagonal = table[np.arange(-kept, kept + 1) + l - 1, 1, np.arange(-kept, kept + 1) + l]
            self.register_constant(f"step{l}", table.reshape(-1, 2 * l + 1))
            self.register_constant(f"size{l}", 1.0 / diagonal[:, None])
            if l <= m_max:  # the outermost rows −l and l from rows ±(l−1) and ±1
                ends = table[np.ix_((0, 2 * l - 2), (0, 2), (0, 2 * l))]
                self.register_constant(f"outer{l}", ends.reshape(4, 2).T)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """`[n, 3, 3]` rotation matrices to `[n, 2 min(l, m_max) + 1, 2l + 1]` of each degree."""
        found = [torch.ones_like(frames[:, :1, :1])]
        if self.l_max > 0:
            found.append(frames if self.m_max else frames[:, 1:2])
        axis = frames[:, None, None, 1]
        for l in range(2, self.l_max + 1):
            below, step = found[-1], getattr(self, f"step{l}")
            rows = (below[..., None] * axis).flatten(2) @ step * getattr(self, f"size{l}")
            if l <= self.m_max:
                ends, sides = below[:, :: 2 * l - 2], frames[:, ::2]
                products = (ends[:, :, None, :, None] * sides[:, None, :, None, :]).flatten(3).flatten(1, 2)
                first, last = (getattr(self, f"outer{l}") @ products @ step).split(1, dim=1)
                rows = torch.cat((first, rows, last), dim=1)
            found.append(rows)
        return found


def order_scale(l_max: int, m_max: int) -> np.ndarray:
    """√((2l+1)/(2m_max+1)) for each component of degrees l > m_max, 1 for others `[(l_max+1)²]`.

    It makes up for the orders that a frame with `m_max` < l leaves out.
    """
    sizes = np.arange(l_max + 1)
    factors = np.where(sizes > m_max, np.sqrt((2 * sizes + 1) / (2 * m_max + 1)), 1.0)
    return np.repeat(factors, 2 * sizes + 1)
