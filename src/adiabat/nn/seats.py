"""Atoms of several structures as rows of seats, for matrices between all atoms of a structure."""

from __future__ import annotations

import torch
from torch import Tensor

from adiabat.geometry import Neighborhood


def seated(members: Neighborhood, values: Tensor) -> Tensor:
    """Values of atoms `[atoms, ...]` by system and seat `[systems, seats, ...]`, zeros where no atom sits."""
    return members.pad(values).reshape(members.atoms, members.width, *values.shape[1:])


def different(there: Tensor) -> Tensor:
    """Which two seats are not the same and both taken `[systems, seats, seats]`; `there` is `[systems, seats]`."""
    same = torch.diag_embed(torch.ones_like(there, dtype=torch.float32)) > 0.0
    return there[:, :, None] & there[:, None, :] & ~same


def lengths(vectors: Tensor, apart: Tensor) -> Tensor:
    """Lengths of vectors `[..., 3]`, 1 where they are not `apart`, with finite slopes also there."""
    squares = vectors.square().sum(dim=-1)
    return torch.where(apart, squares, torch.ones_like(squares)).sqrt()
