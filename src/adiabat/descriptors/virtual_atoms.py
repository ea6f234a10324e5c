"""Magnetic moments as atoms at their tips: DeepSPIN (T. Yang et al., Phys. Rev. B 110, 064427 (2024)).

doi:10.1103/PhysRevB.110.064427. Beside each magnetic atom i stands a virtual one at r_i + η_Z m_i, which all atoms
see as a neighbor of an element of its own and which has no energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adiabat.descriptors.base import element_index
from adiabat.descriptors.embedded import VIRTUAL, name_of
from adiabat.descriptors.hybrid import Choice
from adiabat.descriptors.se_e2_a import SeE2ASettings
from adiabat.descriptors.se_e2_r import SeE2RSettings
from adiabat.elements import number
from adiabat.errors import CapabilityError, ConfigError
from adiabat.geometry import Graph, PairList


def with_virtual(options: Choice, elements: Sequence[int], scales: Mapping[str, float]) -> Choice:
    """Options of the descriptor of real and virtual atoms, in which virtual atoms without a moment are not seen.

    Raises:
        ConfigError: a descriptor that has no pairs of elements, no protection, or an element that is not there.
    """
    if not isinstance(options, SeE2ASettings | SeE2RSettings):
        raise ConfigError("spin needs the descriptor se_e2_a or se_e2_r: take one of them.")
    if not options.protection:
        raise ConfigError("spin needs descriptor.protection above 0 Å, since moments may be 0: set it to 0.01.")
    unknown = {number(name) for name in scales} - set(elements)
    if unknown:
        raise ConfigError(f"spin names {', '.join(scales)}, and not all are elements of the model.")
    magnetic = {number(name) for name, scale in scales.items() if scale}
    kinds = [*elements, *(z + VIRTUAL for z in elements)]
    hidden = [(name_of(z + VIRTUAL), name_of(other)) for z in elements if z not in magnetic for other in kinds]
    return options.model_copy(update={"exclude": (*options.exclude, *hidden)})


class VirtualAtoms(nn.Module):
    """Adds the virtual atoms to a graph.

    Args:
        elements: atomic numbers, ascending.
        scales: η, Å/μB, by symbol.
        reach: largest distance of a virtual atom from its atom, Å.
    """

    element: Tensor
    scale: Tensor

    def __init__(self, elements: Sequence[int], scales: Mapping[str, float], reach: float):
        super().__init__()
        self.reach = reach
        named = {number(name): scale for name, scale in scales.items()}
        self.register_buffer("element", element_index(elements), persistent=False)
        scale = torch.tensor([float(named.get(z, 0.0)) for z in elements], dtype=torch.float64)
        self.register_buffer("scale", scale, persistent=False)

    def steps(self, graph: Graph) -> Tensor:
        """From each atom to its virtual one `[atoms, 3]`, Å; 0 without moments."""
        environment = graph.system.environment
        if environment is None or environment.moments is None:
            return torch.zeros_like(graph.system.positions)
        moments = environment.moments
        return moments * self.scale.to(moments.dtype).index_select(0, self.element[graph.system.numbers])[:, None]

    def check(self, graph: Graph) -> None:
        """Raises CapabilityError for moments so large that the graph may lack pairs."""
        longest = float(self.steps(graph).detach().norm(dim=1).max())
        if longest > self.reach:
            raise CapabilityError(
                f"a moment's virtual atom is {longest:.3g} Å away, more than spin_reach {self.reach} Å: raise it."
            )

    def doubled(self, graph: Graph) -> Graph:
        """Real atoms and after them the virtual ones, which are neighbors only; `graph` reaches `reach` farther."""
        system, atoms = graph.system, graph.system.atoms
        own = torch.arange(atoms, device=system.numbers.device)
        centers = torch.cat((graph.centers, graph.centers, own))
        neighbors = torch.cat((graph.neighbors, graph.neighbors + atoms, own + atoms))
        shifts = torch.cat((graph.shifts, graph.shifts, torch.zeros_like(own)[:, None].expand(-1, 3)))
        both = system.replace(
            positions=torch.cat((system.positions, system.positions + self.steps(graph))),
            numbers=torch.cat((system.numbers, system.numbers + VIRTUAL)),
            system=torch.cat((system.system, system.system)),
            environment=None,
        )
        pairs = torch.stack((centers, neighbors))
        return Graph(both, pairs, shifts, graph.cutoff, layout=PairList(pairs, both.atoms))
