"""n2p2's numbers from its own files."""

import numpy as np
import pytest
import torch

from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.n2p2 import from_kit, read_n2p2
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.source import Options
from adiabat.testing.parity import parity
from adiabat.units import energy_unit, length_unit

KITS = ["n2p2-Cu2S_PBE", "n2p2-H2O_RPBE-D3", "n2p2-mlearn-Cu", "n2p2-mlearn-Si"]

FOURTH = ["n2p2-4G-AlAuMgO", "n2p2-4G-AlAuMgO-tight", "n2p2-4G-H2O_RPBE-D3", "n2p2-4G-H2O_RPBE-D3-tight"]


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
    (tmp_path / "input.nn").write_text("elements H\ncutoff_type 1\nsymfunction_short H 14 1 2 3\n")
    with pytest.raises(CheckpointError, match="type 14"):
        read_n2p2(tmp_path)
    (tmp_path / "input.nn").write_text("nnp_type 3G-HDNNP\n")
    with pytest.raises(CheckpointError, match="3G"):
        read_n2p2(tmp_path)


@pytest.mark.parametrize("name", FOURTH)
def test_parity_of_the_fourth_generation(shared, name):
    """With the program's rule for where Ewald's sum ends, loose sums agree as well as tight ones."""
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-9
    assert {d.quantity for d in report.deviations} == {"energy", "forces", "atomic_energies", "charges"}
    assert {d.cases for d in report.deviations} == {5 if "H2O" in name else 3}


@pytest.mark.parametrize("name", ["n2p2-4G-AlAuMgO", "n2p2-4G-H2O_RPBE-D3"])
def test_parts_of_the_fourth_generation(shared, name):
    kit = Kit(shared / "golden" / name)
    imported = from_kit(kit)
    model = imported.potentials[""]
    energy = energy_unit(imported.energy_unit)
    case = "native_0" if "Al" in name else "h2"
    graph = Graph.build(System.from_ase(_structures(kit)[case]), model.cutoff)
    found = model(model.prepare(graph)).properties
    outputs = kit.outputs()
    chi = found["electronegativities"].detach().numpy() / energy
    np.testing.assert_allclose(chi, outputs[f"{case}/electronegativity"], rtol=1e-9)
    elec = float(found["electrostatic_energies"].detach().sum()) / energy
    assert elec == pytest.approx(float(outputs[f"{case}/energy_elec"]), rel=1e-9, abs=1e-12)
    inner = model.model
    numbers = graph.system.numbers
    scaled = inner.scaling(inner.descriptor.values(graph), inner.descriptor.element[numbers]).numpy()
    wanted = outputs[f"{case}/descriptor"]
    for atom, z in enumerate(numbers.tolist()):
        size = inner.descriptor.sizes[inner.elements.index(z)]
        np.testing.assert_allclose(scaled[atom, :size], wanted[atom, :size], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["AlAuMgO", "H2O_RPBE-D3"])
def test_published_fourth_generation(shared, name):
    """The published folder is the kit's model."""
    found = import_original(shared / "weights" / "n2p2" / f"{name}_4G", options=Options("Hartree", "Bohr"))
    expected = from_kit(Kit(shared / "golden" / f"n2p2-4G-{name}")).potentials[""].state_dict()
    for key, value in found.potentials[""].state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-9, atol=1e-12)


def test_fourth_generation_is_read_as_it_says(shared, tmp_path):
    source = shared / "golden" / "n2p2-4G-H2O_RPBE-D3"
    for file in source.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (source / "input.nn").read_text()
    given = {
        "global_activation_electrostatic t t l": ("global_activation_electrostatic p p l", "only equal ones"),
        "ewald_prec 1.e-5 0.36": ("ewald_prec 1.e-5 0.36 9.0", "ewald_prec with a radius"),
        "screen_electrostatics 4.8 12.0": ("screen_electrostatics 4.8 12.0 e", "function 'e' is not known"),
        "four_pi_epsilon 1.0 ": ("mean_energy 1.0\n", "normalized units"),
        "fixed_gausswidth  O 1.2491023848218": ("", "one fixed_gausswidth"),
    }
    for line, (other, reason) in given.items():
        assert line in text
        (tmp_path / "input.nn").write_text(text.replace(line, other))
        with pytest.raises(CheckpointError, match=reason):
            read_n2p2(tmp_path)
    changes = (("screen_electrostatics 4.8 12.0", "screen_electrostatics 3.0 9.0 p2"), ("ewald_truncation", "#"))
    for old, new in changes:
        text = text.replace(old, new)
    (tmp_path / "input.nn").write_text(text)
    config = read_n2p2(tmp_path).model.config
    assert config.screening == pytest.approx((0.25, 0.75))
    assert config.screening_function == "poly2"
    assert config.split.rule == "jackson-catlow"
    (tmp_path / "hardness.008.data").unlink()
    with pytest.raises(CheckpointError, match="hardness.008.data is missing"):
        read_n2p2(tmp_path)


def test_without_screening_in_a_medium(shared, tmp_path):
    """The program's numbers: charges' own energy is left out all the same, and its Ewald rule forgets the medium."""
    source = shared / "golden" / "n2p2-4G-H2O_RPBE-D3"
    for file in source.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (source / "input.nn").read_text().replace("screen_electrostatics", "#")
    (tmp_path / "input.nn").write_text(text.replace("four_pi_epsilon 1.0 ", "four_pi_epsilon 2.5 "))
    model = read_n2p2(tmp_path)
    places, cell = [[0, 0, 0], [0.96, 0.1, 0], [-0.24, 0.93, 0.1]], [[14, 0, 0], [1, 14, 0], [0, 1, 14]]
    # Hartree and e, by nnp-predict of the kit's version, in a cell and without
    for box, energy, charge in ((cell, -76.57589060244267, -0.28760582), (None, -76.57588250683334, -0.28760455)):
        system = System.from_arrays(places, [8, 1, 1], box, pbc=box is not None)
        found = evaluate(model, Graph.build(system, model.cutoff), ("energy", "charges"))
        assert float(found.energy) == pytest.approx(energy * energy_unit("Hartree"), abs=1e-10)
        assert found.charges is not None
        assert float(found.charges[0]) == pytest.approx(charge, abs=1e-8)
