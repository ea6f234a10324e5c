"""Original files give the models of the golden kits that were made from them."""

import ast

import numpy as np
import pytest
import torch

from adiabat.errors import CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers import importer
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original, read_original
from adiabat.pretrained.originals.mace import irreps
from adiabat.pretrained.originals.source import Options, Source
from adiabat.units import KCAL_PER_MOL, energy_unit, length_unit

METRIC, ATOMIC = Options("eV", "Å"), Options("Hartree", "Bohr")
FILES = {
    "les/MLIPs__MACE-LES__water__mace-r-4.5-nl-1-l-0__H20_stagetwo.model": ("mace-water-published", Options()),
    "schnetpack/examples__trained_models__rmd17_ethanol__painn_1__best_model": (
        "painn-ethanol-published",
        Options("kcal/mol", elements=(1, 6, 8)),
    ),
    "sgdml/ethanol.npz": ("sgdml-ethanol-published", Options("kcal/mol")),
    "n2p2/Cu2S_PBE": ("n2p2-Cu2S_PBE", METRIC),
    "n2p2/H2O_RPBE-D3": ("n2p2-H2O_RPBE-D3", ATOMIC),
    "mlearn_models/Cu/nnp": ("n2p2-mlearn-Cu", ATOMIC),
    "mlearn_models/Si/nnp": ("n2p2-mlearn-Si", ATOMIC),
}
SCHNETPACK = "schnetpack/examples__trained_models__rmd17_ethanol__painn_1__best_model"
DEPLOYED = "schnetpack/interfaces__lammps__examples__aspirin__deployed_model"
MACE = "les/MLIPs__MACE-LES__water__mace-r-4.5-nl-1-l-0__H20_stagetwo.model"


@pytest.mark.parametrize("file", FILES)
def test_same_model_as_the_kit(shared, file):
    name, options = FILES[file]
    kit = Kit(shared / "golden" / name)
    imported = import_original(shared / "weights" / file, options=options)
    found, expected = imported.potentials[""], importer(kit)(kit).potentials[""]
    theirs = expected.state_dict()
    for key, value in found.state_dict().items():
        if key != "reference":  # some kits leave the program's offsets out
            assert torch.equal(value, theirs[key]), key


@pytest.mark.parametrize("file", FILES)
def test_the_programs_forces(shared, file):
    """From the file to the program's own numbers, units included."""
    name, options = FILES[file]
    kit = Kit(shared / "golden" / name)
    imported = import_original(shared / "weights" / file, options=options)
    potential = imported.potentials[""]
    unit = energy_unit(imported.energy_unit) / length_unit(imported.length_unit)
    outputs = kit.outputs()
    cases = [c for c in kit.structures() if f"{c}/forces" in outputs][:2]
    assert cases
    for case in cases:
        graph = Graph.build(System.from_ase(kit.structures()[case]), potential.cutoff)
        forces = evaluate(potential, graph, ("forces",)).forces
        wanted = outputs.get(f"{case}/forces_from_supercell", outputs[f"{case}/forces"]) * unit
        assert np.abs(forces.numpy() - wanted).max() < 1e-6 * max(np.abs(wanted).max(), 1e-6)


def test_schnetpack_adds_its_offsets(shared):
    """Total energies, not those that the network gives: ethanol has -154.7 Hartree."""
    kit = Kit(shared / "golden" / "painn-ethanol-published")
    potential = import_original(shared / "weights" / SCHNETPACK, options=Options("kcal/mol", elements=(1, 6, 8)))
    system = System.from_ase(kit.structures()["ethanol"])
    energy = evaluate(potential.potentials[""], Graph.build(system, 5.0), ("energy",)).energy
    wanted = kit.outputs()["ethanol/energy"] - 9 * 10786.226809289834
    assert abs(float(energy) / KCAL_PER_MOL - float(np.ravel(wanted)[0])) < 1e-6


def test_deployed_schnetpack_is_read_like_a_module(shared):
    kit = read_original(shared / "weights" / DEPLOYED, options=Options("kcal/mol"))
    module = read_original(shared / "weights" / SCHNETPACK, options=Options("kcal/mol"))
    assert kit.meta["hyperparameters"] == module.meta["hyperparameters"]
    assert kit.meta["offsets"][6] == pytest.approx(-19346.41, abs=0.01)
    assert module.meta["offsets"][6] == pytest.approx(-10786.2268, abs=1e-4)


def test_mace_options_are_those_of_the_program(shared):
    kit = read_original(shared / "weights" / MACE)
    golden = Kit(shared / "golden" / "mace-water-published").meta["hyperparameters"]
    for key, value in kit.meta["hyperparameters"].items():
        given = golden[key]
        if key.endswith("_cls") or "interaction_cls" in key:
            assert given.endswith(f".{value}'>")
        else:
            assert str(value).removesuffix(".0") == given.replace("'", "").removesuffix(
                ".0"
            ) or value == ast.literal_eval(given)


def test_units_must_be_said(shared):
    with pytest.raises(CheckpointError, match="--energy-unit"):
        read_original(shared / "weights" / SCHNETPACK)
    with pytest.raises(CheckpointError, match="--length-unit"):
        read_original(shared / "weights" / "n2p2/Cu2S_PBE")
    with pytest.raises(ConfigError, match="not an energy unit"):
        read_original(shared / "weights" / SCHNETPACK, options=Options("kcal"))


def test_unknown_files_and_programs(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"\(text\) is not recognized"):
        import_original(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match="Did you mean 'mace'"):
        import_original(tmp_path / "a.txt", "mce")
    (tmp_path / "input.nn").write_text("nnp_type 4G\n")
    assert read_original(tmp_path, options=METRIC).name == "n2p2-4G"
    np.savez(tmp_path / "a.npz", R_desc=np.ones(1), R_d_desc_alpha=np.ones(1), e_unit="eV")
    with pytest.raises(CheckpointError, match="lacks the arrays perms, sig, z, c"):
        import_original(tmp_path / "a.npz")


def test_mace_with_a_part_of_another_kind(shared):
    source = Source(shared / "weights" / MACE)
    source.content.state["_modules"]["joint_embedding"] = None
    from adiabat.pretrained.originals import mace

    assert mace.recognize(source)
    with pytest.raises(CheckpointError, match="joint_embedding"):
        mace.read(source)


def test_irreps():
    assert irreps(((8, (0, 1)), (4, (1, -1)))) == "8x0e+4x1o"
    assert irreps("16x0e") == "16x0e"
    with pytest.raises(CheckpointError, match="float"):
        irreps(1.5)


def test_kits_in_memory():
    kit = Kit.of("painn-x", {"a": 1}, {"w": torch.ones(2)}, {"b": np.ones(1)}, "file")
    assert (kit.name, kit.meta, kit.weight_files()) == ("painn-x", {"a": 1}, ["weights.safetensors"])
    assert torch.equal(kit.weights()["w"], torch.ones(2))
    assert kit.buffers["b"].sum() == 1
    several = Kit.of("sgdml-x", {}, {"weights-a": {"w": torch.ones(2)}, "weights-b": {"w": torch.zeros(2)}})
    assert several.weight_files() == ["weights-a", "weights-b"]
