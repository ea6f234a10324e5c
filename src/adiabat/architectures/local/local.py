"""Any descriptor with any regressor.

The scheme of J. Behler, Int. J. Quantum Chem. 115, 1032 (2015), doi:10.1002/qua.24890: an atom's energy is a function
of a descriptor of its surroundings. Named methods (SNAP, ACE, GAP, MTP, BPNN ...) are choices of the two.

| paper | here | shape, unit |
|---|---|---|
| G_i | `descriptor(graph)` | [atoms, size] |
| E_i | `head(values, element)` | [atoms], eV |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from adiabat.described import AnyRegressor, DescribedPotential, LinearConfig
from adiabat.descriptors import AnyDescriptor
from adiabat.descriptors.acsf import ACSFConfig
from adiabat.descriptors.selected import selected
from adiabat.descriptors.selection import SelectConfig
from adiabat.potential import ArchitectureConfig


class LocalConfig(ArchitectureConfig):
    """A descriptor and a regressor."""

    method: Literal["local"] = "local"
    """Name of the architecture."""
    descriptor: AnyDescriptor = ACSFConfig()
    """What describes an atom's surroundings: `kind` and its options."""
    select: SelectConfig | None = None
    """Features of each element that are used, chosen from the training data: `method` (cur, farthest, pearson or
    random), `count` and their options; null for all of the descriptor's."""
    regressor: AnyRegressor = LinearConfig()
    """What makes an energy of that: `kind` (linear, quadratic, gaussian_process, network) and its options."""


class Local(DescribedPotential):
    """E = Σ_i regressor(descriptor_i)."""

    config: LocalConfig

    @classmethod
    def fitter_for(cls, config: LocalConfig) -> str:
        if config.descriptor.trained:
            linear = config.regressor.kind == "linear" and config.descriptor.projected
            return "projection" if linear else "gradient"
        return config.regressor.fitter

    def __init__(self, config: LocalConfig, elements: Iterable[int]):
        elements = sorted({int(z) for z in elements})
        descriptor = selected(config.descriptor.build(elements), config.select)
        super().__init__(config, elements, descriptor, config.regressor.build(descriptor), config.regressor.scaling)
