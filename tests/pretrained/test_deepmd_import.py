"""DeePMD-kit's weights: the program's numbers, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.deepmd import from_kit, read_deep_potential
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity

KITS = ["se-e2-a", "se-e2-a-twoside", "se-e2-r", "se-e3", "hybrid", "fparam-atomener"]


def _options_and_weights(shared, name):
    folder = shared / "golden" / f"dp-{name}"
    meta = json.loads((folder / "meta.json").read_text())
    return meta["resolved_hyperparameters"], load_file(folder / "weights.safetensors")


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / f"dp-{name}"))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {d.quantity for d in report.deviations} == {"atomic_energies", "energy", "forces", "stress", "virial"}
    assert all(d.cases >= 9 for d in report.deviations if d.quantity in ("energy", "forces"))


def test_structures_with_more_neighbors_than_slots_are_left_out_with_a_reason(shared):
    report = parity(Kit(shared / "golden" / "dp-se-e2-a"))
    assert "drops the farthest" in report.skipped["cu_primitive"]
    assert report.skipped["ethanol/virial"] == "not compared without periodicity"


def test_parameters_matter(shared):
    kit = Kit(shared / "golden" / "dp-fparam-atomener")
    imported, outputs, atoms = from_kit(kit), kit.outputs(), kit.structures()["ethanol"]
    model = imported.potentials[""]
    graph = Graph.build(System.from_ase(atoms), model.cutoff)
    assert imported.inputs is not None
    energies = []
    for case in ("ethanol", "acetamide"):
        imported.inputs(model, {name: outputs[f"{case}/{name}"] for name in ("fparam", "aparam")})
        energies.append(float(evaluate(model, graph, ("energy",)).energy))
    assert energies[0] == pytest.approx(float(outputs["ethanol/energy"][0]), rel=1e-12)
    assert energies[1] != pytest.approx(energies[0], rel=1e-6)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (None, {"type": "zbl"}, "type is 'zbl'"),
        ("fitting", {"type": "dipole"}, "type is 'dipole'"),
        ("fitting", {"mixed_types": True}, "mixed_types is True"),
        ("fitting", {"atom_ener": [None] + [0.1] * 7}, "atom_ener"),
        ("descriptor", {"type": "dpa3"}, "a descriptor 'dpa3', which has no page"),
        ("descriptor", {"env_protection": 0.01}, "env_protection is 0.01"),
        ("descriptor", {"neuron": [4, 8, 8]}, "has shape"),
        ("descriptor", {"resnet_dt": True}, "idt"),
    ],
)
def test_what_the_page_does_not_have_is_refused(shared, part, changes, message):
    options, weights = _options_and_weights(shared, "se-e2-a")
    options |= changes if part is None else {part: options[part] | changes}
    with pytest.raises(CheckpointError, match=message):
        read_deep_potential(options, weights)


def test_statistics_that_differ_from_slot_to_slot_are_refused(shared):
    options, weights = _options_and_weights(shared, "se-e2-a")
    name = "atomic_model.descriptor.sea.mean"
    weights[name] = weights[name] + 0.1 * torch.arange(320)[:, None]
    with pytest.raises(CheckpointError, match="differs from slot to slot"):
        read_deep_potential(options, weights)
