"""The published methods, one page each, found by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from adiabat.errors import ConfigError, did_you_mean
from adiabat.potential import ArchitectureConfig, Potential


@dataclass(frozen=True)
class Method:
    """Where a page is and what it is called.

    Attributes:
        name: what configurations call it.
        module: module of the page.
        potential: name of the Potential class on the page; its configuration is `<potential>Config`.
        title: one line for tables.
        paper: DOI.
        fit: what a run with this method changes in the fitter's defaults.
    """

    name: str
    module: str
    potential: str
    title: str
    paper: str
    fit: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classical(self) -> bool:
        """Whether the configuration alone makes the potential, without a fit."""
        return self.module.startswith(_WING + "classical.")

    @property
    def potential_class(self) -> type[Potential]:
        """The page's Potential."""
        return getattr(import_module(self.module), self.potential)

    @property
    def config_class(self) -> type[ArchitectureConfig]:
        """The page's configuration."""
        return getattr(import_module(self.module), self.potential + "Config")


_WING = "adiabat.architectures."
METHODS = {
    m.name: m
    for m in (
        Method(
            "bpnn",
            _WING + "local.bpnn",
            "BPNN",
            "Behler-Parrinello element networks on symmetry functions",
            "10.1103/PhysRevLett.98.146401",
            {"optimizer": {"rate": 0.003}, "schedule": {"kind": "cosine"}, "epochs": 400},
        ),
        Method(
            "hdnnp_4g",
            _WING + "local.hdnnp4g",
            "HDNNP4G",
            "Element networks that feel charges in equilibrium over the whole structure",
            "10.1038/s41467-020-20427-2",
            {"optimizer": {"rate": 0.003}, "schedule": {"kind": "cosine"}, "epochs": 400},
        ),
        Method(
            "wacsf_nn",
            _WING + "local.bpnn",
            "WACSFNN",
            "Element networks on symmetry functions weighted by elements (wACSF)",
            "10.1063/1.5019667",
            {"optimizer": {"rate": 0.003}, "schedule": {"kind": "cosine"}, "epochs": 400},
        ),
        Method(
            "aenet",
            _WING + "local.aenet",
            "Aenet",
            "Element networks on Chebyshev expansions (aenet)",
            "10.1103/PhysRevB.96.014112",
            {"optimizer": {"rate": 0.003}, "schedule": {"kind": "cosine"}, "epochs": 400},
        ),
        Method(
            "lasp_nn",
            _WING + "local.lasp_nn",
            "LaspNN",
            "Element networks on power-type structure descriptors (LASP)",
            "10.1039/C7SC01459G",
            {"optimizer": {"rate": 0.003}, "schedule": {"kind": "cosine"}, "epochs": 400},
        ),
        Method(
            "rann",
            _WING + "local.rann",
            "RANN",
            "Element networks on screened radial sums and sums over bonds (RANN)",
            "10.1016/j.commatsci.2021.110481",
            {"optimizer": {"rate": 0.003}, "schedule": {"kind": "cosine"}, "epochs": 400},
        ),
        Method(
            "gm_nn",
            _WING + "local.gm_nn",
            "GMNN",
            "One network with NTK parametrization on Gaussian moments (GM-NN)",
            "10.1021/acs.jctc.1c00527",
            {"optimizer": {"rate": 0.03}, "schedule": {"kind": "cosine"}, "epochs": 400},
        ),
        Method(
            "apip",
            _WING + "local.apip",
            "APIP",
            "Linear in permutationally invariant polynomials of clusters (aPIP)",
            "10.1088/2632-2153/ab527c",
        ),
        Method(
            "local",
            _WING + "local.local",
            "Local",
            "Any descriptor with any regressor",
            "10.1002/qua.24890",
        ),
        Method(
            "snap",
            _WING + "local.snap",
            "SNAP",
            "Linear or quadratic in bispectrum components",
            "10.1016/j.jcp.2014.12.018",
        ),
        Method(
            "ace",
            _WING + "local.ace",
            "ACE",
            "Linear or Finnis-Sinclair-like in invariants of the atomic cluster expansion",
            "10.1103/PhysRevB.99.014104",
        ),
        Method(
            "mtp",
            _WING + "local.mtp",
            "MTP",
            "Linear in contractions of moment tensors with trained radial functions",
            "10.1137/15M1054183",
        ),
        Method(
            "gap",
            _WING + "local.gap",
            "GAP",
            "Sum of sparse Gaussian processes of pairs, angles and environments",
            "10.1103/PhysRevLett.104.136403",
            {"errors": {"energy": 0.001, "forces": 0.1}, "regularization": "ridge", "alphas": (1.0,)},
        ),
        Method(
            "fchl19",
            _WING + "local.fchl19",
            "FCHL19KRR",
            "Gaussian kernels between FCHL19 representations of atoms",
            "10.1063/1.5126701",
        ),
        Method(
            "ani",
            _WING + "local.ani",
            "ANI",
            "Element networks on atomic environment vectors, as an ensemble",
            "10.1039/C6SC05720A",
            {"optimizer": {"rate": 0.001}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "nep",
            _WING + "local.nep",
            "NEP",
            "One-layer networks on trained Chebyshev expansions",
            "10.1103/PhysRevB.104.104309",
            {"optimizer": {"rate": 0.005}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "deep_potential",
            _WING + "local.deep_potential",
            "DeepPotential",
            "Element networks on smooth descriptors with trained embedding (DeepPot-SE)",
            "10.1103/PhysRevLett.120.143001",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "dpa2",
            _WING + "invariant.dpa2",
            "DPA2",
            "Message passing on atoms, pairs and directions from embedded neighborhoods (DPA-2)",
            "10.1038/s41524-024-01493-2",
            {"optimizer": {"rate": 0.001}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "dpa3",
            _WING + "invariant.dpa3",
            "DPA3",
            "Message passing on atoms, pairs and angles, a series of line graphs (DPA-3)",
            "arXiv:2506.01686",
            {"optimizer": {"rate": 0.001}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "eann",
            _WING + "local.eann",
            "EANN",
            "Element networks on embedded atom densities with trained orbitals",
            "10.1021/acs.jpclett.9b02037",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "reann",
            _WING + "invariant.reann",
            "REANN",
            "Embedded atom densities with coefficients that follow the neighbors' densities",
            "10.1103/PhysRevLett.127.156002",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "schnet",
            _WING + "invariant.schnet",
            "SchNet",
            "Continuous-filter message passing",
            "10.1063/1.5019779",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "chgnet",
            _WING + "invariant.chgnet",
            "CHGNet",
            "Message passing over atoms, bonds and angles, with magnetic moments",
            "10.1038/s42256-023-00716-3",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "m3gnet",
            _WING + "invariant.m3gnet",
            "M3GNet",
            "Message passing on bonds that feel angles",
            "10.1038/s43588-022-00349-3",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "megnet",
            _WING + "invariant.megnet",
            "MEGNet",
            "Formation energies of crystals, no potential for dynamics",
            "10.1021/acs.chemmater.9b01294",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "painn",
            _WING + "equivariant.painn",
            "PaiNN",
            "Message passing of scalars and vectors",
            "10.48550/arXiv.2102.03150",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "nequip",
            _WING + "equivariant.nequip",
            "NequIP",
            "Equivariant convolutions; with other options, SevenNet",
            "10.1038/s41467-022-29939-5",
            {"schedule": {"kind": "cosine"}},
        ),
        Method(
            "mace",
            _WING + "equivariant.mace",
            "MACE",
            "Higher-order equivariant message passing",
            "10.48550/arXiv.2206.07697",
            {"schedule": {"kind": "cosine"}},
        ),
        Method(
            "dpa4",
            _WING + "equivariant.dpa4",
            "DPA4",
            "Convolutions in the frames of pairs, with attention (DPA-4, SeZM)",
            "10.48550/arXiv.2606.02419",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "tensornet",
            _WING + "equivariant.tensornet",
            "TensorNet",
            "Message passing of 3×3 matrices",
            "10.48550/arXiv.2306.06482",
            {"schedule": {"kind": "cosine"}},
        ),
        Method(
            "so3net",
            _WING + "equivariant.so3net",
            "SO3Net",
            "Message passing of harmonic coefficients",
            "10.1063/5.0138367",
            {"schedule": {"kind": "cosine"}},
        ),
        Method(
            "spookynet",
            _WING + "equivariant.spookynet",
            "SpookyNet",
            "Total charge, spin and the whole molecule felt, with physical terms",
            "10.1038/s41467-021-27504-0",
            {"optimizer": {"rate": 0.002}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "sgdml",
            _WING + "kernel.sgdml",
            "SGDML",
            "Symmetrized gradient-domain kernel regression",
            "10.1038/s41467-018-06169-2",
        ),
        Method(
            "lennard_jones",
            _WING + "classical.lennard_jones",
            "LennardJones",
            "Lennard-Jones pairs",
            "10.1098/rspa.1924.0082",
            {"optimizer": {"rate": 0.01}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "morse",
            _WING + "classical.morse",
            "Morse",
            "Morse pairs",
            "10.1103/PhysRev.34.57",
            {"optimizer": {"rate": 0.01}, "schedule": {"kind": "cosine"}},
        ),
        Method(
            "zbl",
            _WING + "classical.zbl",
            "ZBL",
            "Universal screened repulsion of close nuclei",
            "10.1007/978-1-4615-8103-1_3",
        ),
        Method(
            "eam",
            _WING + "classical.eam",
            "EAM",
            "Embedded-atom method and Finnis-Sinclair potentials, from tables",
            "10.1103/PhysRevB.29.6443",
        ),
        Method(
            "emt",
            _WING + "classical.emt",
            "EMT",
            "Effective medium theory of close-packed metals",
            "10.1016/0039-6028(96)00816-3",
        ),
        Method(
            "tersoff",
            _WING + "classical.tersoff",
            "Tersoff",
            "Bonds that weaken as others come near",
            "10.1103/PhysRevB.37.6991",
        ),
        Method(
            "stillinger_weber",
            _WING + "classical.stillinger_weber",
            "StillingerWeber",
            "Pairs, and angles that want to be tetrahedral",
            "10.1103/PhysRevB.31.5262",
        ),
    )
}


def method(name: str) -> Method:
    """The page called `name`. Raises ConfigError with the nearest known name."""
    if name not in METHODS:
        raise ConfigError(f"'{name}' is not a method.{did_you_mean(name, METHODS)}")
    return METHODS[name]


def build(config: ArchitectureConfig, elements: Iterable[int]) -> Potential:
    """The potential that a configuration describes, with fresh parameters."""
    return method(config.method).potential_class(config, elements)  # type: ignore[call-arg]
