"""Models of mace-torch with several heads: mace_heads.json has what the program (0.3.16) gives for a water.

The parameters are sines of their places, so that they need no file; constants are in the file.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.mace import from_kit
from adiabat.pretrained.importers.mace_heads import choose
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.mace import of_one_head

CASES = json.loads(Path(__file__).with_name("mace_heads.json").read_text())
WATER = System.from_arrays([[0.0, 0.0, 0.1], [0.96, 0.1, 0.0], [-0.24, 0.93, 0.2]], [8, 1, 1])
OPTIONS = {
    "r_max": 3.0,
    "num_bessel": 3,
    "num_polynomial_cutoff": 5,
    "max_ell": 1,
    "num_interactions": 2,
    "hidden_irreps": "3x0e+3x1o",
    "MLP_irreps": "2x0e",
    "avg_num_neighbors": 2.0,
    "atomic_numbers": [1, 8],
    "correlation": 2,
    "radial_MLP": [4],
}
BLOCKS = {"plain": "RealAgnosticResidualInteractionBlock", "deep": "RealAgnosticResidualNonLinearInteractionBlock"}
READOUTS = {"plain": "NonLinearReadoutBlock", "deep": "NonLinearBiasReadoutBlock"}


def kit(case, head, **changes):
    """The program's model as a kit that names a head."""
    content, block = CASES[case], BLOCKS[case]
    blocks = {"interaction_cls": block, "interaction_cls_first": block, "readout_cls": READOUTS[case]}
    options = {**OPTIONS, **blocks, "heads": content["heads"], **changes}
    weights = {name: torch.as_tensor(sines(name, shape)) for name, shape in content["shapes"].items()}
    constants = {name: np.asarray(value) for name, value in content["values"].items()}
    buffers = {name: value for name, value in constants.items() if ".U_matrix_" in name}
    weights |= {name: torch.as_tensor(value) for name, value in constants.items() if name not in buffers}
    return Kit.of("mace-heads", {"hyperparameters": options, "head": head}, weights, buffers)


def sines(name, shape):
    return np.sin(1.7 * np.arange(np.prod(shape)) + sum(map(ord, name))).reshape(shape)


@pytest.mark.parametrize(("case", "head"), [(case, head) for case in CASES for head in CASES[case]["heads"]])
def test_the_programs_numbers(case, head):
    model = from_kit(kit(case, head)).potentials[""]
    found, expected = evaluate(model, Graph.build(WATER, model.cutoff)), CASES[case]["expected"][head]
    assert float(found.energy) == pytest.approx(expected["energy"], abs=1e-12)
    torch.testing.assert_close(found.forces, torch.tensor(expected["forces"]), rtol=0, atol=1e-12)


def test_choice():
    assert choose(["pt_head", "Default"], None) == 1
    assert choose(["only"], None) == 0
    with pytest.raises(CheckpointError, match=r"has 2 heads, pbe, r2scan, and none is chosen: give one with --head"):
        from_kit(kit("deep", None))
    with pytest.raises(CheckpointError, match="no head 'PBE', but pbe, r2scan: give one"):
        choose(["pbe", "r2scan"], "PBE")


def test_hidden_nodes_of_one_head():
    assert of_one_head("32x0e", 2) == "16x0e"
    assert of_one_head("16x0e", 1) == "16x0e"


def test_heads_that_are_not_those_of_the_weights():
    with pytest.raises(CheckpointError, match="6 reference energies for 2 elements and 2 heads"):
        from_kit(kit("plain", "Default", heads=["pt_head", "Default"]))
