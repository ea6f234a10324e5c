"""Plane waves with the period of a cell, for sums in reciprocal space."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor

from adiabat.geometry.system import System


def plane_waves(system: System, reach: float | Sequence[float]) -> Tensor:
    """Integers n of the waves k = 2π (n₁ b₁ + n₂ b₂ + n₃ b₃) with 0 < |k| < reach `[systems, waves, 3]`.

    Of k and −k one is listed. Rows of zeros fill up the lists of systems with fewer waves; a system that is not
    periodic in all three directions has none.

    Args:
        system: one or several.
        reach: Å⁻¹, the same for all systems or one for each.
    """
    found = []
    reaches = reach if isinstance(reach, Sequence) else [reach] * len(system)
    for cell, pbc, own in zip(system.cell.detach().cpu().double(), system.pbc.cpu(), reaches, strict=True):
        if not bool(pbc.all()):
            found.append(torch.zeros((0, 3), dtype=torch.int64))
            continue
        most = (own * cell.norm(dim=1) / (2.0 * pi)).long().tolist()  # k · a_i is 2π n_i
        integers = torch.cartesian_prod(*(torch.arange(-n, n + 1) for n in most))
        half = integers[len(integers) // 2 + 1 :]  # in this order −n comes before 0 where n comes after it
        waves = 2.0 * pi * half.double() @ torch.linalg.inv(cell).T
        found.append(half[waves.square().sum(dim=1) < own**2])
    return torch.nn.utils.rnn.pad_sequence(found, batch_first=True).to(system.positions.device)


def reciprocal_cells(system: System) -> Tensor:
    """2π b_1, b_2, b_3 as rows `[systems, 3, 3]`, Å⁻¹, with a_i · b_j = δ_ij.

    Those of a unit cube for systems that are not periodic in all three directions, whose cells may have no volume.
    """
    unit = torch.diag_embed(torch.ones_like(system.cell[:, 0]))
    cell = torch.where(system.pbc.all(dim=1)[:, None, None], system.cell, unit)
    a, b, c = cell.unbind(1)
    rows = torch.stack([torch.linalg.cross(x, y) for x, y in ((b, c), (c, a), (a, b))], dim=1)
    return 2.0 * pi * rows / (rows[:, 0] * a).sum(dim=1)[:, None, None]
