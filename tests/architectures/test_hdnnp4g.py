"""Fourth-generation networks through the battery, and what charges in equilibrium do."""

import pytest
import torch
from small_models import ELEMENTS, MODELS, loosened, structure

from adiabat.architectures import build, method
from adiabat.architectures.classical.lennard_jones import LennardJones, LennardJonesConfig
from adiabat.architectures.local.hdnnp4g import HDNNP4G, HDNNP4GConfig
from adiabat.compile import compiled
from adiabat.data import Frame, MemoryDataset
from adiabat.descriptors.symmetry_functions import Recipe
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.sums import Sum
from adiabat.testing.battery import check_ext, run_battery
from adiabat.testing.structures import structures

SMALL = HDNNP4GConfig(cutoff=4.5, hidden=(8,), charge_hidden=(8,), recipe=Recipe(shifted=4, zetas=(1.0, 4.0)))
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0.1]], [8, 1, 1])
WANT = ("energy", "forces", "charges", "dipole")


def several():
    """The battery's structures but for the slab, whose charges no sum is made for."""
    return {name: system for name, system in structures([1, 6, 8], SMALL.cutoff).items() if name != "slab"}


def adapted(config=SMALL):
    """A model scaled by rattled structures, with electronegativities that differ."""
    torch.manual_seed(1)
    model = HDNNP4G(config, [1, 6, 8])
    graphs = []
    for system in several().values():
        for _ in range(10):
            moved = system.positions + 0.1 * torch.randn_like(system.positions)
            graphs.append(Graph.build(system.replace(positions=moved), model.cutoff))
    model.adapt(graphs)
    loosened(model.charge_networks, 0.3)
    return model


def test_battery():
    model = adapted()
    # far fragments have one total charge between them, as the paper wants
    report = run_battery(model, several(), skip=("NVE", "FIT", "RT", "EXT"))
    assert report.passed, report.text()
    cells = check_ext(model, {name: s for name, s in several().items() if bool(s.pbc.all())})
    assert cells.passed, cells.message
    assert check_ext(model, {"fragments": several()["fragments"]}).passed is False


@pytest.mark.slow
def test_learns_and_conserves_energy():
    report = run_battery(adapted(), several(), skip=("INV", "FD", "CUT", "EXT", "PBC", "REF", "BATCH"))
    assert report.passed, report.text()


