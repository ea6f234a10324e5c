"""Several Deep Potential descriptors side by side, each with its own cutoff (DeePMD-kit, doi:10.1063/5.0155600)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.descriptors.base import Descriptor
from adiabat.descriptors.embedded import EmbeddedDescriptor
from adiabat.descriptors.se_atten import SeAttenSettings
from adiabat.descriptors.se_e2_a import SeE2ASettings
from adiabat.descriptors.se_e2_r import SeE2RSettings
from adiabat.descriptors.se_e3 import AngularDescriptor, SeE3Settings
from adiabat.descriptors.se_e3_tebd import SeE3TebdSettings
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.settings import Settings

Part = Annotated[
    SeE2ASettings | SeE2RSettings | SeE3Settings | SeE3TebdSettings | SeAttenSettings, Field(discriminator="kind")
]


class HybridSettings(Settings):
    """Options of the descriptor."""

    kind: Literal["hybrid"] = "hybrid"
    """Name of the descriptor."""
    parts: tuple[Part, ...] = Field(min_length=1)
    """Descriptors whose features stand one after the other."""


Choice = Annotated[
    SeE2ASettings | SeE2RSettings | SeE3Settings | SeE3TebdSettings | SeAttenSettings | HybridSettings,
    Field(discriminator="kind"),
]


class Hybrid(Descriptor):
    """Features of the parts one after the other.

    Args:
        options: of the parts.
        elements: atomic numbers.
    """

    def __init__(self, options: HybridSettings, elements: Iterable[int]):
        elements = sorted(elements)
        parts = [part.build(elements) for part in options.parts]
        super().__init__(elements, max(part.cutoff for part in parts))
        angular = [part.cutoff for part in parts if isinstance(part, AngularDescriptor)]
        if len(set(angular)) > 1:
            raise ConfigError(f"the parts with angles have cutoffs {angular} Å: give them the same.")
        self.parts = nn.ModuleList(parts)
        self.sizes = (sum(part.size for part in parts),) * len(elements)
        self.vectors = sum(part.vectors for part in parts)

    @property
    def members(self) -> tuple[EmbeddedDescriptor, ...]:
        """The parts."""
        return tuple(self.parts)  # type: ignore[return-value]

    def forward(self, graph: Graph) -> Tensor:
        return torch.cat([part(graph) for part in self.parts], dim=1)

    def with_vectors(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Features `[atoms, size]` and the atoms' vectors `[atoms, 3, vectors]` of all parts."""
        features, vectors = zip(*(part.with_vectors(graph) for part in self.members), strict=True)
        return torch.cat(features, dim=1), torch.cat(vectors, dim=2)

    def adapt(self, graphs: Sequence[Graph]) -> None:
        """Sets what the parts take from training graphs."""
        for part in self.members:
            part.adapt(graphs)

    def triplets(self, graph: Graph) -> Tensor | None:
        """The triplets of the parts with angles."""
        return next((part.triplets(graph) for part in self.members if isinstance(part, AngularDescriptor)), None)


def embedded_descriptor(options: Choice, elements: Sequence[int]) -> EmbeddedDescriptor | Hybrid:
    """The descriptor that the options describe."""
    return Hybrid(options, elements) if isinstance(options, HybridSettings) else options.build(elements)
