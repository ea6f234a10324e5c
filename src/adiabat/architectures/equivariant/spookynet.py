"""SpookyNet: message passing that feels total charge and spin, attention to the whole molecule, and physical terms.

O. T. Unke, S. Chmiela, M. Gastegger, K. T. Schütt, H. E. Sauceda and K.-R. Müller, Nat. Commun. 12, 7273 (2021),
doi:10.1038/s41467-021-27504-0; program whose numbers it gives: SpookyNet.

| paper | here | shape, unit |
|---|---|---|
| Z | `graph.system.numbers` | [atoms], 1 |
| Q, S | `charge`, unpaired electrons `multiplicity` − 1 | [systems], e, 1 |
| e_Z, e_Ψ | `ConfigurationEmbedding`, `ElectronicEmbedding` | [atoms, channels], 1 |
| x | `x`, at first e_Z + e_Q + e_S | [atoms, channels], 1 |
| g_s, g_p, g_d | harmonics of degree 0, 1, 2 times `radial` | [pairs, 2l+1, channels], 1 |
| c, s, p, d | `own` and the sums in `LocalInteraction` | [atoms, 2l+1, channels], 1 |
| q, k, v (attention) | `queries`, `keys`, `values` | [atoms, channels], 1 |
| y^(t), f | what a module adds to the output, their sum | [atoms, channels], 1 |
| E_i, q_i | the two columns of `output` and `bias`; `charges` | [atoms], eV; [atoms], e |
| E_rep, E_ele, E_vdw | `repulsion`, `electrostatics`, `dispersion`, shared between atoms | [atoms], eV |
| μ | `dipole` = Σ q_i r_i | [systems, 3], e·Å |

Attention sees the whole structure, so that far fragments do not add up, as is intended. Without `reach`, charges and
dispersion act between all atoms of a molecule, and periodic systems are refused.

Departures from the paper: as in the program, D4 has no sum over three bodies; no modules are dropped at random in
training. The largest key of a structure, which the attention's features are relative to, is a mean of those that are
equal within 1e-4. Nothing is added to sums of weights (`guard`; imported models have the program's 1e-8), so that
supercells have exactly their cells' energy. Dispersion is off by default: D4's reference data come with imported
weights alone. With a `reach` beyond the cutoff all pairs up to it are listed, those in the local interaction with
weight zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from adiabat.errors import CapabilityError
from adiabat.geometry import Graph, System
from adiabat.nn.cutoffs import BumpCutoff
from adiabat.nn.dispersion import D4Dispersion
from adiabat.nn.edges import EdgeFeatures, Edges
from adiabat.nn.electron_configurations import ConfigurationEmbedding
from adiabat.nn.electrostatics import SoftenedCoulomb
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.ewald import balanced
from adiabat.nn.linear_attention import LinearAttention
from adiabat.nn.radial import ExponentialBernsteinBasis
from adiabat.nn.residual import Residual, ResidualMLP, orthogonal
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.nn.zbl import TrainedZBL
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy

COULOMB, BOHR, HARTREE = 14.399645351950548, 0.5291772105638411, 27.211386024367243
"""e²/4πε₀ (eV Å), Å and eV as the program has them."""
DEGREES = 3


class SpookyNetConfig(ArchitectureConfig):
    """Options of SpookyNet; the defaults are the paper's, but for dispersion."""

    method: Literal["spookynet"] = "spookynet"
    """Name of the architecture."""
    cutoff: float = Field(default=10.0 * BOHR, gt=0.0)
    """Radius of an atom's neighborhood, Å."""
    reach: float | None = Field(default=None, gt=0.0)
    """Where charges and dispersion cease to act, Å; without, they act between all atoms of a molecule."""
    channels: int = Field(default=128, ge=2)
    """Features of an atom, F."""
    layers: int = Field(default=6, ge=1)
    """Interaction modules, T."""
    basis: int = Field(default=16, ge=2)
    """Exponential Bernstein polynomials, K."""
    residual: int = Field(default=1, ge=0)
    """Residual blocks of each network."""
    features: int | None = Field(default=None, ge=1)
    """Random features of the attention; as many as `channels` if not given."""
    guard: float = Field(default=0.0, ge=0.0)
    """Added to sums of weights; the program's 1e-8, as large as they get in published models, breaks extensivity."""
    repulsion: bool = True
    """Whether nuclei repel each other as in ZBL's potential."""
    electrostatics: bool = True
    """Whether the charges act on each other."""
    dispersion: bool = False
    """Whether there is D4 dispersion, whose reference data come with imported weights alone."""


