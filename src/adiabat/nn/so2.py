"""Convolutions in the frames of pairs: S. Passaro, C. L. Zitnick (eSCN, ICML 2023, doi:10.48550/arXiv.2302.03655).

Features of an atom are coefficients `[atoms, (l_max+1)², channels]` in the order of `SphericalHarmonics`. In the
frame of a pair only orders |m| ≤ m_max are kept, side by side by order: m = 0 of all degrees, then −1 of all, +1 of
all, −2 ... . What acts on them must not notice a turn about the pair, which mixes m and −m like cosine and sine.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.geometry import Graph, Neighborhood
from adiabat.geometry.neighborhood import PairList
from adiabat.nn.wigner import WignerRows, pair_frames


def orders(l_max: int, m_max: int) -> list[tuple[int, int]]:
    """(l, m) of what a frame keeps, in its order."""
    signed = [0] + [sign * m for m in range(1, m_max + 1) for sign in (-1, 1)]
    return [(l, m) for m in signed for l in range(abs(m), l_max + 1)]


@dataclass(frozen=True)
class PairFrames:
    """The way into the frames of all pairs and back.

    Attributes:
        graph: the pairs.
        hood: their layout.
        rows: coefficients to those in the frame `[pairs, orders, (l_max+1)²]`.
        padded: the same in slots of the layout.
    """

    graph: Graph
    hood: Neighborhood | PairList
    rows: Tensor
    padded: Tensor

    def of_neighbors(self, x: Tensor) -> Tensor:
        """The neighbors' coefficients `[atoms, (l_max+1)², channels]` in the frames `[pairs, orders, channels]`."""
        return torch.bmm(self.rows, self.graph.of_neighbors(x))

    def sum(self, y: Tensor) -> Tensor:
        """Sum over the neighbors, turned back: `[pairs, orders, channels]` to `[atoms, (l_max+1)², channels]`."""
        return self.hood.contract(self.padded, self.hood.pad(y))

    def sum_of_axes(self, y: Tensor) -> Tensor:
        """The same of m = 0 alone: Σ_j Y_lm y_jl with Σ_m Y² = 1, `[pairs, l_max+1, channels]`."""
        return self.hood.contract(self.padded[:, : y.shape[1]], self.hood.pad(y))


class FrameBuilder(nn.Module):
    """Frames with their polar axis, y, along given directions of the pairs.

    Args:
        l_max: highest degree.
        m_max: highest order kept.
    """

    order: Tensor

    def __init__(self, l_max: int, m_max: int):
        super().__init__()
        self.l_max = l_max
        self.wigner = WignerRows(l_max, m_max)
        by_degree = sorted(orders(l_max, m_max))
        order = torch.tensor([by_degree.index(key) for key in orders(l_max, m_max)])
        self.register_buffer("order", order, persistent=False)

    def forward(self, directions: Tensor, graph: Graph) -> PairFrames:
        """Of unit vectors `[pairs, 3]`."""
        size = (self.l_max + 1) ** 2
        blocks = [
            functional.pad(rows, (l * l, size - (l + 1) ** 2))
            for l, rows in enumerate(self.wigner(pair_frames(directions)))
        ]
        rows, hood = torch.cat(blocks, dim=1).index_select(1, self.order), graph.rows()
        return PairFrames(graph, hood, rows, hood.pad(rows))


class SO2Linear(nn.Module):
    """y_0 = W_0 x_0, y_−m = U_m x_−m − V_m x_m, y_m = V_m x_−m + U_m x_m, W, U, V over degrees and channels.

    It commutes with turns about the pair. Mirror images may differ, as V mixes cosines and sines.

    Args:
        l_max: highest degree.
        m_max: highest order.
        inputs: channels that come in.
        outputs: channels that come out.
    """

    def __init__(self, l_max: int, m_max: int, inputs: int, outputs: int):
        super().__init__()
        self.outputs, degrees = outputs, [l_max + 1 - m for m in range(m_max + 1)]
        self.sizes = [count * (2 if m else 1) for m, count in enumerate(degrees)]
        widths = [(count * inputs, count * outputs * (2 if m else 1)) for m, count in enumerate(degrees)]
        self.weights = nn.ParameterList(torch.empty(a, b) for a, b in widths)
        for m, weight in enumerate(self.weights):
            nn.init.xavier_uniform_(weight, gain=sqrt(0.5) if m else 1.0)

    def forward(self, y: Tensor) -> Tensor:
        """`[pairs, orders, inputs]` to `[pairs, orders, outputs]`."""
        first, *others = y.split(self.sizes, dim=1)
        plain, *pairs = self.weights
        made = [first.flatten(1) @ plain]
        for part, weight in zip(others, pairs, strict=True):
            both = part.unflatten(1, (2, -1)).flatten(2) @ weight
            (u_minus, v_minus), (u_plus, v_plus) = (side.chunk(2, dim=1) for side in both.unbind(1))
            made += [u_minus - v_plus, v_minus + u_plus]
        return torch.cat(made, dim=1).unflatten(1, (-1, self.outputs))
