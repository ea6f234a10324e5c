"""Tiny models of every differentiable method, and periodic structures of their elements."""

import numpy as np
import torch

from adiabat.architectures.classical.lennard_jones import LennardJones, LennardJonesConfig
from adiabat.architectures.equivariant.dpa4 import DPA4, DPA4Config
from adiabat.architectures.equivariant.mace import MACE, MACEConfig
from adiabat.architectures.equivariant.nequip import NequIP, NequIPConfig
from adiabat.architectures.equivariant.painn import PaiNN, PaiNNConfig
from adiabat.architectures.equivariant.so3net import SO3Net, SO3NetConfig
from adiabat.architectures.equivariant.spookynet import SpookyNet, SpookyNetConfig
from adiabat.architectures.equivariant.tensornet import TensorNet, TensorNetConfig
from adiabat.architectures.invariant.chgnet import CHGNet, CHGNetConfig
from adiabat.architectures.invariant.dpa2 import DPA2, DPA2Config
from adiabat.architectures.invariant.dpa3 import DPA3, DPA3Config
from adiabat.architectures.invariant.m3gnet import M3GNet, M3GNetConfig
from adiabat.architectures.invariant.megnet import MEGNet, MEGNetConfig
from adiabat.architectures.invariant.reann import REANN, REANNConfig
from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.architectures.local.ace import ACE, ACEConfig
from adiabat.architectures.local.aenet import Aenet, AenetConfig
from adiabat.architectures.local.ani import ANI, ANIConfig
from adiabat.architectures.local.apip import APIP, APIPConfig
from adiabat.architectures.local.bpnn import BPNN, WACSFNN, BPNNConfig, WACSFNNConfig
from adiabat.architectures.local.deep_potential import DeepPotential, DeepPotentialConfig
from adiabat.architectures.local.eann import EANN, EANNConfig
from adiabat.architectures.local.fchl19 import FCHL19KRR, FCHL19KRRConfig
from adiabat.architectures.local.gap import GAP, GAPConfig
from adiabat.architectures.local.gm_nn import GMNN, GMNNConfig
from adiabat.architectures.local.hdnnp4g import HDNNP4G, HDNNP4GConfig
from adiabat.architectures.local.lasp_nn import LaspNN, LaspNNConfig
from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.architectures.local.mtp import MTP, MTPConfig
from adiabat.architectures.local.nep import NEP, NEPConfig
from adiabat.architectures.local.rann import RANN, RANNConfig
from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.descriptors.aev import Terms
from adiabat.descriptors.symmetry_functions import Recipe
from adiabat.geometry import Graph, System

