"""What matrices between all atoms of a structure share: their size, and rows that no order of the atoms changes.

Sorting and eigenvalues: M. Rupp, A. Tkatchenko, K.-R. Müller and O. A. von Lilienfeld, Phys. Rev. Lett. 108, 058301
(2012), doi:10.1103/PhysRevLett.108.058301; random sorting: G. Montavon et al., New J. Phys. 15, 095003 (2013),
doi:10.1088/1367-2630/15/9/095003.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from adiabat.descriptors.structure import StructureConfig, StructureDescriptor
from adiabat.errors import CapabilityError
from adiabat.geometry import Graph
from adiabat.nn.seats import different, lengths, seated

EXPONENT = 2.4
"""Of ½ Z^2.4 on the diagonal, fitted to the energies of free atoms."""


class MatrixConfig(StructureConfig):
    """Options of matrices between atoms."""

    atoms: int = Field(default=23, ge=1)
    """Atoms of the largest structure; rows of smaller ones are filled up with zeros. 23: molecules of QM7."""
    permutation: Literal["sorted_l2", "eigenspectrum", "random", "none"] = "sorted_l2"
    """What is made of the matrix: rows and columns in descending order of their norms (sorted_l2), or of norms with
    noise (random), or as the atoms come (none), all read row by row; or its eigenvalues in descending order of their
    magnitudes (eigenspectrum)."""
    sigma: float = Field(default=1.0, ge=0.0)
    """Standard deviation of the noise (random)."""
    seed: int = 0
    """Of the noise (random): every structure is sorted with the same, so that another seed gives another row."""


class PairMatrix(StructureDescriptor):
    """Rows made of a symmetric matrix between atoms; a page gives `matrix`.

    Sorted rows and eigenvalues do not depend on the order of the atoms; sorted rows jump where two norms cross.

    Args:
        config: options.
        elements: atomic numbers.
        copies: entries a side for each of `config.atoms`.
    """

    noise: Tensor

    def __init__(self, config: MatrixConfig, elements: Iterable[int], copies: int = 1):
        super().__init__(elements)
        self.config = config
        self.side = config.atoms * copies
        self.size = self.side if config.permutation == "eigenspectrum" else self.side**2
        random = torch.randn(self.side, generator=torch.Generator().manual_seed(config.seed), dtype=torch.float64)
        self.register_buffer("noise", config.sigma * random, persistent=False)

    def prepare(self, graph: Graph) -> Graph:
        return graph.with_members()

    def matrix(self, graph: Graph) -> Tensor:
        """Symmetric matrices `[systems, n, n]` of a prepared graph, zeros where no atom sits; n at most `side`."""
        raise NotImplementedError

    def forward(self, graph: Graph) -> Tensor:
        graph = self.prepare(graph)
        assert graph.members is not None
        if graph.members.width > self.config.atoms:
            raise CapabilityError(
                f"a structure has {graph.members.width} atoms and matrices have room for {self.config.atoms}:"
                " set atoms to the number of the largest."
            )
        matrix = self.matrix(graph)
        room = self.side - matrix.shape[1]
        matrix = functional.pad(matrix, (0, room, 0, room))
        if self.config.permutation == "eigenspectrum":
            return self._eigenvalues(matrix)
        return self._ordered(matrix).flatten(1)

    def _eigenvalues(self, matrix: Tensor) -> Tensor:
        values = torch.linalg.eigvalsh(matrix)
        values = values.gather(1, values.detach().abs().argsort(dim=1, descending=True, stable=True))
        taken = (matrix.detach().abs().amax(dim=2) > 0.0).sum(dim=1)  # the other eigenvalues are rounding
        places = torch.arange(self.side, device=values.device)
        return torch.where(places < taken[:, None], values, torch.zeros_like(values))

    def _ordered(self, matrix: Tensor) -> Tensor:
        if self.config.permutation == "none":
            return matrix
        norms, order = matrix.detach().norm(dim=2).sort(dim=1, descending=True, stable=True)
        if self.config.permutation == "random":  # noise belongs to places in the order, not to those of the atoms
            noisy = torch.where(norms > 0.0, norms + self.noise, torch.full_like(norms, -torch.inf))
            order = order.gather(1, noisy.argsort(dim=1, descending=True, stable=True))
        matrix = matrix.gather(1, order[:, :, None].expand_as(matrix))
        return matrix.gather(2, order[:, None, :].expand_as(matrix))


def charges_of(graph: Graph) -> Tensor:
    """Nuclear charges of the atoms `[atoms]`, e, as floating-point numbers."""
    return graph.system.numbers.to(graph.system.positions.dtype)


def nuclear(charges: Tensor, between: Tensor, apart: Tensor) -> Tensor:
    """Z_i Z_j φ_ij of different atoms and ½ Z_i^2.4 on the diagonal `[systems, n, n]`.

    Args:
        charges: Z `[systems, n]`, zeros where no atom sits.
        between: φ `[systems, n, n]`.
        apart: which of them are of different atoms.
    """
    products = charges[:, :, None] * charges[:, None, :] * between
    return torch.where(apart, products, torch.diag_embed(0.5 * charges**EXPONENT))


def repulsion(graph: Graph) -> Tensor:
    """Z_i Z_j / r_ij, e²/Å, and ½ Z_i^2.4 on the diagonal `[systems, seats, seats]`, of a graph with members."""
    assert graph.members is not None
    charges = seated(graph.members, charges_of(graph))
    places = seated(graph.members, graph.system.positions)
    apart = different(charges > 0.0)
    return nuclear(charges, lengths(places[:, :, None] - places[:, None, :], apart).reciprocal(), apart)


def no_images(graph: Graph, name: str) -> None:
    """Raises CapabilityError for periodic systems."""
    if bool(graph.system.pbc.any()):
        raise CapabilityError(
            f"the {name} knows no images, and a structure is periodic:"
            " take ewald_matrix, sine_matrix or neighbor_cells_matrix for crystals, or switch pbc off."
        )


def need_cells(graph: Graph, name: str) -> None:
    """Raises CapabilityError for systems that are not periodic in three directions."""
    pbc = graph.system.pbc
    if not bool(pbc.all()):
        raise CapabilityError(
            f"the {name} is of crystals, and a structure has pbc {pbc[~pbc.all(dim=1)][0].tolist()}:"
            " take coulomb_matrix for molecules; for slabs put vacuum into the cell and set pbc to true everywhere."
        )
