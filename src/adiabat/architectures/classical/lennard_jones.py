"""Lennard-Jones pairs.

J. E. Jones, Proc. R. Soc. Lond. A 106, 463 (1924), doi:10.1098/rspa.1924.0082; in this form with argon's parameters:
A. Rahman, Phys. Rev. 136, A405 (1964), doi:10.1103/PhysRev.136.A405. Programs whose numbers it gives: ASE
(LennardJones), LAMMPS (lj/cut, lj/smooth/linear).

| paper | here | shape, unit |
|---|---|---|
| r_ij | `distances` | [pairs], Å |
| ε, σ | `epsilon`, `sigma` | [pairs of elements], eV, Å |
| V(r) = 4ε [(σ/r)¹² − (σ/r)⁶] | `law` | [pairs], eV |
| E_i = ½ Σ_j V(r_ij) | `atomic_energies` | [atoms], eV |

Departures from the paper: the energy ends at the cutoff in one of the ways that programs have (`ending`); parameters
of two elements are mixed from their own where they are not given. Both parameters are trained in a fit, which wants
`data.shift: 0`, because bound atoms take their energy from the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.geometry import Graph
from adiabat.nn.pair_law import Ending, PairCut, PairKinds, PairParameter, pair_values
from adiabat.potential import ArchitectureConfig, AtomicPotential


class LennardJonesConfig(ArchitectureConfig):
    """Options of the Lennard-Jones potential; the defaults are Rahman's for argon (ε = 120 k_B)."""

    method: Literal["lennard_jones"] = "lennard_jones"
    """Name of the architecture."""
    epsilon: PairParameter = 0.0103408
    """Depth ε, eV: one number, or numbers of elements and pairs of elements such as {Ar: 0.0103, Ar-Kr: 0.012}."""
    sigma: PairParameter = 3.4
    """Distance of zero energy σ, Å, given as ε is."""
    mixing: Literal["geometric", "arithmetic"] = "arithmetic"
    """Mean that gives σ of pairs of elements that are not given; ε is the geometric mean in either case."""
    cutoff: float = Field(default=7.65, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    ending: Ending = "shift"
    """How the energy ends at the cutoff: none, shift, linear (force too), xplor or quintic (a switch)."""
    onset: float | None = None
    """Where the switch of xplor and quintic begins, Å; 0.66 of the cutoff if not given."""


class LennardJones(AtomicPotential):
    """E = Σ_{i<j} 4ε [(σ/r)¹² − (σ/r)⁶]."""

    config: LennardJonesConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, config: LennardJonesConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        mean = _geometric if config.mixing == "geometric" else _arithmetic
        self.epsilon = nn.Parameter(torch.tensor(pair_values("epsilon", config.epsilon, self.elements, _geometric)))
        self.sigma = nn.Parameter(torch.tensor(pair_values("sigma", config.sigma, self.elements, mean)))
        self.kinds = PairKinds(self.elements)
        self.cut = PairCut(config.ending, config.cutoff, config.onset)

    def freeze(self) -> None:
        """Nothing to replace: a frozen copy gains by running without autograd alone."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        kinds = self.kinds(graph)
        epsilon, sigma = self.epsilon.index_select(0, kinds), self.sigma.index_select(0, kinds)

        def law(r: Tensor) -> tuple[Tensor, Tensor]:
            sixth = (sigma / r) ** 6
            return 4.0 * epsilon * sixth * (sixth - 1.0), -24.0 * epsilon * sixth * (2.0 * sixth - 1.0) / r

        return graph.sum_over_neighbors(0.5 * self.cut(graph.vectors().norm(dim=1), law))


def _geometric(a: float, b: float) -> float:
    return math.sqrt(a * b)


def _arithmetic(a: float, b: float) -> float:
    return 0.5 * (a + b)
