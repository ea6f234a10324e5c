"""Ewald's sum atom by atom: what each unit charge with its images feels of each other one and its images.

P. P. Ewald, Ann. Phys. 369, 253 (1921), doi:10.1002/andp.19213690304. A charged cell is in a uniform background, so
that the mean potential is zero; then every single entry is independent of where the sum is split.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from adiabat.geometry import FarPairs, Graph
from adiabat.geometry.waves import plane_waves, reciprocal_cells
from adiabat.nn.ewald_split import EwaldSplit
from adiabat.nn.seats import lengths, seated


class EwaldPotentials:
    """The matrix of the potentials, of point charges or of Gaussian ones.

    Args:
        split: where the sum is split and where its parts end.
        coulomb: k = e²/4πε₀, eV Å, of the energies whose precision the split is for.
        widest: largest standard deviation of the charges, Å; 0 for point charges.
    """

    def __init__(self, split: EwaldSplit, coulomb: float, widest: float = 0.0):
        self.split, self.coulomb, self.widest = split, coulomb, widest

    def prepare(self, graph: Graph) -> Graph:
        """The graph with the seats, far pairs and waves that the sum needs."""
        graph = graph.with_members()
        if graph.far is not None and graph.waves is not None:
            return graph
        system = graph.system
        found = []
        cells = zip(system.volume.tolist(), system.atom_counts.tolist(), system.pbc.tolist(), strict=True)
        for volume, atoms, pbc in cells:
            own = self.split.reaches(volume, atoms, self.widest, self.coulomb) if all(pbc) else (1.0, 0.0, 0.0)
            found.append(own)
        widths, pairs, reaches = zip(*found, strict=True)
        waves = plane_waves(system, reaches)
        if not waves.shape[1]:
            waves = waves.new_zeros((system.systems, 1, 3))  # a compiled model takes no empty list
        return graph.replace(far=FarPairs.of(system, widths, pairs), waves=waves)

    def __call__(self, graph: Graph, gamma: Tensor | None = None) -> Tensor:
        """`[systems, seats, seats]`, Å⁻¹; without meaning for systems that are not periodic in all directions.

        The waves' part, the pairs', the smeared charges' own, the background. Without the energy that a Gaussian
        charge has of its own, and where no atom sits what comes out is to be dropped.

        Args:
            graph: with what `prepare` gives.
            gamma: √2(σ_i² + σ_j²) of Gaussian charges, Å, of all seats; None for point charges.
        """
        system, members, far, waves = graph.system, graph.members, graph.far, graph.waves
        assert members is not None
        assert far is not None
        assert waves is not None
        dtype = system.positions.dtype
        periodic = system.pbc.all(dim=1)
        width = far.widths.to(dtype)[:, None, None]
        volume = torch.where(periodic, system.volume, torch.ones_like(system.volume))[:, None, None]
        k = waves.to(dtype) @ reciprocal_cells(system)
        squares = k.square().sum(dim=2, keepdim=True)
        filled = squares > 0.0
        squares = torch.where(filled, squares, torch.ones_like(squares))
        sizes = 8.0 * pi / volume * torch.exp(-0.5 * width.square() * squares) / squares  # of k and −k one is listed
        sizes = torch.where(filled, sizes, torch.zeros_like(sizes))
        phases = k @ seated(members, system.positions).transpose(1, 2)
        cosines, sines = phases.cos(), phases.sin()
        total = (sizes * cosines).transpose(1, 2) @ cosines + (sizes * sines).transpose(1, 2) @ sines
        pairs = self._pairs(graph, total, gamma)
        smeared = torch.diag_embed((-((2.0 / pi) ** 0.5) / width[:, :, 0]).expand(total.shape[:2]))
        spread = width.square() if gamma is None else width.square() - 0.5 * gamma.square()
        return total + pairs + pairs.transpose(1, 2) + smeared - 2.0 * pi / volume * spread

    @staticmethod
    def _pairs(graph: Graph, like: Tensor, gamma: Tensor | None) -> Tensor:
        """The part of the pairs, each of which is listed once."""
        system, members, far = graph.system, graph.members, graph.far
        assert members is not None
        assert far is not None
        first, second = (members.slot.index_select(0, ends) for ends in far.pairs)
        places = first * members.width + second % members.width
        vectors = far.vectors(system)
        apart = vectors.square().sum(dim=1) > 0.0
        distances = lengths(vectors, apart)
        own = far.widths.to(like.dtype).index_select(0, system.system.index_select(0, far.pairs[0]))
        nearer = torch.erfc(distances / (2.0**0.5 * own))
        if gamma is not None:
            nearer = nearer - torch.erfc(distances / gamma.reshape(-1).index_select(0, places))
        nearer = torch.where(apart, nearer / distances, torch.zeros_like(nearer))
        return torch.zeros_like(like).reshape(-1).index_add(0, places, nearer).reshape(like.shape)