def test_charge_moves_without_a_pair():
    """What is done to one end of a chain changes the charges at the other, beyond any neighborhood."""
    model = adapted()
    ends = [[0, 0, 0], [1.1, 0, 0], [9.0, 0, 0]]
    whole, changed = (System.from_arrays(ends, [6, other, 6]) for other in (6, 8))
    found = [evaluate(model, Graph.build(s, model.cutoff), WANT).charges for s in (whole, changed)]
    assert float((found[0][2] - found[1][2]).abs()) > 1e-3
    local = model.charge_networks
    assert not any(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert local.sizes == model.descriptor.sizes


def test_total_charge_is_felt():
    model = adapted()
    batch = System.batch([WATER.replace(charge=torch.tensor([q])) for q in (-1.0, 0.0, 1.0)])
    found = evaluate(model, Graph.build(batch, model.cutoff), WANT)
    torch.testing.assert_close(batch.sum_over_atoms(found.charges), torch.tensor([-1.0, 0.0, 1.0]))
    assert float((found.energy[1:] - found.energy[:-1]).abs().min()) > 1e-3


def test_screening_takes_away_what_is_near():
    config = SMALL.model_copy(update={"screening": None})
    shared_weights = adapted().state_dict()
    model, other = adapted(config), adapted()
    model.load_state_dict(shared_weights)
    graph = Graph.build(WATER, model.cutoff)
    full, screened = (m(m.prepare(graph)) for m in (model, other))
    torch.testing.assert_close(full.charges, screened.charges)
    # all distances are shorter than 0.4 · 4.5 Å
    parts = [p.properties["electrostatic_energies"] for p in (full, screened)]
    assert float(parts[0].detach().abs().max()) > 1e-3
    assert float(parts[1].detach().abs().max()) < 1e-12
    assert SMALL.screening[0] * SMALL.cutoff > float(graph.vectors().norm(dim=1).max())


def test_sum_with_another_cutoff():
    """Pairs beyond the cutoff change nothing, so that a term may reach farther."""
    torch.manual_seed(4)
    model, graph = MODELS["hdnnp_4g"](), Graph.build(structure(7, 4.0), 5.0)
    pairs = LennardJones(LennardJonesConfig(sigma=1.2, cutoff=5.0, ending="linear"), ELEMENTS)
    found = evaluate(Sum([model, pairs]), graph)
    parts = evaluate(model, Graph.build(graph.system, 3.0)), evaluate(pairs, graph)
    torch.testing.assert_close(found.forces, parts[0].forces + parts[1].forces)
    torch.testing.assert_close(found.energy, parts[0].energy + parts[1].energy)


def test_every_parameter_is_trained():
    model = adapted()
    batch = System.batch([WATER, several()["triclinic"], WATER.replace(charge=torch.tensor([1.0]))])
    found = evaluate(model, Graph.build(batch, model.cutoff), (*WANT, "stress"), create_graph=True)
    (found.energy.sum() + found.forces.square().sum() + found.charges.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_fits_charges_with_energies_and_forces():
    torch.manual_seed(2)
    truth, model = MODELS["hdnnp_4g"](), MODELS["hdnnp_4g"]()
    frames = []
    for k in range(6):
        system = structure(4 + k % 3, 4.0, k)
        found = evaluate(truth, Graph.build(system, 3.0), ("energy", "forces", "charges"))
        frames.append(Frame(system, {n: getattr(found, n).squeeze() for n in ("energy", "forces", "charges")}))
    loss = {"energy": 1.0, "forces": 1.0, "charges": 100.0}
    options = {"epochs": 25, "batch_size": 3, "loss": loss, "optimizer": {"rate": 0.03}}
    data = MemoryDataset(frames)
    result = GradientFitter(model, data, data, GradientConfig.parse(options)).fit()
    first, best = result.history[0], result.best
    assert best["valid_charges_rmse"] < 0.4 * first["valid_charges_rmse"]
    assert best["valid_forces_rmse"] < 0.6 * first["valid_forces_rmse"]


def test_frozen_gives_the_same():
    if (reason := available("symmetry_functions")) is not None:
        pytest.skip(reason)
    model = adapted()
    batch = System.batch([WATER, several()["triclinic"]])
    frozen = model.frozen()
    found, expected = (evaluate(m, Graph.build(batch, m.cutoff), (*WANT, "stress")) for m in (frozen, model))
    for name in ("energy", "forces", "charges", "stress"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10, equal_nan=True)


def test_single_precision_agrees():
    model = adapted()
    graph = Graph.build(System.batch([WATER, several()["triclinic"]]), model.cutoff)
    exact = evaluate(model, graph, WANT)
    rough = evaluate(model.float(), graph.to(dtype=torch.float32), WANT)
    assert rough.energy.dtype == torch.float64
    torch.testing.assert_close(rough.energy, exact.energy, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rough.charges.double(), exact.charges, rtol=1e-4, atol=1e-5)
    again = evaluate(model.double(), graph, WANT)
    assert float((again.charges - exact.charges).abs().max()) < 1e-5


@pytest.mark.slow
def test_molecules_and_crystals_are_compiled_alike():
    model = MODELS["hdnnp_4g"]()
    run = compiled(model, ("energy", "forces"), backend="captured")
    chain = [[0, 0, 0], [1, 0, 0.2], [0, 1.1, 0], [1.2, 1.3, 1.0]]
    for system in (System.from_arrays(chain, [8, 1, 1, 8], charge=1.0), structure(5, 4.0)):
        graph = Graph.build(system, 3.0)
        torch.testing.assert_close(run(graph).forces, evaluate(model, graph).forces, rtol=1e-11, atol=1e-11)
    assert run.executable is not None


def test_what_it_cannot_do_is_refused():
    model = HDNNP4G(SMALL, [1, 6, 8])
    with pytest.raises(CapabilityError, match="put vacuum into the cell"):
        evaluate(model, Graph.build(structures([1, 6, 8])["slab"], model.cutoff))
    with pytest.raises(CapabilityError, match="cannot be split"):
        evaluate(model, Graph.build(WATER, model.cutoff).replace(owned=torch.tensor([True, True, False])))


def test_method_and_options():
    assert method("hdnnp_4g").config_class is HDNNP4GConfig
    assert isinstance(build(HDNNP4GConfig(), ELEMENTS), HDNNP4G)
    own = HDNNP4G(HDNNP4GConfig(widths={"O": 0.5}, hardness={"H": 7.0}), ELEMENTS)
    torch.testing.assert_close(own.equilibration.coulomb.widths, torch.tensor([0.31, 0.5]))
    torch.testing.assert_close(own.equilibration.hardness.detach(), torch.tensor([7.0, 10.0]))
    assert HDNNP4G(HDNNP4GConfig(screening=(0.5, 1.5)), ELEMENTS).cutoff == 9.0
    for wrong in (
        {"screening": (0.9, 0.4)},
        {"widths": {"O": 0.0}},
        {"hardness": {"O": -1.0}},
        {"activation": ["x"]},
    ):
        with pytest.raises(ConfigError):
            HDNNP4GConfig.parse(wrong)
    with pytest.raises(ConfigError, match="3 activations"):
        HDNNP4G(HDNNP4GConfig(activation=("tanh",) * 3), ELEMENTS)
    with pytest.raises(ConfigError, match="not all among the model's elements H, O"):
        HDNNP4G(HDNNP4GConfig(widths={"C": 0.5}), ELEMENTS)
