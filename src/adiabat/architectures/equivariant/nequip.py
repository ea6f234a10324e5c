"""NequIP: E(3)-equivariant convolutions; with other options, SevenNet.

Batzner, Musaelian, Sun, Geiger, Mailoa, Kornbluth, Molinari, Smidt, Kozinsky, doi:10.1038/s41467-022-29939-5.
SevenNet: Park, Kim, Hwang, Han, doi:10.1021/acs.jctc.4c00190.

| paper | here | shape, unit |
|---|---|---|
| Z_i | `element` | [atoms] |
| r_ij, its length | `graph.vectors()`, `distances` | [pairs, 3], [pairs], Å |
| Y_m^(l)(r̂_ij) | `edges.harmonics` | [slots, (l_max+1)²] |
| B(r_ij), eq. 4 | `edges.radial` | [slots, radial_functions] |
| R(r_ij), eq. 5 | `InteractionBlock.radial` | [slots, paths · channels] |
| V_acm^(l,p) | `features` | one [atoms, 2l+1, channels] per irrep |
| L, the convolution, eq. 8 | `MixedTensorProduct` | one [atoms, 2l+1, paths · channels] per irrep |
| N, before eq. 9 | `average` | [layers, elements] |
| E_i | `atomic_energies` | [atoms], model units |

Slots are pairs laid out in one row per atom (`adiabat.geometry.Neighborhood`).

## Departures from the paper

As in the programs: features are divided by √N before the convolution, where N may differ between the neighbors'
elements; gates are normalized SiLU of scalars; atomic energies are `scale · readout (+ repulsion)`. The two linear
maps of the readout, with nothing between them, are one. The self-connection is a linear map for each element, which
is the paper's product with a one-hot vector. Reference energies are not part of the page: `Referenced` adds them.
SevenNet's models have `symmetry` "SO(3)": their products ignore parity, so that mirror images may differ in energy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.cutoffs import PolynomialCutoff, XPLORCutoff
from adiabat.nn.distance_transforms import PairCutoffs
from adiabat.nn.edges import EdgeFeatures, Edges
from adiabat.nn.embedding import ElementEmbedding
from adiabat.nn.equivariant_linear import ElementLinear, EquivariantLinear
from adiabat.nn.irreps import SCALAR, Irrep, Irreps
from adiabat.nn.mixed_product import MixedTensorProduct
from adiabat.nn.mlp import MLP
from adiabat.nn.normalized import Gate, NormalizedMLP
from adiabat.nn.radial import BesselBasis, DistanceBasis
from adiabat.nn.spherical_harmonics import SphericalHarmonics
from adiabat.nn.zbl import LAMMPS, ZBLRepulsion
from adiabat.potential import ArchitectureConfig, AtomicPotential


class NequIPConfig(ArchitectureConfig):
    """Hyperparameters of NequIP; defaults are customary ones, for the paper chooses them for each system."""

    method: Literal["nequip"] = "nequip"
    cutoff: float = Field(default=5.0, gt=0.0)
    """Å."""
    layers: int = Field(default=4, ge=1)
    """Number of interaction blocks."""
    hidden_irreps: str = "32x0e+32x0o+32x1o+32x1e+32x2e+32x2o"
    """Features between layers; those that no path leads to are left out, and the last layer keeps the scalars."""
    l_max: int = Field(default=2, ge=0)
    """Highest degree of the spherical harmonics."""
    symmetry: Literal["O(3)", "SO(3)"] = "O(3)"
    """SO(3): products ignore parity, and all irreps are written as even ones."""
    embedding: int | None = Field(default=None, ge=1)
    """Channels of the elements' embedding; None: as many as scalars."""
    radial_functions: int = Field(default=8, ge=1)
    """Number of Bessel functions."""
    trainable_basis: bool = True
    """Whether the frequencies of the Bessel functions are trained."""
    radial_network: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of the radial network."""
    radial: Literal["shared", "own"] = "shared"
    """own: each layer has Bessel functions of its own, and biases in a network that the envelope multiplies."""
    cutoff_function: Literal["polynomial", "xplor"] = "polynomial"
    """Envelope of the radial basis."""
    cutoff_power: int = Field(default=6, ge=2)
    """p of the polynomial cutoff."""
    cutoff_onset: float | None = Field(default=None, gt=0.0)
    """Where the X-PLOR cutoff begins to fall, Å; None: at 90 % of the cutoff."""
    pair_cutoffs: tuple[tuple[int, int, float], ...] = ()
    """Smaller cutoffs of pairs of elements: center's atomic number, neighbor's, Å."""
    average_neighbors: float | None = Field(default=None, gt=0.0)
    """Average number of neighbors N; None: taken from the training data."""
    self_connection: Literal["elements", "linear"] = "elements"
    """Linear maps of an atom's own features: one for each element, or one for all."""
    first_self_connection: bool = True
    """Whether the first layer has a self-connection."""
    biases: bool = False
    """Whether the linear maps before and after a convolution have biases, as one fidelity of SevenNet-MF has them."""
    readout: tuple[int, ...] = ()
    """Widths of the readout's hidden layers; none: linear."""
    repulsion: bool = False
    """Whether to add the ZBL repulsion, with the common cutoff."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cutoff_onset is not None and (self.cutoff_function != "xplor" or self.cutoff_onset >= self.cutoff):
            raise ValueError("cutoff_onset must be below the cutoff, and has an effect on the xplor cutoff alone")
        if self.pair_cutoffs and self.cutoff_function != "polynomial":
            raise ValueError("pair_cutoffs need the polynomial cutoff function")
        if any(not 0 < own <= self.cutoff for *_, own in self.pair_cutoffs):
            raise ValueError(f"pair_cutoffs must be above 0 and at most the cutoff of {self.cutoff} Å")
        return self


class InteractionBlock(nn.Module):
    """V' = gate(self-connection(V) + W Σ_j R(r_ij) ∘ (W' V_j / √N ⊗ Y_ij)), fig. 1 b and eqs. 8 and 9.

    Args:
        config: of the model.
        before: irreps of the features.
        harmonics: irreps of Y.
        after: wanted irreps of the next features, scalars first; what cannot be made is left out.
        elements: number of elements.
        connected: whether there is a self-connection.
    """

    def __init__(
        self, config: NequIPConfig, before: Irreps, harmonics: Irreps, after: Irreps, elements: int, connected: bool
    ):
        super().__init__()
        self.gate = Gate(MixedTensorProduct.reachable(before, harmonics, after), gates="silu", odd="tanh")
        inner = self.gate.irreps_in
        used = MixedTensorProduct.sources(before, harmonics, inner)
        self.up = EquivariantLinear(before, used, config.biases)
        self.convolution = MixedTensorProduct(used, harmonics, inner)
        widths = (config.radial_functions, *config.radial_network, self.convolution.weights)
        if config.radial == "own":
            basis = BesselBasis(config.radial_functions, config.cutoff, config.trainable_basis)
            self.radial = nn.Sequential(nn.Flatten(0), basis, MLP(widths, "silu"))
        else:
            self.radial = NormalizedMLP(widths)
        self.down = EquivariantLinear(self.convolution.irreps_out, inner, config.biases)
        own = Irreps(tuple(term for term in inner if before.count(term[1])))
        per_element = config.self_connection == "elements"
        connection = ElementLinear(before, own, elements) if per_element else EquivariantLinear(before, own)
        self.connection = connection if connected else None
        self.places = [k for k, (_, ir) in enumerate(inner) if before.count(ir)]

    def forward(self, features: Sequence[Tensor], edges: Edges, norm: Tensor) -> list[Tensor]:
        """The next features; `norm [atoms]` is 1/√N of each atom as a neighbor."""
        narrow = [x * norm[:, None, None] for x in self.up(features)]
        message = self.convolution(narrow, edges, lambda: edges.to_slots(self.radial(edges.radial)))
        made = self.down(message)
        if isinstance(self.connection, ElementLinear):
            own = self.connection(features, edges.element)
        else:
            own = [] if self.connection is None else self.connection(features)
        for place, x in zip(self.places, own, strict=False):
            made[place] = made[place] + x
        return self.gate(made)


class NequIP(AtomicPotential):
    """E_i = scale · readout(V_i) with features V from equivariant convolutions, fig. 1 a."""

    config: NequIPConfig
    average: Tensor
    scale: Tensor

    def __init__(self, config: NequIPConfig, elements: Iterable[int]):
        super().__init__(config, elements, config.cutoff)
        hidden, count = Irreps.parse(config.hidden_irreps), len(self.elements)
        scalars = Irreps(hidden.terms[:1])
        if hidden.terms[0][1] != SCALAR:
            raise ConfigError(f"hidden_irreps '{hidden}' do not begin with scalars: write for example 64x0e+64x1o.")
        free = config.symmetry == "SO(3)"
        if free and any(ir.parity < 0 for _, ir in hidden):
            raise ConfigError(
                f"hidden_irreps '{hidden}': with symmetry SO(3) write all irreps as even ones, 1e for 1o."
            )
        harmonics = Irreps(tuple((1, Irrep(l, 1 if free else (-1) ** l)) for l in range(config.l_max + 1)))
        self.radial, self.mirrored, own = not config.pair_cutoffs, not free, config.radial == "own"
        self.kink = config.cutoff_onset or 0.9 * config.cutoff if config.cutoff_function == "xplor" else None
        self.edges = EdgeFeatures(
            SphericalHarmonics(config.l_max, normalize=False),
            DistanceBasis() if own else BesselBasis(config.radial_functions, config.cutoff, config.trainable_basis),
            XPLORCutoff(config.cutoff, self.kink)
            if self.kink
            else PolynomialCutoff(config.cutoff, config.cutoff_power),
            PairCutoffs(config.cutoff, config.pair_cutoffs) if config.pair_cutoffs else None,
            cutoff_on_basis=not own,
            cutoff_of_coordinate=True,
        )
        before = Irreps(((config.embedding or scalars.count(SCALAR), SCALAR),))
        self.embedding = ElementEmbedding(self.elements, before.count(SCALAR))
        self.layers = nn.ModuleList()
        for layer in range(config.layers):
            after = scalars if layer == config.layers - 1 else hidden
            connected = config.first_self_connection or layer > 0
            block = InteractionBlock(config, before, harmonics, after, count, connected)
            self.layers.append(block)
            before = block.gate.irreps_out
        self.readout = NormalizedMLP((scalars.count(SCALAR), *config.readout, 1))
        self.repulsion = ZBLRepulsion(config.cutoff_power, config.cutoff, LAMMPS) if config.repulsion else None
        self.register_buffer("average", torch.full((config.layers, count), config.average_neighbors or 1.0))
        self.register_buffer("scale", torch.ones(count))

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the average number of neighbors of the atoms that have any, unless the configuration gives it."""
        if self.config.average_neighbors is None:
            counts = torch.cat([torch.bincount(g.centers) for g in graphs])
            self.average.fill_(counts[counts > 0].double().mean() if bool((counts > 0).any()) else 1.0)

    def prepare(self, graph: Graph) -> Graph:
        return super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))

    def freeze(self) -> None:
        for layer in self.layers:
            layer.convolution.freeze(self.edges.tables(layer.radial, self.elements, self.cutoff, self.kink))  # type: ignore

    def atomic_energies(self, graph: Graph) -> Tensor:
        graph = super().prepare(graph) if self.is_frozen else graph.replace(layout=graph.rows())
        vectors, numbers = graph.vectors(), graph.system.numbers
        element = self.embedding.row[numbers]
        edges = self.edges(vectors, graph, element, self.average)
        features = [self.embedding(numbers)[:, None]]
        for layer, average in zip(self.layers, self.average.unbind(0), strict=True):
            features = layer(features, edges, average.rsqrt()[element])
        energies = self.scale[element] * self.readout(features[0][:, 0])[:, 0]
        if self.repulsion is not None:
            energies = energies + self.repulsion(vectors.norm(dim=1), numbers, graph.pairs)
        return energies