ELEMENTS = [1, 8]
SMALL_MACE = {"hidden_irreps": "4x0e+4x1o", "l_max": 1, "correlation": 2, "radial_network": (8,), "cutoff": 3.0}
SMALL_M3GNET = {"cutoff": 3.0, "three_body_cutoff": 2.5, "channels": 6, "layers": 1, "depth": 1, "basis": 2}
SMOOTH_M3GNET = {"angular": "smooth", "hidden": 8, "messages": "neighbor"}
SMALL_CHGNET = {"channels": 8, "layers": 3, "basis": 5, "angular": 2, "hidden": 6, "head": (8,), "cutoff": 3.0}
MATGL_CHGNET = {"conventions": "matgl", "normalize_updates": True, "pair_hidden": 5}
SMALL_MEGNET = {"cutoff": 3.0, "basis": 6, "channels": 6, "layers": 1, "encoder": (), "hidden": (6,), "head": (4,)}
SMALL_NEQUIP = {"cutoff": 3.0, "layers": 2, "hidden_irreps": "4x0e+2x1o", "l_max": 1, "radial_network": (8,)}
SMALL_DEEP_POTENTIAL = {
    "descriptor": {
        "kind": "hybrid",
        "parts": [
            {"kind": "se_e2_a", "cutoff": 3.0, "embedding": [4, 8], "axis": 2},
            {"kind": "se_e2_r", "cutoff": 2.5, "embedding": [4]},
            {"kind": "se_e3", "cutoff": 2.5, "embedding": [4]},
        ],
    },
    "hidden": [8, 8],
}
SMALL_DPA1 = {
    "descriptor": {
        "kind": "se_atten",
        "cutoff": 3.0,
        "embedding": [4, 8],
        "axis": 2,
        "types": 3,
        "mixing": "strip",
        "attention": {"layers": 1, "hidden": 4},
    },
    "hidden": [8, 8],
    "networks": "shared",
}
SMALL_DPA2 = {
    "cutoff": 3.0,
    "embedding": (4, 8),
    "axis": 2,
    "types": 3,
    "three_body": {"cutoff": 2.5, "onset": 1.0, "embedding": (4,)},
    "near_cutoff": 2.5,
    "near_onset": 1.0,
    "layers": 2,
    "channels": 6,
    "pair_channels": 4,
    "near_axis": 2,
    "atom_updates": ("convolution", "pairs", "neighbors", "attention"),
    "pair_updates": ("atoms", "attention"),
    "direction_updates": True,
    "hidden_attention": 4,
    "heads": 2,
    "hidden_pair_attention": 4,
    "pair_heads": 2,
    "update_size": 0.5,
    "hidden": (8, 8),
}
SMALL_DPA3 = {
    "cutoff": 3.0,
    "onset": 2.6,
    "angle_cutoff": 2.5,
    "angle_onset": 2.0,
    "layers": 2,
    "channels": 6,
    "edge_channels": 5,
    "angle_channels": 4,
    "angle_node_inputs": 4,
    "angle_edge_inputs": 4,
    "axis": 2,
    "neighbors": 10.0,
    "angles": 10.0,
    "update_size": 0.5,
    "hidden": (8, 8),
}
SMALL_DPA4 = {"cutoff": 3.0, "channels": 4, "l_max": 2, "layers": 2, "mixing_layers": 2, "basis": 4, "heads": 2}
SMALL_HDNNP4G = {"cutoff": 3.0, "hidden": (4,), "charge_hidden": (4,), "hardness": {"H": 12.0}}
SMALL_LOCAL = {
    "descriptor": {"kind": "acsf", "cutoff": 3.0, "recipe": {"centered": [1.0], "shifted": 2, "angular": [1.0]}},
    "regressor": {"kind": "quadratic"},
}
SMALL_LODE = {
    "descriptor": {"kind": "lode", "cutoff": 3.0, "n_max": 2, "l_max": 1},
    "regressor": {"kind": "quadratic"},
}
SMALL_PSF = {
    "descriptor": {"kind": "psf", "cutoff": 3.0, "shells": 3, "weights": ["one"]},
    "regressor": {"kind": "linear"},
}
SMALL_LMBTR = {
    "descriptor": {
        "kind": "lmbtr",
        "cutoff": 3.0,
        "terms": [
            {"geometry": "inverse_distance", "start": 0.3, "stop": 1.3, "points": 5, "width": 0.2},
            {"geometry": "cosine", "start": -1.0, "stop": 1.0, "points": 4, "width": 0.4},
        ],
    },
}
SMALL_ASLATM = {
    "descriptor": {
        "kind": "aslatm",
        "cutoff": 3.0,
        "spectra": {"step": 0.6, "width": 0.4, "angle_step": 0.8, "angle_width": 0.5, "power": 2.0},
    },
}
SMALL_BESSEL = {"descriptor": {"kind": "spherical_bessel", "cutoff": 3.0, "n_max": 2}}
SMALL_BISPECTRUM = {"descriptor": {"kind": "soap_bispectrum", "cutoff": 3.0, "n_max": 1, "l_max": 1}}
SMALL_APIP = {"descriptor": {"cutoff": 3.0, "degrees": (3, 2, 1), "cutoffs": (3.0, 2.8, 2.6)}}
SMALL_NICE = {"descriptor": {"kind": "nice", "cutoff": 3.0, "n_max": 2, "l_max": 1, "components": 3}}
SMALL_LASP = {"structure": {"cutoff": 3.0, "dihedrals": ((1, 1, 1, 2.0, 1),)}, "hidden": (6,)}
SMALL_RANN = {
    "structure": {"cutoff": 3.0, "distance": 1.2, "width": 1.5, "decays": (1.0, 3.0), "cosines": 3},
    "hidden": (6,),
}
SMALL_ACE = {
    "descriptor": {
        "cutoff": 3.0,
        "n_max": (3, 2, 1),
        "l_max": (0, 1, 1),
        "bond": {"count": 3, "inner": (1.2, 0.4), "core": (5.0, 1.0)},
        "train_radial": True,
    },
    "embedding": {"parameters": (1.0, 1.0, 1.0, 0.5)},
}
SMALL_SNAP = {
    "descriptor": {"cutoff": 3.0, "twojmax": 2, "by_element": True},
    "quadratic": True,
    "repulsion": (1.0, 2.0),
}
SMALL_EANN = {"cutoff": 3.0, "waves": 3, "l_max": 2}
SMALL_REANN = SMALL_EANN | {"orbitals": 4, "passes": 1, "network": {"hidden": [5]}, "message": {"hidden": [5]}}
SMALL_AEV = Terms(
    cutoff=3.0,
    radial_shifts=(1.0, 2.0),
    angular_cutoff=2.5,
    angular_shifts=(1.0, 1.8),
    angles=(0.5, 2.0),
    zeta=(4.0,),
)
SMALL_SPOOKYNET = {"cutoff": 2.5, "reach": 3.0, "channels": 6, "layers": 2, "basis": 4}


