"""Deep Potential: networks of each element on smooth descriptors whose embedding is trained too.

L. Zhang et al., Phys. Rev. Lett. 120, 143001 (2018), doi:10.1103/PhysRevLett.120.143001; smooth descriptors
(DeepPot-SE): L. Zhang et al., arXiv:1805.09003; tables for close pairs: H. Wang et al.,
arXiv:1904.00360. Program whose numbers it gives: DeePMD-kit, doi:10.1063/5.0155600.

| paper | here | shape, unit |
|---|---|---|
| R_ij | `graph.vectors()` | [pairs, 3], Å |
| R̃_i (DeepPot-SE) | `EnvironmentMatrix` | [pairs, 4], 1 |
| G(s(r_ij)) | `TwoBodyDescriptor.embedded`, `TypedNetworks` | [pairs, M], 1 |
| D_i | `self.descriptor(graph)` | [atoms, size], 1 |
| N_{α_i}(D_i), the fitting network | `self.networks` | [atoms, 1], eV |
| μ_i, α_i, dipoles and polarizabilities | `FittingHead` | [atoms, 3], e·Å; [atoms, 3, 3], e·Å²/V |
| r_i + η_Z m_i, virtual atoms (DeepSPIN) | `VirtualAtoms` | [atoms, 3], Å |
| w_i, weight of the table (2019) | `nearness` | [atoms], 1 |

Departures from the paper: descriptor and fitting network are two choices; an empty slot counts as a neighbor at the
cutoff and slots are never full, where the program drops the farthest neighbors; slots, mean and deviation come from
the training data before the first fit; energies are relative to those of the elements when wrapped in `Referenced`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import element_index
from adiabat.descriptors.embedded import VIRTUAL
from adiabat.descriptors.hybrid import Choice, Hybrid, embedded_descriptor
from adiabat.descriptors.se_e2_a import SeE2A, SeE2ASettings
from adiabat.descriptors.virtual_atoms import VirtualAtoms, with_virtual
from adiabat.elements import number
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph
from adiabat.nn.fittings import EnergyFitting, Fitting, FittingHead, PropertyFitting
from adiabat.nn.grouped_networks import GroupedNetworks
from adiabat.nn.pair_table import PairTable, nearness
from adiabat.potential import ArchitectureConfig, AtomicPotential, Prediction, total_energy
from adiabat.settings import Settings


class ShortRange(Settings):
    """Energies of close pairs from a table that takes over from the networks."""

    inner: float = Field(default=0.8, ge=0.0)
    """Distance below which an atom's energy is the table's alone, Å."""
    outer: float = Field(default=1.6, gt=0.0)
    """Distance above which it is the network's alone, Å."""
    length: float = Field(default=0.1, gt=0.0)
    """How sharply the nearest neighbor decides (smin_alpha), Å."""
    start: float = Field(default=0.02, gt=0.0)
    """First knot of the table, Å."""
    step: float = Field(default=0.02, gt=0.0)
    """Distance of its knots, Å."""
    intervals: int = Field(default=300, ge=1)
    """Number of its intervals."""


class DeepPotentialConfig(ArchitectureConfig):
    """Options of descriptor and fitting networks; the defaults are DeepPot-SE's."""

    method: Literal["deep_potential"] = "deep_potential"
    """Name of the architecture."""
    descriptor: Choice = SeE2ASettings()
    """The descriptor and its options: `kind` is se_e2_a, se_e2_r, se_e3, se_e3_tebd, se_atten or hybrid."""
    hidden: tuple[int, ...] = Field(default=(240, 240, 240), min_length=1)
    """Widths of the fitting networks' layers."""
    activation: str = "tanh"
    """Activation function of the fitting networks."""
    steps: bool = True
    """Whether layers that add their input have trained factors (resnet_dt)."""
    networks: Literal["element", "shared"] = "element"
    """One fitting network for each element, or one for all, with a descriptor that tells elements apart."""
    frame_parameters: int = Field(default=0, ge=0)
    """Numbers of a frame, such as a temperature of the electrons, that all its atoms' networks read."""
    atom_parameters: int = Field(default=0, ge=0)
    """Numbers of an atom that its network reads."""
    silent: tuple[str, ...] = ()
    """Elements whose atoms have no energy of their own."""
    fitting: Fitting = EnergyFitting()
    """What the networks give: energy, dipole, polarizability or property. Only energies come with forces."""
    spin: dict[str, Annotated[float, Field(ge=0.0)]] = {}
    """Elements whose atoms are held at magnetic moments, with the distance of the virtual atom at a moment's tip per
    moment, Å/μB (virtual_scale); others have none, as with 0."""
    spin_reach: float = Field(default=1.5, gt=0.0)
    """Largest distance of a virtual atom from its atom, Å."""
    vacuum: bool = False
    """Whether a network's output at features of 0 is subtracted, so that only what surroundings add is learned."""
    short_range: ShortRange | None = None
    """A table for close pairs, at first the universal nuclear repulsion, for `data.scale: 1`; null for none."""


