"""Weights of nequip and sevenn give their numbers."""

import pytest
import torch

from adiabat.architectures.equivariant.nequip import NequIP
from adiabat.errors import CheckpointError
from adiabat.nn.clebsch_gordan import wigner_3j
from adiabat.nn.irreps import Irreps
from adiabat.pretrained.importers.e3nn import created_couplings, sorted_couplings
from adiabat.pretrained.importers.nequip import read_nequip
from adiabat.pretrained.importers.sevenn import from_kit, read_sevennet
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original, read_original
from adiabat.pretrained.originals.sevenn import _Parts
from adiabat.pretrained.originals.source import Source
from adiabat.testing.parity import parity

KITS = ["nequip", "nequip-noparity", "nequip-zbl", "graphpes-nequip", "graphpes-nequip-zemb"]
KITS += ["sevennet", "sevennet-linear-sc", "sevennet-0", "sevennet-mf-0"]


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert not report.failures
    assert {"energy", "atomic_energies", "forces", "stress"} <= {d.quantity for d in report.deviations}
    # graph-pes rounds a factor of its Bessel functions to float32
    assert report.worst < (1e-7 if name == "graphpes-nequip" else 1e-12)


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


def _same(found, wanted, tolerance):
    assert isinstance(found.model, NequIP)
    assert found.config == wanted.config
    for (name, a), b in zip(found.state_dict().items(), wanted.state_dict().values(), strict=True):
        assert float((a - b).abs().max()) <= tolerance * float(b.abs().max().clamp(min=1e-9)), name


def test_fidelities(shared):
    """Two fidelities share all but biases and references; the default one has no name."""
    found = from_kit(Kit(shared / "golden" / "sevennet-mf-0")).potentials
    assert set(found) == {"", "PBE", "R2SCAN"}
    _same(found[""], found["PBE"], 0.0)
    one, other = found["PBE"].state_dict(), found["R2SCAN"].state_dict()
    different = {name for name in one if not torch.equal(one[name], other[name])}
    assert different
    assert all(name.endswith(".bias") or name == "reference" for name in different)


def test_deployed_file(shared):
    """The released file for LAMMPS is the kit's model, up to the rounding of the program's float32."""
    file = shared / "weights" / "sevennet" / "SevenNet0_11July2024_deployed_serial.pt"
    _same(import_original(file).potentials[""], from_kit(Kit(shared / "golden" / "sevennet-0")).potentials[""], 1e-6)


def test_deployed_files_of_other_forms_are_refused(shared):
    file = shared / "weights" / "sevennet" / "SevenNet0_11July2024_deployed_serial.pt"
    source = Source(file)
    constants = list(source.constants)
    assert _Parts(source, constants).weights(89)
    for wrong in (constants[:-1], constants[:30], [*constants, constants[1]], []):
        with pytest.raises(CheckpointError, match="another form"):
            _Parts(source, wrong).weights(89)


def test_old_checkpoint(shared, tmp_path):
    """Before 0.11 radial weights were in another order, and e3nn had other signs of some couplings."""
    kit = Kit(shared / "golden" / "sevennet-linear-sc")
    weights = {name: value for name, value in kit.weights().items() if "w3j" not in name}
    features, harmonics = Irreps.parse("6x0e+6x1e+6x2e+6x3e"), Irreps.parse("0e+1e+2e+3e")
    created = created_couplings(features, harmonics, features)
    kept, name = sorted_couplings(created), "1_convolution.weight_nn.layer2.weight"
    parts = dict(zip((path for _, path in kept), weights[name].split(6, dim=1), strict=True))
    for _, path in created:
        a, b, c = (ir.l for ir in path)
        sign = -1.0 if (a + b + c) % 2 else 1.0
        parts[path] = sign * parts[path]
        table = torch.tensor(sign * wigner_3j(a, b, c))
        weights[f"1_convolution.convolution._compiled_main_left_right._w3j_{a}_{b}_{c}"] = table
    weights[name] = torch.cat([parts[path] for _, path in created], dim=1)
    config = {**kit.meta["hyperparameters"], "version": "0.9.3", "_model_type": "E3_equivariant_model"}
    torch.save({"model_state_dict": weights, "config": config}, tmp_path / "checkpoint.pth")
    assert read_original(tmp_path / "checkpoint.pth").name == "sevennet"
    _same(import_original(tmp_path / "checkpoint.pth").potentials[""], from_kit(kit).potentials[""], 0.0)
