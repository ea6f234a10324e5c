"""Inverse distances between all atoms of a molecule, the descriptor of gradient-domain kernels.

D_p = 1/|r_i − r_j| for the pairs i > j in row order (1,0), (2,0), (2,1), ... (doi:10.1126/sciadv.1603015, eq. 4).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InverseDistances(nn.Module):
    """Values, Jacobian and its transpose for molecules of a fixed number of atoms.

    Args:
        atoms: number of atoms N; there are N(N−1)/2 features.
    """

    first: Tensor
    second: Tensor

    def __init__(self, atoms: int):
        super().__init__()
        rows = torch.tril_indices(atoms, atoms, offset=-1)
        self.atoms = atoms
        self.size = rows.shape[1]
        self.register_buffer("first", rows[0], persistent=False)
        self.register_buffer("second", rows[1], persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, N, 3]` Å to values `[B, P]` Å⁻¹ and r_i − r_j `[B, P, 3]` Å."""
        separations = positions[:, self.first] - positions[:, self.second]
        return separations.square().sum(dim=2).rsqrt(), separations

    def pull_back(self, slopes: Tensor, values: Tensor, separations: Tensor) -> Tensor:
        """Jᵀ v: slopes with respect to features `[B, P]` to slopes with respect to positions `[B, N, 3]`."""
        along = (-slopes * values**3)[:, :, None] * separations
        out = along.new_zeros((len(along), self.atoms, 3))
        return out.index_add(1, self.first, along).index_add(1, self.second, -along)

    def jacobian(self, values: Tensor, separations: Tensor) -> Tensor:
        """dD/dr `[B, P, N·3]`, Å⁻²."""
        along = -(values**3)[:, :, None] * separations
        out = along.new_zeros((*values.shape, self.atoms, 3))
        pairs = torch.arange(self.size, device=along.device)
        out[:, pairs, self.first] = along
        out[:, pairs, self.second] = -along
        return out.flatten(2)

    def permutations(self, atom_permutations: Tensor) -> Tensor:
        """Which feature stands where after atoms are permuted: `[S, N]` to `[S, P]`."""
        place = torch.zeros((self.atoms, self.atoms), dtype=torch.int64, device=self.first.device)
        place[self.first, self.second] = torch.arange(self.size, device=self.first.device)
        place = place + place.T
        return place[atom_permutations[:, self.first], atom_permutations[:, self.second]]