SMALL_GAP = {
    "terms": [
        {"kind": "distance_2b", "cutoff": 3.0, "points": 4},
        {"kind": "angle_3b", "cutoff": 2.5, "points": 3, "center": "O", "elements": ["H", "H"]},
        {"kind": "soap", "soap": {"cutoff": 3.0, "n_max": 2, "l_max": 2}, "points": 4, "zeta": 2.0},
    ],
}


def loosened(model, size=0.2):
    """Parameters away from where they start, for models some of whose layers give zero at first."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return model


MODELS = {
    "bpnn": lambda: BPNN(BPNNConfig(cutoff=3.0, hidden=(4,), activations=("tanh",), recipe=Recipe()), ELEMENTS),
    "wacsf_nn": lambda: WACSFNN(WACSFNNConfig(cutoff=3.0, hidden=(4,), activations=("tanh",)), ELEMENTS),
    "psf": lambda: loosened(Local(LocalConfig.parse(SMALL_PSF), ELEMENTS)),
    "lmbtr": lambda: loosened(Local(LocalConfig.parse(SMALL_LMBTR), ELEMENTS)),
    "aslatm": lambda: loosened(Local(LocalConfig.parse(SMALL_ASLATM), ELEMENTS), 0.01),
    "hdnnp_4g": lambda: loosened(HDNNP4G(HDNNP4GConfig(**SMALL_HDNNP4G), ELEMENTS)),
    "local": lambda: loosened(Local(LocalConfig.parse(SMALL_LOCAL), ELEMENTS)),
    "selected": lambda: loosened(Local(LocalConfig.parse(SMALL_LOCAL | {"select": {"count": 9}}), ELEMENTS)),
    "lode": lambda: loosened(Local(LocalConfig.parse(SMALL_LODE), ELEMENTS)),
    "spherical_bessel": lambda: loosened(Local(LocalConfig.parse(SMALL_BESSEL), ELEMENTS)),
    "soap_bispectrum": lambda: loosened(Local(LocalConfig.parse(SMALL_BISPECTRUM), ELEMENTS)),
    "apip": lambda: loosened(APIP(APIPConfig.parse(SMALL_APIP), ELEMENTS)),
    "nice": lambda: loosened(Local(LocalConfig.parse(SMALL_NICE), ELEMENTS)),
    "ace": lambda: loosened(ACE(ACEConfig.parse(SMALL_ACE), ELEMENTS), 0.05),
    "snap": lambda: loosened(SNAP(SNAPConfig.parse(SMALL_SNAP), ELEMENTS), 0.02),
    "gap": lambda: small_gap(),
    "fchl19": lambda: small_fchl19(),
    "ani": lambda: ANI(ANIConfig(aev=SMALL_AEV, hidden={"others": (4,)}, members=2), ELEMENTS),
    "aenet": lambda: Aenet(AenetConfig(cutoff=3.0, radial_order=5, angular_cutoff=2.5, hidden=(6,)), ELEMENTS),
    "lasp_nn": lambda: LaspNN(LaspNNConfig.parse(SMALL_LASP), ELEMENTS),
    "rann": lambda: RANN(RANNConfig.parse(SMALL_RANN), ELEMENTS),
    "gm_nn": lambda: GMNN(GMNNConfig(cutoff=3.0, basis=4, radial=2, hidden=(6,)), ELEMENTS),
    "mtp": lambda: loosened(MTP(MTPConfig(cutoff=3.0, level=8, basis=4, inner=0.5), ELEMENTS), 0.02),
    "eann": lambda: EANN(EANNConfig.parse(SMALL_EANN | {"network": {"hidden": [6], "blocks": 0}}), ELEMENTS),
    "reann": lambda: REANN(REANNConfig.parse(SMALL_REANN | {"equivariant": True}), ELEMENTS),
    "nep": lambda: NEP(NEPConfig(cutoff=3.0, angular_cutoff=2.5, basis=4, l_max=2, hidden=4), ELEMENTS),
    "deep_potential": lambda: DeepPotential(DeepPotentialConfig.parse(SMALL_DEEP_POTENTIAL), ELEMENTS),
    "dpa1": lambda: DeepPotential(DeepPotentialConfig.parse(SMALL_DPA1), ELEMENTS),
    "dpa2": lambda: DPA2(DPA2Config.parse(SMALL_DPA2), ELEMENTS),
    "dpa3": lambda: DPA3(DPA3Config.parse(SMALL_DPA3), ELEMENTS),
    "dpa4": lambda: loosened(DPA4(DPA4Config.parse(SMALL_DPA4), ELEMENTS)),
    "lennard_jones": lambda: LennardJones(LennardJonesConfig(sigma=1.2, cutoff=3.0, ending="linear"), ELEMENTS),
    "schnet": lambda: SchNet(SchNetConfig(cutoff=3.0, channels=8, layers=1, basis=5), ELEMENTS),
    "m3gnet": lambda: M3GNet(M3GNetConfig(**SMALL_M3GNET), ELEMENTS),
    "m3gnet_matpes": lambda: M3GNet(M3GNetConfig(**SMALL_M3GNET | SMOOTH_M3GNET), ELEMENTS),
    "chgnet": lambda: CHGNet(CHGNetConfig(**SMALL_CHGNET, bond_cutoff=2.5), ELEMENTS),
    "chgnet_matpes": lambda: CHGNet(CHGNetConfig(**SMALL_CHGNET | MATGL_CHGNET, bond_cutoff=2.5), ELEMENTS),
    "megnet": lambda: MEGNet(MEGNetConfig(**SMALL_MEGNET), ELEMENTS),
    "painn": lambda: PaiNN(PaiNNConfig(cutoff=3.0, channels=8, layers=2, basis=5), ELEMENTS),
    "tensornet": lambda: TensorNet(TensorNetConfig(cutoff=3.0, channels=8, layers=1, basis=6), ELEMENTS),
    "nequip": lambda: NequIP(NequIPConfig(**SMALL_NEQUIP), ELEMENTS),
    "so3net": lambda: SO3Net(SO3NetConfig(cutoff=3.0, channels=8, layers=1, basis=6), ELEMENTS),
    "spookynet": lambda: loosened(SpookyNet(SpookyNetConfig(**SMALL_SPOOKYNET), ELEMENTS)),
    "mace": lambda: MACE(MACEConfig(**SMALL_MACE), ELEMENTS),
    "mace-nonlinear": lambda: MACE(
        MACEConfig(**SMALL_MACE | {"interaction": "nonlinear", "repulsion": True, "distance_transform": "agnesi"}),
        ELEMENTS,
    ),
}


def structure(atoms: int, length: float, seed: int = 0, pbc: bool = True, dtype=torch.float64) -> System:
    """Atoms near the points of a cubic grid of this length (Å)."""
    random = np.random.default_rng(seed)
    points = int(np.ceil(atoms ** (1 / 3)))
    grid = np.indices((points,) * 3).reshape(3, -1).T[:atoms]
    positions = (grid + random.normal(size=(atoms, 3)) * 0.1) * (length / points)
    cell = np.eye(3) * length + random.normal(size=(3, 3)) * 0.05
    return System.from_arrays(positions, random.choice(ELEMENTS, atoms), cell if pbc else None, pbc, dtype=dtype)


def several_graphs() -> list[Graph]:
    """Graphs for a cutoff of 3 Å: a batch of three, one of 11 atoms, one of one atom, one of a lonely atom."""
    three = [structure(5 + k, 4.0, k) for k in range(3)]
    systems = [System.batch(three), structure(11, 5.0), structure(1, 2.5), structure(1, 9.0)]
    return [Graph.build(system, 3.0) for system in systems]


def small_fchl19() -> FCHL19KRR:
    """One with points, at weights away from zero."""
    grids = {"cutoff": 3.0, "angular_cutoff": 3.0, "radial": 3, "angular": 2}
    model = FCHL19KRR(FCHL19KRRConfig.parse({"descriptor": grids, "sigma": 2.5, "points": 5}), ELEMENTS)
    model.adapt(several_graphs()[:2])
    return loosened(model)


def small_gap() -> GAP:
    """One with sparse points, at weights away from zero."""
    model = GAP(GAPConfig.parse(SMALL_GAP), ELEMENTS)
    model.adapt(several_graphs()[:2])
    return loosened(model)
