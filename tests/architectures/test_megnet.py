"""MEGNet: a formation energy of crystals beside the published program, and what it is not."""

import pytest
import torch

from adiabat.architectures import build, method
from adiabat.architectures.invariant.megnet import MEGNet, MEGNetConfig
from adiabat.errors import CapabilityError, CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.nn.pooling import Set2Set, group_mean
from adiabat.pretrained.importers.matgl import from_kit, read_megnet
from adiabat.pretrained.kit import Kit
from adiabat.testing.battery import check_cut, check_ext, run_battery
from adiabat.testing.parity import parity
from adiabat.testing.reference import supercell
from adiabat.testing.structures import structures

NAME = "matgl-megnet-mp-2018.6.1-eform"
SMALL = MEGNetConfig(
    cutoff=3.5, basis=8, element_channels=3, channels=4, layers=2, encoder=(), hidden=(5,), head=(4,)
)
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])


def test_battery():
    torch.manual_seed(1)
    # no envelope: the energy jumps at the cutoff; the state of the whole couples far fragments
    report = run_battery(MEGNet(SMALL, [1, 8]), skip=("CUT", "EXT", "NVE"))
    assert report.passed, report.text()
    assert report["RT"].passed


def test_is_no_potential_for_dynamics():
    torch.manual_seed(1)
    model, several = MEGNet(SMALL, [1, 8]), structures([1, 8], 3.5)
    assert check_cut(model, several).passed is False
    fragments = check_ext(model, {"fragments": several["fragments"]})
    assert fragments.passed is False
    cells = check_ext(model, {name: several[name] for name in ("triclinic", "slab", "one-atom")})
    assert cells.passed, cells.message


def test_parity(shared):
    report = parity(Kit(shared / "golden" / NAME))
    assert report.status == "equal", report
    assert report.worst < 1e-12
    assert {d.quantity: d.cases for d in report.deviations} == {"energy": 8, "forces": 8}


def test_energy_is_that_of_the_structure_not_of_an_atom(shared):
    kit = Kit(shared / "golden" / NAME)
    model = from_kit(kit).potentials[""]
    salt = System.from_ase(kit.structures()["nacl8_triclinic"])
    energies = [evaluate(model, Graph.build(s, 4.0), ("energy",)).energy for s in (salt, supercell(salt, (2, 1, 1)))]
    assert float(energies[0]) / salt.atoms == pytest.approx(float(kit.outputs()["nacl8_triclinic/energy"]))
    torch.testing.assert_close(energies[1], 2.0 * energies[0])


def test_without_pairs_the_energy_is_a_number():
    torch.manual_seed(2)
    model = MEGNet(SMALL, [1, 8])
    alone = Graph.build(System.from_arrays([[0, 0, 0]], [8]), 3.5)
    both = Graph.batch([alone, Graph.build(WATER, 3.5)])
    found = evaluate(model, both)
    assert torch.isfinite(found.energy).all()
    torch.testing.assert_close(found.energy[:1], evaluate(model, alone).energy)
    assert float(found.forces[0].abs().max()) == 0.0


def test_ghosts_and_energies_of_atoms_are_refused():
    model, graph = MEGNet(SMALL, [1, 8]), Graph.build(WATER, 3.5)
    with pytest.raises(CapabilityError, match="does not predict atomic_energies"):
        evaluate(model, graph, ("atomic_energies",))
    with pytest.raises(CapabilityError, match="ghost atoms"):
        evaluate(model, graph.replace(owned=torch.tensor([True, True, False])))


def test_defaults_are_the_published_model(shared):
    weights = Kit(shared / "golden" / NAME).weights()
    published = sum(w.numel() for name, w in weights.items() if name != "bond_expansion.rbf.centers")
    assert sum(p.numel() for p in build(MEGNetConfig(), range(1, 90)).parameters()) == published
    assert method("megnet").paper == "10.1021/acs.chemmater.9b01294"


def test_importer_names_faults(shared):
    kit = Kit(shared / "golden" / NAME)
    options, weights, order = kit.meta["hyperparameters"], kit.weights(), kit.meta["element_order"]
    with pytest.raises(CheckpointError, match="nlayers_set2set 2 is not an option"):
        read_megnet(options | {"nlayers_set2set": 2}, weights, order)
    with pytest.raises(CheckpointError, match="has shape"):
        read_megnet(options | {"dim_edge_embedding": 50}, weights, order)


def test_summaries_do_not_depend_on_order_or_on_other_sets():
    torch.manual_seed(3)
    summary, values = Set2Set(4, 3).requires_grad_(False), torch.randn(7, 4)
    group = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    together = summary(values, group, 3)
    turned = summary(values.flip(0), group.flip(0), 3)
    torch.testing.assert_close(together, turned)
    torch.testing.assert_close(together[:1], summary(values[:3], torch.zeros(3, dtype=torch.int64), 1))
    assert float(together[1, 4:].abs().max()) == 0.0  # the empty set's answer
    assert summary(1e4 * values, group, 3).isfinite().all()
    means = group_mean(values, group, 3)
    torch.testing.assert_close(means, torch.stack([values[:3].mean(0), torch.zeros(4), values[3:].mean(0)]))