class DeepPotential(AtomicPotential):
    """E = Σ_i N_{Z_i}(D_i) (2018, eq. 1): an embedded descriptor into one residual network per element."""

    element: Tensor
    parameters_mean: Tensor
    parameters_factor: Tensor
    given: Tensor
    speaks: Tensor

    def __init__(self, config: DeepPotentialConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        options, kinds, reach = config.descriptor, elements, 0.0
        if config.spin:
            options, reach = with_virtual(options, elements, config.spin), config.spin_reach
            kinds = [*elements, *(z + VIRTUAL for z in elements)]
        descriptor = embedded_descriptor(options, kinds)
        super().__init__(config, elements, descriptor.cutoff + reach)
        self.virtual = VirtualAtoms(elements, config.spin, reach) if config.spin else None
        self.descriptor, self.vacuum = descriptor, config.vacuum
        more = config.frame_parameters + config.atom_parameters
        widths = (descriptor.size + more, *config.hidden)
        self.shared = config.networks == "shared"
        count = 1 if self.shared else len(elements)
        self.head = _head(config, len(elements), descriptor.vectors)
        self.gives_energy = self.head is None
        outputs = 1 if self.head is None else self.head.outputs
        self.networks = GroupedNetworks(count, widths, config.activation, config.steps, outputs)
        self.short_range = config.short_range
        if config.short_range is not None:
            short = config.short_range
            if not short.inner < short.outer <= self.cutoff:
                raise ConfigError(
                    f"short_range needs inner {short.inner} < outer {short.outer} ≤ {self.cutoff} Å, the cutoff."
                )
            self.table = PairTable(elements, self.cutoff, short.start, short.step, short.intervals)
            self.shift = nn.Parameter(torch.zeros(len(elements)))  # of the networks against the table
        silent = {number(name) for name in config.silent}
        if silent - set(elements):
            raise ConfigError(f"silent names {', '.join(config.silent)}, and not all are elements of the model.")
        speaks = torch.tensor([float(z not in silent) for z in self.elements])
        self.register_buffer("element", element_index(self.elements), persistent=False)
        self.register_buffer("speaks", speaks, persistent=False)
        self.register_buffer("parameters_mean", torch.zeros(more))
        self.register_buffer("parameters_factor", torch.ones(more))
        self.register_buffer("given", torch.zeros(1, more))
        self.of_atoms: Tensor | None = None

    @property
    def feels(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset() if self.virtual is None else frozenset({"moments"})

    def check(self, graph: Graph) -> None:
        super().check(graph)
        if self.virtual is not None:
            self.virtual.check(graph)

    def prepare(self, graph: Graph) -> Graph:
        triplets = self.descriptor.triplets(graph)
        graph = super().prepare(graph if self.is_frozen else graph.replace(layout=graph.rows()))
        return graph if triplets is None else graph.replace(triplets=triplets)

    def set_parameters(self, frame: Sequence[float] | Tensor = (), atom: Sequence[float] | Tensor = ()) -> None:
        """The parameters from now on; saved with the model if they are the same for all atoms.

        Args:
            frame: `[frame_parameters]`, of every frame.
            atom: `[atom_parameters]` for all atoms, or `[atoms, atom_parameters]` for the structures that follow.

        Raises:
            ConfigError: the model reads another number of parameters.
        """
        assert isinstance(self.config, DeepPotentialConfig)
        of_frame, of_atoms = torch.as_tensor(frame).flatten(), torch.atleast_2d(torch.as_tensor(atom))
        wanted = (self.config.frame_parameters, self.config.atom_parameters)
        if (of_frame.shape[0], of_atoms.shape[1]) != wanted:
            raise ConfigError(
                f"{of_frame.shape[0]} frame and {of_atoms.shape[1]} atom parameters are given where the model reads"
                f" {wanted[0]} and {wanted[1]}."
            )
        spread = of_frame.to(self.given).expand(of_atoms.shape[0], -1)
        given = torch.cat((spread, of_atoms.to(self.given)), dim=1)
        self.of_atoms = given if given.shape[0] > 1 else None
        if self.of_atoms is None:
            self.given.copy_(given)

    def outputs(self, features: Tensor, element: Tensor) -> Tensor:
        """What the networks give `[atoms, outputs]` of the descriptor's features."""
        if self.given.shape[1]:
            given = self.given if self.of_atoms is None else self.of_atoms
            parameters = (given - self.parameters_mean) * self.parameters_factor
            features = torch.cat((features, parameters.expand(element.shape[0], -1)), dim=1)
        network = torch.zeros_like(element) if self.shared else element
        values = self.networks(features, network)
        if self.vacuum:
            size = self.descriptor.size
            nothing = torch.cat((torch.zeros_like(features[:, :size]), features[:, size:]), dim=1)
            values = values - self.networks(nothing, network)
        return values

    def atomic_energies(self, graph: Graph) -> Tensor:
        element = self.element[graph.system.numbers]
        if self.virtual is None:
            features = self.descriptor(graph)
        else:
            features = self.descriptor(self.virtual.doubled(graph))[: element.shape[0]]
        energies = self.outputs(features, element)[:, 0]
        if self.short_range is not None:
            energies = self.mixed(graph, energies + self.shift.index_select(0, element), self.short_range)
        return energies * self.speaks.index_select(0, element)

    def forward(self, graph: Graph) -> Prediction:
        if self.head is None:
            return super().forward(graph)
        element = self.element[graph.system.numbers]
        features, vectors = self.descriptor.with_vectors(graph)
        invariant = isinstance(self.head.options, PropertyFitting)
        atomic = self.head(self.outputs(features, element), element, None if invariant else vectors)
        atomic = atomic * self.speaks.index_select(0, element).view(-1, *(1,) * (atomic.dim() - 1))
        total = total_energy(atomic, graph)
        if isinstance(self.head.options, PropertyFitting) and self.head.options.mean:
            counts = total_energy(torch.ones_like(atomic[:, 0]), graph)
            total = total / counts.clamp(min=1.0)[:, None]
        kind = self.head.options.kind
        unknown = torch.full_like(graph.system.charge, torch.nan, dtype=torch.float64)
        return Prediction(unknown, properties={f"atomic_{kind}": atomic}, **{kind: total.to(atomic.dtype)})

    def mixed(self, graph: Graph, energies: Tensor, options: ShortRange) -> Tensor:
        """Energies of atoms with the table's where neighbors are close `[atoms]`, eV (arXiv:1904.00360)."""
        element, distances = self.element[graph.system.numbers], graph.vectors().norm(dim=1)
        kinds = graph.of_centers(element) * len(self.elements) + graph.of_neighbors(element)
        table = graph.sum_over_neighbors(self.table(distances, kinds))
        radii = (options.inner, options.outer, options.length)
        weight = nearness(distances, graph.centers, graph.system.atoms, *radii)
        return weight * table + (1.0 - weight) * energies

    def freeze(self) -> None:
        if self.head is not None or self.virtual is not None:
            raise CapabilityError(
                "DeepPotential has fast kernels for energies without spin only: compile the model instead."
            )
        members = self.descriptor.members if isinstance(self.descriptor, Hybrid) else (self.descriptor,)
        tabulated = [part for part in members if isinstance(part, SeE2A)]
        if not tabulated:
            raise CapabilityError("DeepPotential has fast kernels for se_e2_a alone: compile the model instead.")
        for part in tabulated:
            part.freeze()

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets the descriptor's slots, mean and deviation from the training graphs."""
        self.descriptor.adapt(graphs if self.virtual is None else [self.virtual.doubled(graph) for graph in graphs])


def _head(config: DeepPotentialConfig, kinds: int, vectors: int) -> FittingHead | None:
    """The head of all that is no energy."""
    if isinstance(config.fitting, EnergyFitting):
        return None
    if config.spin:
        raise ConfigError(f"spin is for energies, and fitting is {config.fitting.kind}: leave it out.")
    if config.short_range is not None:
        raise ConfigError(f"short_range mixes energies, and fitting is {config.fitting.kind}: leave it out.")
    if not vectors and not isinstance(config.fitting, PropertyFitting):
        raise ConfigError(
            f"a {config.fitting.kind} needs vectors, which the descriptor {config.descriptor.kind} has not: take"
            " se_e2_a or se_atten, alone or in a hybrid."
        )
    return FittingHead(config.fitting, kinds, vectors)
