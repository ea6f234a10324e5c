"""MEGNet: networks of atoms, bonds and the state of the whole, for properties of crystals.

C. Chen, W. Ye, Y. Zuo, C. Zheng and S. P. Ong, Chem. Mater. 31, 3564 (2019), doi:10.1021/acs.chemmater.9b01294;
program whose numbers it gives: matgl (doi:10.1038/s41524-025-01742-y).

| paper | here | shape, unit |
|---|---|---|
| v_i | `v` | [atoms, channels], 1 |
| e_k | `e` | [pairs, channels], 1 |
| u | `u` | [systems, channels], 1 |
| φ_e, φ_v, φ_u | `bonds`, `atoms`, `state` | |
| formation energy per atom | `per_atom` | [systems], model's energy unit |

**No potential for dynamics.** The model predicts one number for a crystal, the formation energy per atom. The
energy of a Prediction is that number times the number of atoms: the formation energy of the structure relative to
the elements in their reference phases, eV, not a total energy. It is the same for a supercell (8 times that of the
cell for 2×2×2), but two fragments far apart do not add up, for both feel the state of the whole; and it jumps where a
neighbor crosses the cutoff, so that forces, its gradient, are good for nothing but small displacements.

Departures from the paper, all as in matgl: Gaussians are exp(−(r − μ)²/(2 width²)) with a width of 1 Å, the state
starts from zeros, atoms are not sorted into kinds of bonds. A structure without any pair has zero for the means and
the summary of its pairs, where the program gives not-a-number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.errors import CapabilityError
from adiabat.geometry import Graph
from adiabat.nn.activations import shifted_softplus
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.mlp import MLP
from adiabat.nn.pooling import Set2Set, group_mean
from adiabat.nn.radial import GaussianBasis
from adiabat.potential import ArchitectureConfig, Potential, Prediction

STATE = 2
"""Inputs of the state, all zero, as in the program."""


class MEGNetConfig(ArchitectureConfig):
    """Options of MEGNet; the defaults are those of the published formation-energy model."""

    method: Literal["megnet"] = "megnet"
    """Name of the architecture."""
    cutoff: float = Field(default=4.0, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    basis: int = Field(default=100, ge=2)
    """Gaussians of the distance."""
    last_center: float = Field(default=5.0, gt=0.0)
    """Center of the last Gaussian, Å; the first is at zero."""
    width: float = Field(default=1.0, gt=0.0)
    """Standard deviation of the Gaussians, Å."""
    element_channels: int = Field(default=16, ge=1)
    """Trained features of an element."""
    channels: int = Field(default=32, ge=1)
    """Features of an atom, a bond and the state."""
    layers: int = Field(default=3, ge=1)
    """Blocks."""
    encoder: tuple[int, ...] = (64,)
    """Hidden layers of the networks before a block."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers of the updates in a block."""
    head: tuple[int, ...] = (32, 16)
    """Hidden layers of the output network."""
    questions: int = Field(default=2, ge=1)
    """Steps of Set2Set."""


class Dense(MLP):
    """Dense layers with a shifted softplus after each, the last included."""

    def __init__(self, widths: Sequence[int]):
        super().__init__(widths, "shifted-softplus")

    def forward(self, values: Tensor) -> Tensor:
        """`[..., widths[0]]` to `[..., widths[-1]]`."""
        return shifted_softplus(super().forward(values))


class Block(nn.Module):
    """Dense layers, then updates of bonds, atoms and state (eqs. 1–6), added to what came in (fig. 2)."""

    def __init__(self, config: MEGNetConfig, first: bool):
        super().__init__()
        own, width = (config.channels, *config.encoder, config.channels), config.channels
        self.before = None if first else nn.ModuleList(Dense(own) for _ in range(3))
        self.bonds = Dense((4 * width, *config.hidden, width))
        self.atoms = Dense((3 * width, *config.hidden, width))
        self.state = Dense((3 * width, *config.hidden, width))

    def forward(self, graph: Graph, v: Tensor, e: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New features of atoms `[atoms, channels]`, pairs `[pairs, channels]` and systems `[systems, channels]`."""
        before = (v, e, u)
        if self.before is not None:
            v, e, u = (layer(x) for layer, x in zip(self.before, before, strict=True))
        system, systems, atoms = graph.system.system, graph.system.systems, graph.system.atoms
        of_pair = graph.of_centers(system)
        near = torch.cat([graph.of_centers(v), graph.of_neighbors(v), e, u.index_select(0, of_pair)], dim=1)
        e = self.bonds(near)
        v = self.atoms(torch.cat([v, group_mean(e, graph.centers, atoms), u.index_select(0, system)], dim=1))
        means = group_mean(e, of_pair, systems), group_mean(v, system, systems)
        u = self.state(torch.cat([u, *means], dim=1))
        return v + before[0], e + before[1], u + before[2]


class MEGNet(Potential):
    """Encoders, blocks, Set2Set of atoms and of bonds, output network (fig. 2)."""

    radial = True

    def __init__(self, config: MEGNetConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        hidden, width = (*config.encoder, config.channels), config.channels
        self.embedding = ElementEmbedding(self.elements, config.element_channels)
        self.basis = GaussianBasis(config.basis, 0.0, config.last_center)
        self.basis.widths.fill_(config.width)
        self.encode_atoms = Dense((config.element_channels, *hidden))
        self.encode_bonds = Dense((config.basis, *hidden))
        self.encode_state = Dense((STATE, *hidden))
        self.blocks = nn.ModuleList(Block(config, first=k == 0) for k in range(config.layers))
        self.atom_summary = Set2Set(width, config.questions)
        self.bond_summary = Set2Set(width, config.questions)
        self.head = MLP((5 * width, *config.head, 1), "shifted-softplus")

    def check(self, graph: Graph) -> None:
        super().check(graph)
        if graph.owned is not None:
            raise CapabilityError(
                "MEGNet has no energies of atoms, so that ghost atoms cannot be left out of its sum."
            )

    def per_atom(self, graph: Graph) -> Tensor:
        """Formation energy per atom `[systems]`."""
        system, systems = graph.system.system, graph.system.systems
        v = self.encode_atoms(self.embedding(graph.system.numbers))
        e = graph.spread(self.encode_bonds(self.basis(graph.once(graph.vectors()).norm(dim=1))))
        u = self.encode_state(v.new_zeros((systems, STATE)))
        for block in self.blocks:
            v, e, u = block(graph, v, e, u)
        bonds = self.bond_summary(e, graph.of_centers(system), systems)
        return self.head(torch.cat([self.atom_summary(v, system, systems), bonds, u], dim=1))[:, 0]

    def forward(self, graph: Graph) -> Prediction:
        """Formation energy of the structure relative to the elements `[systems]`, and nothing else."""
        counts = graph.system.sum_over_atoms(torch.ones_like(graph.system.numbers, dtype=torch.float64))
        return Prediction(energy=self.per_atom(graph).double() * counts)
