"""Morse pairs.

P. M. Morse, Phys. Rev. 34, 57 (1929), doi:10.1103/PhysRev.34.57; for metals: L. A. Girifalco and V. G. Weizer, Phys.
Rev. 114, 687 (1959), doi:10.1103/PhysRev.114.687. Programs whose numbers it gives: ASE (MorsePotential), LAMMPS
(morse, morse/smooth/linear).

| paper | here | shape, unit |
|---|---|---|
| r_ij | `distances` | [pairs], Å |
| D | `depth` | [pairs of elements], eV |
| α | `stiffness`; ρ₀/r₀ in ASE | [pairs of elements], Å⁻¹ |
| r₀ | `length` | [pairs of elements], Å |
| V(r) = D [e^(−2α(r − r₀)) − 2 e^(−α(r − r₀))] | `law` | [pairs], eV |
| E_i = ½ Σ_j V(r_ij) | `atomic_energies` | [atoms], eV |

Departures from the paper: the energy ends at the cutoff in one of the ways that programs have (`ending`). All three
parameters are trained in a fit, which wants `data.shift: 0`, because bound atoms take their energy from the pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.nn.pair_law import Ending, PairCut, PairKinds, PairParameter, pair_values
from adiabat.potential import ArchitectureConfig, AtomicPotential


class MorseConfig(ArchitectureConfig):
    """Options of the Morse potential; the defaults are Girifalco and Weizer's for copper."""

    method: Literal["morse"] = "morse"
    """Name of the architecture."""
    depth: PairParameter = 0.3429
    """Depth D, eV: one number, or numbers of elements and pairs of elements such as {Cu: 0.34, Cu-Ni: 0.38}."""
    stiffness: PairParameter = 1.3588
    """Decay α, Å⁻¹, given as the depth is."""
    length: PairParameter = 2.866
    """Distance of lowest energy r₀, Å, given as the depth is."""
    cutoff: float = Field(default=8.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    ending: Ending = "linear"
    """How the energy ends at the cutoff: none, shift, linear (force too), xplor or quintic (a switch)."""
    onset: float | None = None
    """Where the switch of xplor and quintic begins, Å; 0.66 of the cutoff if not given."""


class Morse(AtomicPotential):
    """E = Σ_{i<j} D [e^(−2α(r − r₀)) − 2 e^(−α(r − r₀))]."""

    config: MorseConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, config: MorseConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        self.depth = nn.Parameter(torch.tensor(pair_values("depth", config.depth, self.elements)))
        self.stiffness = nn.Parameter(torch.tensor(pair_values("stiffness", config.stiffness, self.elements)))
        self.length = nn.Parameter(torch.tensor(pair_values("length", config.length, self.elements)))
        self.kinds = PairKinds(self.elements)
        self.cut = PairCut(config.ending, config.cutoff, config.onset)

    def freeze(self) -> None:
        """Nothing to replace: a frozen copy gains by running without autograd alone."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        kinds = self.kinds(graph)
        own = (self.depth, self.stiffness, self.length)
        depth, stiffness, length = (values.index_select(0, kinds) for values in own)

        def law(r: Tensor) -> tuple[Tensor, Tensor]:
            decay = torch.exp(-stiffness * (r - length))
            return depth * decay * (decay - 2.0), -2.0 * depth * stiffness * decay * (decay - 1.0)

        return graph.sum_over_neighbors(0.5 * self.cut(graph.vectors().norm(dim=1), law))