class ElectronicEmbedding(nn.Module):
    """e_Ψ = resmlp(a_i v), weights a_i from softplus(q_i · k / √F) that add up to 1 (eq. 10).

    Ψ is given as positive columns: charges of either sign have keys and values of their own.
    """

    def __init__(self, config: SpookyNetConfig, columns: int):
        super().__init__()
        self.guard = config.guard
        self.queries = orthogonal(config.channels, config.channels)
        self.keys = orthogonal(columns, config.channels, bias=False)
        self.values = orthogonal(columns, config.channels, bias=False)
        self.network = ResidualMLP(config.channels, config.residual, bias=False, silent=True)

    def forward(self, e_z: Tensor, psi: Tensor, system: System) -> Tensor:
        """`[atoms, channels]` from the nuclei's embedding and `psi [systems, columns]`."""
        keys = self.keys(psi / psi.clamp(min=1.0))[system.system]
        weights = softplus((self.queries(e_z) * keys).sum(dim=1) / e_z.shape[1] ** 0.5)
        shares = weights / (system.sum_over_atoms(weights)[system.system] + self.guard)
        return self.network(shares[:, None] * self.values(psi)[system.system])


class LocalInteraction(nn.Module):
    """l = resmlp(c + s + ⟨P₁ p, P₂ p⟩ + ⟨D₁ d, D₂ d⟩), with sums s, p, d over neighbors (eq. 12, fig. 3c)."""

    def __init__(self, config: SpookyNetConfig):
        super().__init__()
        F = config.channels
        self.own = ResidualMLP(F, config.residual)
        self.sent = nn.ModuleList(ResidualMLP(F, config.residual) for _ in range(DEGREES))
        self.radial = nn.ModuleList(orthogonal(config.basis, F, bias=False) for _ in range(DEGREES))
        self.projections = nn.ModuleList(orthogonal(F, 2 * F, bias=False) for _ in range(DEGREES - 1))
        self.network = ResidualMLP(F, config.residual, silent=True)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """Update of the features `[atoms, channels]`."""
        sums = []
        for l, (sent, radial) in enumerate(zip(self.sent, self.radial, strict=True)):
            messages = edges.to_slots(radial(edges.radial)) * sent(x).index_select(0, edges.hood.neighbors)
            harmonics = edges.harmonics[:, l * l : (l + 1) ** 2]
            sums.append(edges.hood.contract(harmonics[:, None], messages[:, None]))
        scalars = self.own(x) + sums[0][:, 0]
        for projection, vectors in zip(self.projections, sums[1:], strict=True):
            left, right = projection(vectors).chunk(2, dim=2)
            scalars = scalars + (left * right).sum(dim=1)
        return self.network(scalars)


class InteractionModule(nn.Module):
    """x' = residual(x̃ + l + n) with x̃ = residual(x), and y = resmlp(x') (eq. 11, fig. 3b; n: eq. 18)."""

    def __init__(self, config: SpookyNetConfig):
        super().__init__()
        F, blocks = config.channels, config.residual
        self.before = nn.Sequential(*(Residual(F) for _ in range(blocks)))
        self.local = LocalInteraction(config)
        self.asked = nn.ModuleList(ResidualMLP(F, blocks, silent=True) for _ in range(3))
        self.attention = LinearAttention(F, config.features or F, config.guard)
        self.after = nn.Sequential(*(Residual(F) for _ in range(blocks)))
        self.output = ResidualMLP(F, blocks)

    def forward(self, x: Tensor, edges: Edges, graph: Graph) -> tuple[Tensor, Tensor]:
        """The features for the next module and what this one adds to the output, both `[atoms, channels]`."""
        x = self.before(x)
        queries, keys, values = (network(x) for network in self.asked)
        x = self.after(x + self.local(x, edges) + self.attention(queries, keys, values, graph))
        return x, self.output(x)


