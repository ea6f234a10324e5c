"""n2p2's numbers from its own files."""

import numpy as np
import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.n2p2 import from_kit, read_n2p2
from adiabat.pretrained.kit import Kit
from adiabat.units import energy_unit, length_unit

KITS = ["n2p2-Cu2S_PBE", "n2p2-H2O_RPBE-D3", "n2p2-mlearn-Cu", "n2p2-mlearn-Si"]


def _structures(kit: Kit) -> dict:
    cases = kit.structures(kit.path.parent / "structures.extxyz")
    native = kit.path / "native.extxyz"
    if native.exists():
        cases |= {f"native_{k}": atoms for k, atoms in enumerate(kit.structures(native).values())}
    return cases


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    kit = Kit(shared / "golden" / name)
    imported = from_kit(kit)
    model = imported.potentials[""]
    energy, length = energy_unit(imported.energy_unit), length_unit(imported.length_unit)
    outputs, cases = kit.outputs(), _structures(kit)
    for case in dict.fromkeys(key.split("/")[0] for key in outputs):
        graph = Graph.build(System.from_ase(cases[case]), model.cutoff)
        found = evaluate(model, graph, ("energy", "forces", "atomic_energies"))
        offset = model.reference[graph.system.numbers]
        # the program's forces miss self-images in small cells; the supercell's are right
        pairs = {
            "energy": (found.energy[0] / energy, "energy"),
            "forces": (found.forces * length / energy, "forces"),
            "atomic": ((found.atomic_energies - offset) / energy, "atomic_energies"),
        }
        for value, key in pairs.values():
            wanted = outputs.get(f"{case}/{key}_from_supercell", outputs[f"{case}/{key}"])
            # symmetric crystals have forces of rounding size: those count against 1e-6 of a force unit
            size = max(np.abs(wanted).max(), 1e-6)
            assert np.abs(value.numpy() - wanted).max() < 1e-6 * size, (case, key)


@pytest.mark.parametrize("name", KITS)
def test_descriptor(shared, name):
    kit = Kit(shared / "golden" / name)
    model = from_kit(kit).potentials[""].model
    outputs, cases = kit.outputs(), _structures(kit)
    for case in dict.fromkeys(key.split("/")[0] for key in outputs):
        graph = Graph.build(System.from_ase(cases[case]), model.cutoff)
        found = model.features(graph).values.numpy()
        wanted = outputs[f"{case}/descriptor"]
        places = model.descriptor.element[graph.system.numbers]
        for atom, place in enumerate(places.tolist()):
            size = model.descriptor.sizes[place]
            assert np.abs(found[atom, :size] - wanted[atom, :size]).max() < 1e-9


def test_stored_features_give_the_same_prediction(shared):
    kit = Kit(shared / "golden" / "n2p2-H2O_RPBE-D3")
    model = from_kit(kit).potentials[""].model
    graph = Graph.build(System.from_ase(kit.structures()["water8_pbc"]), model.cutoff)
    want = ("energy", "forces", "stress", "atomic_energies")
    slow, fast = evaluate(model, graph, want), model.predict_from(model.features(graph), want)
    for name in want:
        torch.testing.assert_close(getattr(fast, name).detach(), getattr(slow, name), rtol=1e-9, atol=1e-10)


def test_faults_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="missing"):
        read_n2p2(tmp_path)
    (tmp_path / "input.nn").write_text("elements H\ncutoff_type 1\nsymfunction_short H 12 1 2 3\n")
    with pytest.raises(CheckpointError, match="type 12"):
        read_n2p2(tmp_path)
    (tmp_path / "input.nn").write_text("nnp_type 4G-HDNNP\n")
    with pytest.raises(CheckpointError, match="4G"):
        read_n2p2(tmp_path)
