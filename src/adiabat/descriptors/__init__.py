"""The descriptors, one page each, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from adiabat.descriptors.base import DescriptorConfig
from adiabat.errors import ConfigError, did_you_mean
from adiabat.settings import Kinds


@dataclass(frozen=True)
class Page:
    """Where a descriptor is and what it is called.

    Attributes:
        kind: what configurations call it.
        module: its module in this package.
        config: name of its configuration class, whose `build` makes the descriptor.
        title: one line for tables.
        paper: DOI.
    """

    kind: str
    module: str
    config: str
    title: str
    paper: str

    @property
    def config_class(self) -> Any:
        """The page's configuration, a DescriptorConfig or a StructureConfig."""
        return getattr(import_module(f"{__name__}.{self.module}"), self.config)


DESCRIPTORS = {
    p.kind: p
    for p in (
        Page(
            "ace",
            "ace",
            "ACEDescriptorConfig",
            "Invariants of the atomic cluster expansion",
            "10.1103/PhysRevB.99.014104",
        ),
        Page(
            "acsf",
            "acsf",
            "ACSFConfig",
            "Atom-centered symmetry functions G1 to G5",
            "10.1063/1.3553717",
        ),
        Page(
            "aev",
            "aev",
            "AEVConfig",
            "Radial and angular functions of ANI, atomic environment vectors (AEV)",
            "10.1039/C6SC05720A",
        ),
        Page(
            "wacsf",
            "wacsf",
            "WACSFConfig",
            "Symmetry functions of all neighbors, weighted by their elements (wACSF)",
            "10.1063/1.5019667",
        ),
        Page(
            "psf",
            "psf",
            "PSFConfig",
            "Polynomial symmetry functions, low in cost",
            "10.1088/2632-2153/abf817",
        ),
        Page(
            "chebyshev",
            "chebyshev",
            "ChebyshevConfig",
            "Chebyshev expansions of radial and angular distributions, as in aenet",
            "10.1103/PhysRevB.96.014112",
        ),
        Page(
            "ptsd",
            "ptsd",
            "PTSDConfig",
            "Power-type structure descriptors of two, three and four bodies (PTSD)",
            "10.1039/C7SC01459G",
        ),
        Page(
            "rann",
            "rann",
            "RANNFingerprintsConfig",
            "Radial sums and sums over bonds with screening (RANN)",
            "10.1016/j.commatsci.2021.110481",
        ),
        Page(
            "snap",
            "snap",
            "SNAPDescriptorConfig",
            "Bispectrum components on the three-sphere, also element by element (SNAP)",
            "10.1016/j.jcp.2014.12.018",
        ),
        Page(
            "lode",
            "lode",
            "LODEConfig",
            "Products of neighbors with the potential of all atoms (LODE)",
            "10.1063/1.5128375",
        ),
        Page(
            "apip",
            "apip",
            "APIPConfig",
            "Permutationally invariant polynomials of clusters of two to four atoms (aPIP)",
            "10.1088/2632-2153/ab527c",
        ),
        Page(
            "nice",
            "nice",
            "NICEConfig",
            "Invariants of many neighbors by iterative, contracted products (NICE)",
            "10.1063/5.0021116",
        ),
        Page(
            "spherical_bessel",
            "spherical_bessel",
            "SphericalBesselConfig",
            "Power spectra in spherical Bessel functions, which need no cutoff function",
            "10.1063/1.5111045",
        ),
        Page(
            "mtp",
            "mtp",
            "MTPConfig",
            "Contractions of moment tensors with trained radial functions (MTP)",
            "10.1137/15M1054183",
        ),
        Page(
            "local_frame",
            "local_frame",
            "LocalFrameConfig",
            "Coordinates of the nearest neighbors in a frame that two of them span (Deep Potential)",
            "10.1103/PhysRevLett.120.143001",
        ),
        Page(
            "ead",
            "ead",
            "EADConfig",
            "Embedded atom densities, with fixed or trained orbitals (EANN)",
            "10.1021/acs.jpclett.9b02037",
        ),
        Page(
            "fchl19",
            "fchl19",
            "FCHL19Config",
            "Two- and three-body terms discretized for kernels between atoms (FCHL19)",
            "10.1063/1.5126701",
        ),
        Page(
            "aslatm",
            "slatm",
            "ASLATMConfig",
            "Spectra of London and Axilrod-Teller-Muto potentials of atoms (aSLATM)",
            "10.1038/s41557-020-0527-z",
        ),
        Page(
            "lmbtr",
            "lmbtr",
            "LMBTRConfig",
            "Distributions of distances and angles that an atom takes part in (local MBTR)",
            "10.1016/j.cpc.2019.106949",
        ),
        Page(
            "soap",
            "soap",
            "SOAPConfig",
            "Smooth overlap of atomic positions, as in QUIP, DScribe or featomic",
            "10.1103/PhysRevB.87.184115",
        ),
        Page(
            "gaussian_moments",
            "gaussian_moments",
            "GaussianMomentsConfig",
            "Contractions of Cartesian moments with trained Gaussian radial functions",
            "10.1021/acs.jctc.0c00347",
        ),
        Page(
            "se_e2_a",
            "se_e2_a",
            "SeE2ASettings",
            "Smooth two-body embedding with directions, by trained networks (DeepPot-SE)",
            "10.48550/arXiv.1805.09003",
        ),
        Page(
            "se_e2_r",
            "se_e2_r",
            "SeE2RSettings",
            "Smooth two-body embedding of distances alone, by trained networks",
            "10.48550/arXiv.1805.09003",
        ),
        Page(
            "se_e3",
            "se_e3",
            "SeE3Settings",
            "Smooth three-body embedding of angles, by trained networks",
            "10.1063/5.0155600",
        ),
        Page(
            "nep",
            "nep",
            "NEPDescriptorConfig",
            "Trained Chebyshev expansions and invariants of the density, as in neuroevolution potentials (NEP)",
            "10.1063/5.0106617",
        ),
        Page(
            "soap_turbo",
            "soap_turbo",
            "SOAPTurboConfig",
            "SOAP of densities that separate into a radial and an angular part (soap_turbo)",
            "10.1103/PhysRevB.100.024112",
        ),
        Page(
            "soap_bispectrum",
            "soap_bispectrum",
            "SOAPBispectrumConfig",
            "Products of three neighbors' smooth densities",
            "10.1103/PhysRevB.87.184115",
        ),
    )
}


def page(kind: str, pages: Mapping[str, Page] = DESCRIPTORS) -> Page:
    """The page called `kind`, of atoms' descriptors or of others. Raises ConfigError with the nearest known name."""
    if kind not in pages:
        raise ConfigError(f"'{kind}' is not a descriptor.{did_you_mean(kind, pages)}")
    return pages[kind]


def _choose(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    if "kind" not in data:
        raise ValueError(f"descriptor.kind is missing: choose of {', '.join(DESCRIPTORS)}")
    return page(str(data["kind"])).config_class.parse(dict(data))


AnyDescriptor = Annotated[SerializeAsAny[DescriptorConfig], BeforeValidator(_choose), Kinds(tuple(DESCRIPTORS))]
