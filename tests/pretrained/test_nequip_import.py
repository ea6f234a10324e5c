"""Weights of nequip and sevenn give their numbers."""

import pytest

from adiabat.errors import CheckpointError
from adiabat.pretrained.importers.nequip import read_nequip
from adiabat.pretrained.importers.sevenn import read_sevennet
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity


@pytest.mark.parametrize(
    "name", ["nequip", "nequip-noparity", "nequip-zbl", "sevennet", "sevennet-linear-sc", "sevennet-0"]
)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert not report.failures
    assert {"energy", "atomic_energies", "forces", "stress"} <= {d.quantity for d in report.deviations}
    assert report.worst < 1e-12


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pair_potential": {"_target_": "nequip.nn.pair_potential.LennardJones"}}, "LennardJones is not known"),
        ({"radial_mlp_width": 24}, "hyperparameters belong"),
        ({"num_features": [16, 8, 4]}, "hyperparameters belong"),
    ],
)
def test_other_nequip_models_are_refused(shared, change, sentence):
    kit = Kit(shared / "golden" / "nequip")
    with pytest.raises(CheckpointError, match=sentence):
        read_nequip({k: v.double() for k, v in kit.weights().items()}, kit.meta["hyperparameters"] | change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"use_bias_in_linear": True}, "use_bias_in_linear is True"),
        ({"act_radial": "tanh"}, "act_radial is tanh"),
        ({"radial_basis": {"radial_basis_name": "gaussian"}}, "gaussian is not known"),
        ({"readout_as_fcn": True, "readout_fcn_activation": "relu"}, "only silu"),
        ({"cutoff_function": {"cutoff_function_name": "step"}}, "step is not known"),
        ({"channel": 7}, "hyperparameters belong"),
        ({"irreps_manual": ["8x0e", "8x0e+8x1o", "8x0e+4x1o", "8x0e"]}, "differ between layers"),
    ],
)
def test_other_sevennet_models_are_refused(shared, change, sentence):
    kit = Kit(shared / "golden" / "sevennet")
    with pytest.raises(CheckpointError, match=sentence):
        read_sevennet({k: v.double() for k, v in kit.weights().items()}, kit.meta["hyperparameters"] | change)
