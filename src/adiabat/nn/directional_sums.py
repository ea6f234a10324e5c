"""Invariants of an atom from sums of its neighbors' directions (DeepPot-SE, arXiv:1805.09003, without s)."""

from __future__ import annotations

from torch import Tensor

from adiabat.geometry import Neighborhood
from adiabat.geometry.neighborhood import PairList


def directional_products(
    directions: Tensor, values: Tensor, hood: Neighborhood | PairList, axis: int, scale: float | Tensor
) -> Tensor:
    """(A_m · A_n)/3 of the vectors A_m = scale Σ_j h_j v_jm, for n below `axis` `[atoms, axis · width]`.

    Args:
        directions: h_j, `[slots, 3]`.
        values: v_j, `[slots, width]`, with the weights by which neighbors fade out.
        hood: layout of the slots.
        axis: how many vectors are taken as the second factor.
        scale: of the sums.
    """
    vectors = hood.contract(directions[:, None], values[:, None]) * scale
    return (vectors[:, :, :axis].transpose(1, 2) @ vectors / 3.0).flatten(1)
