"""ZBL: the universal screened repulsion of close nuclei.

J. F. Ziegler, J. P. Biersack and U. Littmark, The Stopping and Range of Ions in Solids (Pergamon, 1985),
doi:10.1007/978-1-4615-8103-1_3. Programs whose numbers it gives: LAMMPS (pair_style zbl); MACE (its pair repulsion).

| book | here | shape, unit |
|---|---|---|
| Z_i | `graph.system.numbers` | [atoms], 1 |
| r_ij | `distances` | [pairs], Å |
| a = 0.4685 Å / (Z_i^0.23 + Z_j^0.23) | in the repulsion | [pairs], Å |
| φ(r/a), four exponentials | in the repulsion | [pairs], 1 |
| E_i = ½ Σ_j k Z_i Z_j / r φ(r/a) | `atomic_energies` | [atoms], eV |

Departures from the book: the repulsion ends at a radius. With `ending` `smoothed` a polynomial takes energy, slope
and curvature to zero between two radii, as in LAMMPS; with `covalent` a factor does so at the sum of the covalent
radii, as in MACE, so that atoms at bond lengths and beyond do not feel it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from torch import Tensor

from adiabat.elements import COVALENT_RADII
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.smoothed_repulsion import SmoothedRepulsion
from adiabat.nn.zbl import ZBLRepulsion
from adiabat.potential import ArchitectureConfig, AtomicPotential


class ZBLConfig(ArchitectureConfig):
    """Options of the screened repulsion."""

    method: Literal["zbl"] = "zbl"
    """Name of the architecture."""
    ending: Literal["smoothed", "covalent"] = "smoothed"
    """smoothed: between `inner` and `outer`, as in LAMMPS; covalent: at the sum of covalent radii, as in MACE."""
    inner: float = 1.0
    """Where the smoothing begins, Å."""
    outer: float = 2.0
    """Where the repulsion ends, Å."""


class ZBL(AtomicPotential):
    """E = Σ_{i<j} k Z_i Z_j / r φ(r/a), ended smoothly."""

    config: ZBLConfig
    physical: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __init__(self, config: ZBLConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        covalent = config.ending == "covalent"
        super().__init__(config, elements, 2.0 * max(COVALENT_RADII[elements]) if covalent else config.outer)
        self.repulsion: ZBLRepulsion | SmoothedRepulsion
        if covalent:
            if (config.inner, config.outer) != (1.0, 2.0):
                raise ConfigError("inner and outer have no effect with ending covalent: they belong to smoothed.")
            self.repulsion = ZBLRepulsion()
            return
        if not 0.0 < config.inner < config.outer:
            raise ConfigError(f"inner = {config.inner:g} Å must lie between 0 and outer, {config.outer:g} Å.")
        self.repulsion = SmoothedRepulsion(config.inner, config.outer)

    def freeze(self) -> None:
        """Nothing to replace: a frozen copy gains by running without autograd alone."""

    def atomic_energies(self, graph: Graph) -> Tensor:
        numbers, distances = graph.system.numbers, graph.vectors().norm(dim=1)
        if isinstance(self.repulsion, ZBLRepulsion):
            return self.repulsion(distances, numbers, graph.pairs)
        first, second = graph.of_centers(numbers), graph.of_neighbors(numbers)
        return graph.sum_over_neighbors(self.repulsion(distances, first, second))
