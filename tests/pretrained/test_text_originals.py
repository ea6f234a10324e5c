"""Text files of SNAP and MTP are recognized as such and read by `adiabat weights import`."""

import pytest
import torch
from small_models import ELEMENTS, several_graphs

from adiabat.architectures.local.mtp import MTP, MTPConfig
from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.errors import ConfigError
from adiabat.pretrained.importers.mtp import write_mtp
from adiabat.pretrained.importers.snap import write_snap
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.source import Options


def small(kind, config):
    torch.manual_seed(0)
    model = kind(config, ELEMENTS).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def same(one, other):
    graph = several_graphs()[1]
    return torch.allclose(one(graph).energy, other(graph).energy, atol=1e-8)


@pytest.mark.parametrize("whole", [True, False])
def test_snap(tmp_path, whole):
    model = small(SNAP, SNAPConfig.parse({"descriptor": {"cutoff": 3.0, "twojmax": 2}}))
    write_snap(model, tmp_path / "pot.snapcoeff")
    (found,) = import_original(tmp_path if whole else tmp_path / "pot.snapcoeff").potentials.values()
    assert same(found, model)


def test_mtp(tmp_path):
    model = small(MTP, MTPConfig(level=6, cutoff=3.0, basis=3, inner=0.5))
    write_mtp(model, tmp_path / "pot.mtp")
    (found,) = import_original(tmp_path / "pot.mtp", options=Options(elements=tuple(ELEMENTS))).potentials.values()
    assert same(found, model)
    with pytest.raises(ConfigError, match="give --elements in their order"):
        import_original(tmp_path / "pot.mtp")
