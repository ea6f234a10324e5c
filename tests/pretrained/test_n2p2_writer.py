"""Folders of n2p2 that are written read back as the same potential."""

import pytest
import torch
from small_models import ELEMENTS, MODELS, loosened, several_graphs

from adiabat.architectures.local.bpnn import BPNN, WACSFNN, BPNNConfig, WACSFNNConfig
from adiabat.architectures.local.hdnnp4g import HDNNP4G, HDNNP4GConfig
from adiabat.descriptors.symmetry_functions import Recipe
from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced
from adiabat.pretrained.importers.n2p2 import from_kit, read_n2p2
from adiabat.pretrained.importers.n2p2_writer import write_n2p2
from adiabat.pretrained.kit import Kit
from adiabat.units import energy_unit

COMPACT = [
    {"kind": "P2", "center": "H", "neighbors": ("O",), "begin": -1.0, "cutoff": 3.0, "core": "poly3"},
    {"kind": "P4", "center": "O", "begin": 0.4, "cutoff": 2.8, "angles": (20.0, 120.0), "asymmetric": True},
    {"kind": "P5", "center": "O", "neighbors": ("H", "H"), "begin": 0.0, "cutoff": 3.0, "core": "exponential"},
    {"kind": "G5", "center": "O", "neighbors": ("O", "H"), "eta": 0.1, "shift": 0.3, "zeta": 2.0, "cutoff": 3.0},
    {"kind": "G1", "center": "H", "neighbors": ("H",), "cutoff": 2.5},
]
FEW = {"cutoff": 3.0, "recipe": Recipe(shifted=3, zetas=(1.0, 4.0)), "hidden": (5, 4)}
SECOND = {
    "recipe": lambda: BPNN(BPNNConfig.parse(FEW | {"activations": ("softplus", "cosine")}), ELEMENTS),
    "components": lambda: BPNN(BPNNConfig.parse(FEW | {"components": 6, "scaling": "range-center"}), ELEMENTS),
    "chosen": lambda: BPNN(BPNNConfig.parse(FEW | {"select": {"method": "cur", "count": 9}}), ELEMENTS),
    "compact": lambda: BPNN(BPNNConfig.parse({"functions": COMPACT, "cutoff_function": "poly2"}), ELEMENTS),
    "weighted": lambda: WACSFNN(WACSFNNConfig(cutoff=3.0, hidden=(5, 4), scaling="none"), ELEMENTS),
}
CHARGED = {"hidden": (5,), "charge_hidden": (4, 3), "widths": {"O": 0.7}, "hardness": {"H": 0.6, "O": 0.4}}
FOURTH = {
    "plain": {},
    "method-0": {"split": {"rule": "jackson-catlow", "precision": 1e-8}, "screening": (0.0, 1e-9)},
    "method-1": {"split": {"rule": "kolafa-perram", "precision": 1e-5, "charge": 0.4}},
    "screened": {"screening": (0.2, 0.9), "screening_function": "poly3", "coulomb": 12.0},
}


def adapted(make):
    """A model in float64, scaled by structures, wrapped in energies and a scale."""
    torch.manual_seed(0)
    model = make().double()
    model.adapt(several_graphs()[:2])
    loosened(model, 0.5)
    return Referenced(model, {1: -13.6, 8: -2040.0}, 1.7)


@pytest.mark.parametrize("name", SECOND)
@pytest.mark.parametrize("units", [(), (1.0, 1.0)])
def test_second_generation(tmp_path, name, units):
    model = adapted(SECOND[name])
    again = read_n2p2(write_n2p2(model, tmp_path / "new", *units), *units)
    for graph in several_graphs():
        wanted, found = (evaluate(m, graph, ("atomic_energies", "forces")) for m in (model, again))
        torch.testing.assert_close(found.atomic_energies, wanted.atomic_energies, rtol=1e-11, atol=1e-10)
        torch.testing.assert_close(found.forces, wanted.forces, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FOURTH)
