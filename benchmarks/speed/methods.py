"""Which models are compared, with which program, and with which of that program's hyperparameters."""

import math
from dataclasses import dataclass

from ase.data import atomic_numbers

from speed.structures import CUTOFF, ELEMENTS

POTENTIAL = ("inference", "training", "memory", "first_call", "scaling")
DESCRIPTOR = ("descriptor", "descriptor_slopes")


@dataclass(frozen=True)
class Method:
    """What is measured under one name, in adiabat and in the peer.

    Attributes:
        page: adiabat's name of the method.
        peer: the program beside it; empty for none.
        module: runs in the peer's interpreter.
        options: of the peer's model.
        ours: runs in this interpreter.
        tolerance: by which the results may differ, relative to the largest; infinite for different models.
        works: kinds of work that it is measured in.
        own: options of adiabat's page where adiabat makes the random model and writes it for the peer.
        dtype: of adiabat's model: that of the peer.
        lists: whether finding neighbors is part of each call, as the peer does it.
        note: for the rows.
    """

    page: str
    peer: str
    module: str
    options: dict
    ours: str = "ours_potential"
    tolerance: float = 1e-4
    works: tuple = POTENTIAL
    own: dict | None = None
    dtype: str = "float32"
    lists: bool = False
    note: str = ""


def _schnetpack(page, **options):
    shared = {"n_atom_basis": 128, "n_rbf": 20, "cutoff": CUTOFF, "max_z": 100, "rbf": "gaussian"}
    return Method(page, "schnetpack", "speed.peer_schnetpack", {**shared, **options})


def _mace(hidden):
    block = "RealAgnosticResidualInteractionBlock"
    options = {
        "r_max": CUTOFF,
        "num_bessel": 8,
        "num_polynomial_cutoff": 5,
        "max_ell": 3,
        "interaction_cls": block,
        "interaction_cls_first": block,
        "num_interactions": 2,
        "hidden_irreps": hidden,
        "MLP_irreps": "16x0e",
        "avg_num_neighbors": 20.0,
        "atomic_numbers": [atomic_numbers[symbol] for symbol in ELEMENTS],
        "correlation": 3,
        "atomic_inter_scale": 1.0,
        "atomic_inter_shift": 0.0,
    }
    return Method("mace", "mace-torch", "speed.peer_mace", options)


_M3GNET = {
    "class": "M3GNet",
    "cutoff": CUTOFF,
    "threebody_cutoff": 4.0,
    "units": 64,
    "dim_node_embedding": 64,
    "dim_edge_embedding": 64,
    "nblocks": 3,
    "max_n": 3,
    "max_l": 3,
    "rbf_type": "SphericalBessel",
    "readout_type": "weighted_atom",
    "activation_type": "swish",
    "use_smooth": False,
    "use_phi": False,
    "include_state": False,
    "is_intensive": False,
    "ntargets": 1,
}
_TENSORNET = {
    "class": "TensorNet",
    "cutoff": CUTOFF,
    "units": 64,
    "nblocks": 2,
    "num_rbf": 32,
    "max_n": 3,
    "max_l": 3,
    "rbf_type": "Gaussian",
    "width": 0.5,
    "use_smooth": False,
    "activation_type": "swish",
    "equivariance_invariance_group": "O(3)",
    "readout_type": "weighted_atom",
    "include_state": False,
    "is_intensive": False,
    "ntargets": 1,
}
_ACSF = {
    "cutoff": CUTOFF,
    "radial": [[0.005, 0.0], [0.02, 0.0], [0.3, 0.0], [1.0, 1.5], [1.0, 3.0], [1.0, 4.0]],
    "angular": [[eta, zeta, sign] for eta in (0.01, 0.1) for zeta in (1, 4) for sign in (-1, 1)],
}
_NEP = {"cutoff": 8.0, "angular_cutoff": 4.0}  # GPUMD's defaults


def _local(page, own, peer="", module="", **further):
    """A random model that adiabat makes, in double precision."""
    shared = {"works": ("inference", "scaling") if peer else ("scaling",), "tolerance": 1e-6, "dtype": "float64"}
    return Method(page, peer, module, {}, "ours_local", own=own, **{**shared, **further})


def _snap(twojmax, quadratic=False):
    own = {"descriptor": {"cutoff": CUTOFF, "twojmax": twojmax, "subtract": True}, "quadratic": quadratic}
    return _local("snap", own, "lammps", "speed.peer_lammps")


def _linear(**descriptor):
    own = {"descriptor": {"cutoff": CUTOFF, **descriptor}, "regressor": {"kind": "linear"}}
    return _local("local", own, works=("fit",))


_SOAP = {"cutoff": CUTOFF, "n_max": 8, "l_max": 6, "sigma": 0.5}
METHODS = {
    "schnet": _schnetpack("schnet", n_interactions=6),
    "painn": _schnetpack(
        "painn", n_interactions=3, shared_interactions=False, shared_filters=False, activation="silu", epsilon=1e-8
    ),
    "mace-128x0e": _mace("128x0e"),
    "mace-128x0e+128x1o": _mace("128x0e+128x1o"),
    "ani": Method("ani", "torchani", "speed.peer_torchani", {"members": 1}),
    "ani-8": Method("ani", "torchani", "speed.peer_torchani", {"members": 8}),
    "sevennet-0": Method("sevennet", "sevenn", "speed.peer_sevenn", {"checkpoint": "7net-0"}),
    "matgl-m3gnet": Method("m3gnet", "matgl", "speed.peer_matgl", _M3GNET),
    "matgl-tensornet": Method("tensornet", "matgl", "speed.peer_matgl", _TENSORNET),
    # the program's forces in single precision are 2e-4 off its own in double precision
    "chgnet": Method("chgnet", "chgnet", "speed.peer_chgnet", {"checkpoint": "0.3.0"}, tolerance=1e-3),
    "acsf": Method("acsf", "dscribe", "speed.peer_dscribe", _ACSF, "ours_descriptor", works=DESCRIPTOR),
    "soap-dscribe": Method(
        "soap",
        "dscribe",
        "speed.peer_dscribe",
        {**_SOAP, "convention": "dscribe"},
        "ours_descriptor",
        works=DESCRIPTOR,
    ),
    "soap-featomic": Method(
        "soap",
        "featomic",
        "speed.peer_featomic",
        {**_SOAP, "convention": "featomic", "width": 0.5},
        "ours_descriptor",
        works=DESCRIPTOR,
    ),
    "nep": _local("nep", _NEP, "calorine", "speed.peer_calorine", note="calorine's time includes neighbor lists"),
    "nep-lists": _local(
        "nep", _NEP, "calorine", "speed.peer_calorine", works=("inference",), lists=True, note="both include them"
    ),
    "snap": _snap(8),
    "snap-2j6": _snap(6),
    "snap-quadratic": _snap(8, quadratic=True),
    "bpnn": Method(
        "bpnn",
        "schnetpack",
        "speed.peer_schnetpack",
        _schnetpack("schnet", n_interactions=6).options,
        "ours_local",
        tolerance=math.inf,
        works=("inference", "scaling"),
        own={"cutoff": CUTOFF},
        note="beside SchNet, another model",
    ),
    "mtp": _local("mtp", {"cutoff": CUTOFF}),
    "ace": _local("ace", {"descriptor": {"cutoff": CUTOFF}}),
    "soap-linear": _local("local", {"descriptor": {"kind": "soap", **_SOAP}, "regressor": {"kind": "linear"}}),
    "snap-fit": _linear(kind="snap", twojmax=8, weights={"Au": 0.6}),
    "acsf-fit": _linear(kind="acsf"),
}
