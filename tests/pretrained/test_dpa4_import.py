"""DeePMD-kit's DPA-4 with other options than the golden kit's, its checkpoints, and what is refused.

dpa4_options.json has what the program (3.2.0) gives for a cluster, with neighbors along the axes, and a crystal. The
parameters are waves over their places, so that they need no file.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.deepmd import read_deep_potential
from adiabat.pretrained.importers.deepmd_defaults import filled
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.testing.parity import parity

CASES = json.loads(Path(__file__).with_name("dpa4_options.json").read_text())
GIVEN = {"rcut": 3.0, "channels": 4, "n_radial": 4, "lmax": 2, "n_blocks": 1, "mixing_layers": 2, "edge_norm": False}
GIVEN |= {"precision": "float64", "random_gamma": False, "sel": 40, "use_amp": False}
POSITIONS = [[0.0, 0.0, 0.0], [0.0, 1.1, 0.0], [0.1, -0.2, 1.3], [0.9, 0.3, -0.4], [0.0, -1.4, 0.0]]
CELL = [[3.1, 0.0, 0.0], [0.2, 3.4, 0.0], [0.1, -0.3, 2.9]]
NUMBERS = [8, 1, 1, 8, 1]


def _given(name, **changes):
    """The program's input."""
    descriptor = GIVEN | CASES[name]["descriptor"] | changes
    return {"type": "dpa4", "type_map": ["O", "H"], "descriptor": descriptor, "fitting_net": {"neuron": [6]}}


def _wave(name, shape):
    count, last = int(np.prod(shape)), name.rpartition(".")[2]
    wave = np.sin(0.7 * np.arange(count) + sum(f"atomic_model.{name}".encode())).reshape(shape)
    if last == "adam_freqs":
        return np.pi / 3.0 * np.arange(1, count + 1).reshape(shape) * (1.0 + 0.02 * wave)
    if last.endswith("scale"):
        return 1.0 + 0.2 * wave
    if last.endswith("log"):
        return 0.1 * wave - 1.0
    return 1.7 * wave / (shape[-2] if len(shape) > 1 else 4) ** 0.5


def _weights(name):
    found = {f"atomic_model.{key}": _wave(key, shape) for key, shape in CASES[name]["shapes"].items()}
    found["atomic_model.descriptor.version_tensor"] = np.array(1.2)
    found |= {"atomic_model.out_bias": np.zeros((1, 2, 1)), "atomic_model.fitting_net.bias_atom_e": np.zeros((2, 1))}
    return {key: torch.as_tensor(values) for key, values in found.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_programs_numbers_with_other_options(name):
    model = read_deep_potential(filled(_given(name)), _weights(name))
    for case, cell in (("cluster", None), ("crystal", CELL)):
        expected = CASES[name]["expected"][case]
        graph = Graph.build(System.from_arrays(POSITIONS, NUMBERS, cell, cell is not None), model.cutoff)
        found = evaluate(model, graph, ("energy", "forces"))
        assert float(found.energy) == pytest.approx(expected["energy"], rel=1e-12)
        largest = np.abs(expected["forces"]).max()
        assert largest > 1e-3
        np.testing.assert_allclose(found.forces.numpy(), expected["forces"], rtol=0.0, atol=1e-11 * largest)


def test_checkpoints(tmp_path):
    state = {f"model.Default.{key}": value for key, value in _weights("mini").items()}
    torch.save({"model": state | {"_extra_state": {"model_params": _given("mini")}}}, tmp_path / "model.pt")
    model = import_original(tmp_path / "model.pt").potentials[""]
    graph = Graph.build(System.from_arrays(POSITIONS, NUMBERS), model.cutoff)
    expected = CASES["mini"]["expected"]["cluster"]["energy"]
    assert float(evaluate(model, graph, ("energy",)).energy) == pytest.approx(expected, rel=1e-12)


def test_parity(shared):
    report = parity(Kit(shared / "golden" / "dp-sezm"))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {d.quantity for d in report.deviations} == {"atomic_energies", "energy", "forces", "stress", "virial"}
    assert all(d.cases == 10 for d in report.deviations if d.quantity in ("energy", "forces"))


def test_the_order_of_elements_does_not_matter(shared):
    """A description of the same model with the elements in another order, and their rows with them."""
    folder = shared / "golden" / "dp-sezm"
    options = json.loads((folder / "meta.json").read_text())["resolved_hyperparameters"]
    weights, back = load_file(folder / "weights.safetensors"), list(range(8))[::-1]
    graph = Graph.build(System.from_arrays(POSITIONS, NUMBERS), 4.5)
    expected = evaluate(read_deep_potential(options, weights), graph, ("energy",)).energy
    options["atomic_model"]["type_map"] = options["atomic_model"]["type_map"][::-1]
    for key, value in weights.items():
        if key.endswith("adam_type_embedding"):
            weights[key] = torch.cat((value[back], value[8:]))
        elif key.endswith(("bias_atom_e", "out_bias")):
            weights[key] = value.flip(-2)
    found = evaluate(read_deep_potential(options, weights), graph, ("energy",)).energy
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_focus": 2, "atten_f_mix": True}, "atten_f_mix is True"),
        ({"extra_node_l": 1}, "extra_node_l is 1"),
        ({"l_schedule": [2, 1]}, r"l_schedule is \[2, 1\]"),
        ({"s2_activation": [True, True]}, "s2_activation"),
        ({"s2_activation": [False, False], "ffn_so3_grid": False}, r"s2_activation is \[False, False\]"),
        ({"n_blocks": 0}, "no blocks"),
        ({"edge_cartesian": True}, "edge_cartesian is True"),
        ({"focus_dim": 8}, "pre_focus_mix.weight' has shape"),
        ({"spin_of_tomorrow": 1}, "'spin_of_tomorrow', which the page does not know"),
    ],
)
def test_what_the_page_does_not_have_is_refused(changes, message):
    with pytest.raises(CheckpointError, match=message):
        read_deep_potential(filled(_given("mini", **changes)), _weights("mini"))


def test_models_with_other_parts_are_refused():
    for changes, message in (({"bridging_method": "zbl"}, "bridging_method"), ({"lora": {"rank": 4}}, "lora")):
        with pytest.raises(CheckpointError, match=message):
            read_deep_potential(filled(_given("mini") | changes), _weights("mini"))
    weights = _weights("mini")
    weights["atomic_model.descriptor.version_tensor"].fill_(1.0)
    with pytest.raises(CheckpointError, match=r"version 1.0, and the page has 1.1"):
        read_deep_potential(filled(_given("mini")), weights)
    del weights["atomic_model.descriptor.blocks.0.so2_conv.attn_q_proj.weight"]
    with pytest.raises(CheckpointError, match=r"weights have no '.*version_tensor'|attn_q_proj"):
        read_deep_potential(
            filled(_given("mini")), weights | {"atomic_model.descriptor.version_tensor": torch.tensor(1.2)}
        )