def test_fourth_generation(tmp_path, name):
    config = HDNNP4GConfig.parse(FEW | CHARGED | FOURTH[name])
    model = adapted(lambda: HDNNP4G(config, ELEMENTS))
    again = read_n2p2(write_n2p2(model, tmp_path))
    assert isinstance(again.model, HDNNP4G)
    options = again.model.config
    assert options.split.rule == ("kolafa-perram" if config.split.rule == "plain" else config.split.rule)
    assert options.coulomb == pytest.approx(1.7 * config.coulomb, rel=1e-15)
    assert options.screening == config.screening
    cell = System.from_arrays(
        [[0, 0, 0], [0.9, 0.3, 0], [2.1, 1.9, 2.2]], [8, 1, 8], [[4, 0, 0], [1, 4, 0], [0, 1, 4]], True
    )
    water = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0.1]], [8, 1, 1], charge=1.0)
    for graph in (Graph.build(system, model.cutoff) for system in (cell, water)):
        wanted, found = (evaluate(m, graph, ("energy", "forces", "charges")) for m in (model, again))
        # the plain split is converged to its last digits, the program's to what it is asked for
        bound = 1e-8 if config.split.rule == "plain" else 1e-10
        for quantity in ("energy", "forces", "charges"):
            torch.testing.assert_close(getattr(found, quantity), getattr(wanted, quantity), rtol=1e-11, atol=bound)
        assert wanted.charges is not None
        assert float(wanted.charges.abs().max()) > 0.05


@pytest.mark.parametrize("name", ["n2p2-Cu2S_PBE", "n2p2-mlearn-Si", "n2p2-4G-AlAuMgO", "n2p2-4G-H2O_RPBE-D3"])
def test_published_ones(shared, tmp_path, name):
    """Every number is the same, and input.nn has the decimals that were published."""
    kit = Kit(shared / "golden" / name)
    imported = from_kit(kit)
    model = imported.potentials[""]
    units = (float(kit.meta["length_unit_in_angstrom"]), energy_unit(imported.energy_unit))
    again = read_n2p2(write_n2p2(model, tmp_path, *units), *units)
    assert again.config == model.config
    expected = model.state_dict()
    for key, value in again.state_dict().items():
        if key != "scale" and "layers" not in key:
            torch.testing.assert_close(value, expected[key], rtol=1e-15, atol=0)


def test_what_the_program_lacks_is_refused(tmp_path):
    one = {"center": "H", "cutoff": 3.0}
    own = {"center": "O", "cutoff": 3.0, "kind": "G2", "neighbors": ("H",)}
    refused = {
        "G3 of named": {"functions": [one | {"kind": "G3", "neighbors": ("H",)}, own]},
        "weight 'one'": {"functions": [one | {"kind": "G2", "weight": "one"}, own]},
        "G5 of neighbors of weight 'number'": {"functions": [one | {"kind": "G5"}, own]},
        "activation 'silu'": FEW | {"activations": ("silu", "tanh")},
    }
    for reason, options in refused.items():
        with pytest.raises(CheckpointError, match=reason):
            write_n2p2(BPNN(BPNNConfig.parse(options), ELEMENTS), tmp_path)
    with pytest.raises(CheckpointError, match="screening with function 'hard'"):
        write_n2p2(
            HDNNP4G(HDNNP4GConfig.parse(FEW | {"hidden": (5,), "screening_function": "hard"}), ELEMENTS), tmp_path
        )
    with pytest.raises(CheckpointError, match="own energy out"):
        write_n2p2(HDNNP4G(HDNNP4GConfig.parse(FEW | {"hidden": (5,), "screening": None}), ELEMENTS), tmp_path)
    with pytest.raises(CheckpointError, match="only the methods bpnn"):
        write_n2p2(MODELS["rann"](), tmp_path)
    assert not list(tmp_path.iterdir())