class SpookyNet(AtomicPotential):
    """Embeddings, interaction modules, energies and charges of atoms, physical terms (fig. 3a)."""

    config: SpookyNetConfig
    physical: ClassVar[bool] = True
    radial = True

    def __init__(self, config: SpookyNetConfig, elements: Iterable[int]):
        super().__init__(config, elements, max(config.cutoff, config.reach or 0.0))
        self.embedding = ConfigurationEmbedding(self.elements, config.channels)
        self.electrons = nn.ModuleList(ElectronicEmbedding(config, columns) for columns in (2, 1))
        self.envelope = BumpCutoff(config.cutoff)
        basis = ExponentialBernsteinBasis(config.basis)
        harmonics = SphericalHarmonics(DEGREES - 1, "norm", normalize=False)
        self.edges = EdgeFeatures(harmonics, basis, self.envelope, None, cutoff_on_basis=True)
        self.interactions = nn.ModuleList(InteractionModule(config) for _ in range(config.layers))
        self.output = orthogonal(config.channels, 2, bias=False)
        self.bias = ElementEmbedding(self.elements, 2)
        nn.init.zeros_(self.bias.table)
        self.repulsion = TrainedZBL(COULOMB, BOHR) if config.repulsion else None
        start, stop = 0.25 * config.cutoff, 0.75 * config.cutoff
        self.electrostatics = SoftenedCoulomb(start, stop, config.reach, COULOMB) if config.electrostatics else None
        self.dispersion = D4Dispersion(self.elements, config.reach, BOHR, HARTREE) if config.dispersion else None

    @property
    def everywhere(self) -> bool:
        """Whether some term acts between all atoms of a molecule."""
        return self.config.reach is None and (self.config.electrostatics or self.config.dispersion)

    def prepare(self, graph: Graph) -> Graph:
        graph = super().prepare(graph).replace(layout=graph.rows()).with_members()
        return graph.with_couples() if self.everywhere else graph

    def check(self, graph: Graph) -> None:
        super().check(graph)
        self._check_dispersion()
        if graph.owned is not None:
            raise CapabilityError("SpookyNet's attention sees all atoms, ghosts too: a structure cannot be split.")
        if self.everywhere and bool(graph.system.pbc.any()):
            raise CapabilityError(
                "without a reach SpookyNet's charges and dispersion act between all atoms, which periodic systems"
                " have no end of: train a model with a reach, or leave pbc away."
            )

    def adapt(self, graphs: Sequence[Graph]) -> None:
        self._check_dispersion()

    def _check_dispersion(self) -> None:
        if self.dispersion is not None and not self.dispersion.known:
            raise CapabilityError(
                "this SpookyNet has no reference data of D4, which come with imported weights:"
                " start from some, or take dispersion: false."
            )

    def features(self, graph: Graph, edges: Edges) -> Tensor:
        """The modules' outputs added up, f `[atoms, channels]`."""
        system = graph.system
        charge = system.charge.to(edges.radial.dtype)
        unpaired = (system.multiplicity - 1).to(charge.dtype)
        e_z = self.embedding(system.numbers)
        x, f = e_z, torch.zeros_like(e_z)
        for electrons, psi in zip(self.electrons, ((charge, -charge), (unpaired,)), strict=True):
            x = x + electrons(e_z, torch.stack(psi, dim=1).clamp(min=0.0), system)
        for module in self.interactions:
            x, y = module(x, edges, graph)
            f = f + y
        return f

    def forward(self, graph: Graph) -> Prediction:
        system, vectors = graph.system, graph.vectors()
        edges = self.edges(vectors, graph, system.numbers, system.numbers)
        energies, charges = (self.output(self.features(graph, edges)) + self.bias(system.numbers)).unbind(1)
        charges = balanced(charges, system)
        if self.repulsion is not None:
            nuclei = system.numbers.to(charges.dtype)
            energies = energies + graph.sum_over_neighbors(
                self.repulsion(edges.distances, self.envelope(edges.distances), nuclei, graph.pairs)
            )
        energies = energies + self._long_range(graph, edges.distances, charges)
        dipole = system.sum_over_atoms(charges[:, None] * system.positions)
        return Prediction(total_energy(energies, graph), atomic_energies=energies, charges=charges, dipole=dipole)

    def atomic_energies(self, graph: Graph) -> Tensor:
        energies = self(graph).atomic_energies
        assert energies is not None
        return energies

    def _long_range(self, graph: Graph, distances: Tensor, charges: Tensor) -> Tensor:
        """Energy of charges and dispersion, half to either atom of a pair `[atoms]`, eV."""
        pairs = graph.pairs
        if self.everywhere:
            pairs = graph.with_couples().couples
            assert pairs is not None
            positions = graph.system.positions
            distances = (positions.index_select(0, pairs[1]) - positions.index_select(0, pairs[0])).norm(dim=1)
        shares = torch.zeros_like(distances)
        if self.electrostatics is not None:
            shares = shares + self.electrostatics(distances, *(charges.index_select(0, ends) for ends in pairs))
        if self.dispersion is not None:
            shares = shares + self.dispersion(distances, charges, pairs, graph)
        return torch.zeros_like(charges).index_add(0, pairs[0], shares)
