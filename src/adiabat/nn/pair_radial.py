"""Radial functions whose shape depends on the two elements, and the core repulsion beneath, as in python-ace.

Bases: R. Drautz, Phys. Rev. B 99, 014104 (2019), doi:10.1103/PhysRevB.99.014104, eqs. 24-26 (exponentially scaled
Chebyshev polynomials with a cosine); A. Bochkarev et al., Phys. Rev. Materials 6, 013804 (2022),
doi:10.1103/PhysRevMaterials.6.013804 (powers); E. Kocer, J. K. Mason and H. Erturk, AIP Adv. 10, 015021 (2020),
arXiv:1907.02374 (spherical Bessel functions).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from adiabat.nn.constants import ConstantModule
from adiabat.nn.radial import ChebyshevBasis
from adiabat.nn.spherical_bessel import SmoothBesselBasis
from adiabat.settings import Settings

RadialKind = Literal["ChebExpCos", "ChebPow", "ChebLinear", "SBessel"]
KINDS: tuple[RadialKind, ...] = ("ChebExpCos", "ChebPow", "ChebLinear", "SBessel")


class Bond(Settings):
    """Radial functions of a neighbor of one element around an atom of another."""

    basis: RadialKind = "ChebExpCos"
    """ChebExpCos, ChebPow, ChebLinear or SBessel."""
    decay: float = 5.25
    """λ: how fast ChebExpCos is scaled, or the power of ChebPow."""
    count: int = Field(default=15, ge=1)
    """Number of functions; further ones of the longest pair are zero."""
    cutoff: float = Field(default=5.0, gt=0.0)
    """Å."""
    width: float = Field(default=0.01, ge=0.0)
    """Width of a second cosine at the cutoff of ChebExpCos, Å."""
    inner: tuple[float, float] | None = None
    """Radius below which functions fade, and over how much, Å; they vanish below the difference. null for none."""
    core: tuple[float, float] | None = None
    """Size, eV Å, and decay, Å⁻², of a repulsion a exp(−b r²)/r within the inner radius; null for none."""


class PairRadial(ConstantModule):
    """g_k(r) of each pair of elements, with their cutoffs.

    Args:
        bonds: of each center and neighbor, row by row.
    """

    decay: Tensor
    cutoff: Tensor
    width: Tensor
    radius: Tensor
    fade: Tensor
    counted: Tensor
    chosen: Tensor
    prefactor: Tensor
    exponent: Tensor

    def __init__(self, bonds: Sequence[Bond]):
        super().__init__()
        self.bonds = tuple(bonds)
        self.count = max(bond.count for bond in bonds)
        self.kinds: tuple[RadialKind, ...] = tuple(
            kind for kind in KINDS if any(bond.basis == kind for bond in bonds)
        )
        self.fading = any(bond.inner for bond in bonds)
        inner = np.array([bond.inner or (0.0, 0.0) for bond in bonds])
        core = np.array([bond.core or (0.0, 0.0) for bond in bonds])
        columns: Mapping[str, np.ndarray] = {
            "decay": np.array([bond.decay for bond in bonds]),
            "cutoff": np.array([bond.cutoff for bond in bonds]),
            "width": np.array([bond.width for bond in bonds]),
            "radius": inner[:, 0],
            "fade": np.maximum(inner[:, 1], 1e-9),
            "counted": np.array([[float(k < bond.count) for k in range(self.count)] for bond in bonds]),
            "chosen": np.array([[float(bond.basis == kind) for kind in self.kinds] for bond in bonds]),
            "prefactor": core[:, 0],
            "exponent": core[:, 1],
        }
        for name, values in columns.items():
            self.register_constant(name, values)
        self.bessel = SmoothBesselBasis(self.count, 1.0)
        self.chebyshev = ChebyshevBasis(self.count + 1)

    def forward(self, r: Tensor, bond: Tensor) -> Tensor:
        """`[pairs, count]` at distances `[pairs]`, Å; `bond [pairs]` is center's place · elements + neighbor's."""
        cutoff = self.cutoff.index_select(0, bond)
        x = (r / cutoff).clamp(max=1.0)
        made = [self._basis(kind, r, x, cutoff, bond) for kind in self.kinds]
        values = made[0]
        if len(made) > 1:
            chosen = self.chosen.index_select(0, bond)
            values = torch.stack(made, dim=1)
            values = torch.where(chosen[:, :, None] > 0, values, torch.zeros_like(values)).sum(dim=1)
        values = values * self.counted.index_select(0, bond)
        if self.fading:
            values = values * (1.0 - self._inside(r, bond))[:, None]
        return torch.where((r < cutoff)[:, None], values, torch.zeros_like(values))

    def _basis(self, kind: RadialKind, r: Tensor, x: Tensor, cutoff: Tensor, bond: Tensor) -> Tensor:
        decay = self.decay.index_select(0, bond)
        if kind == "SBessel":
            return self.bessel(x) * (cutoff**-1.5)[:, None]
        if kind == "ChebExpCos":
            end = torch.exp(-decay)
            scaled = 1.0 - 2.0 * (torch.exp(-decay * x) - end) / (1.0 - end)
            rest = self.chebyshev(scaled)
            values = torch.cat((torch.ones_like(r)[:, None], 0.5 - 0.5 * rest[:, 1 : self.count]), dim=1)
            width = self.width.index_select(0, bond)
            outer = ((r - cutoff + width) / width.clamp(min=1e-9)).clamp(0.0, 1.0)
            return values * (0.25 * (1.0 + torch.cos(math.pi * x)) * (1.0 + torch.cos(math.pi * outer)))[:, None]
        scaled = 1.0 - 2.0 * (1.0 - x) ** decay if kind == "ChebPow" else 1.0 - x
        return 0.5 - 0.5 * self.chebyshev(scaled)[:, 1:]

    def _inside(self, r: Tensor, bond: Tensor) -> Tensor:
        """1 below the inner radius less its width, 0 above it `[pairs]`."""
        radius, fade = self.radius.index_select(0, bond), self.fade.index_select(0, bond)
        x = (1.0 - 2.0 * (1.0 + (r - radius) / fade)).clamp(-1.0, 1.0)
        return 0.5 + x * (0.9375 + x**2 * (0.1875 * x**2 - 0.625))

    def core(self, r: Tensor, bond: Tensor) -> Tensor:
        """Repulsion of each pair `[pairs]`, eV."""
        size, decay = self.prefactor.index_select(0, bond), self.exponent.index_select(0, bond)
        cutoff = self.cutoff.index_select(0, bond)
        envelope = 0.5 * (1.0 + torch.cos(math.pi * (r / cutoff).clamp(max=1.0)))
        return size * torch.exp(-decay * r**2) / r * envelope * self._inside(r, bond)
