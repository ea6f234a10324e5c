"""EANN and REANN through the battery, beside the published programs, and what their options do."""

import pytest
import torch

from adiabat.architectures import build, method
from adiabat.architectures.invariant.reann import REANN, REANNConfig
from adiabat.architectures.local.eann import EANN, EANNConfig
from adiabat.errors import CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.nn.residual_networks import ResidualNetworks, ResidualOptions
from adiabat.pretrained.importers.reann import from_kit, read_reann
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.source import Options
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity

COMMON = {"cutoff": 4.0, "waves": 4, "l_max": 2}
SMALL = {"hidden": [8, 6]}
WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])
KITS = ("eann", "eann-tanh-2block", "reann", "reann-tanh-2block", "equireann", "equireann-tanh-2block")


def _eann(elements=(1, 8), **changes):
    return EANN(EANNConfig.parse(COMMON | {"network": SMALL | {"blocks": 0}} | changes), elements)


def _reann(elements=(1, 8), **changes):
    options = COMMON | {"orbitals": 6, "passes": 2, "network": SMALL, "message": SMALL}
    return REANN(REANNConfig.parse(options | changes), elements)


@pytest.mark.parametrize(("make", "kit"), [(_eann, "eann"), (_reann, "reann")])
def test_battery(shared, make, kit):
    torch.manual_seed(1)
    skip = ("NVE",) if make is _eann else ("NVE", "FIT", "RT")  # orbitals and networks are the same
    report = run_battery(make([1, 6, 8]), kits=[shared / "golden" / kit], skip=skip)
    assert report.passed, report.text()
    assert report["REF"].passed


def test_equivariant_orbitals_pass_too():
    torch.manual_seed(2)
    model = _reann(
        [29], equivariant=True, shared_mixing=True, l_max=3, network=SMALL | {"activation": "inverse-root"}
    )
    report = run_battery(model, skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


@pytest.mark.parametrize("name", KITS)
def test_parity(shared, name):
    kit = Kit(shared / "golden" / name)
    report = parity(kit)
    assert report.status == "equal", report
    assert report.worst < 2e-8
    assert {d.quantity for d in report.deviations} == {"energy", "forces", "atomic_energies", "stress"}
    if name.startswith("eann"):
        model = from_kit(kit).potentials[""].model
        for case, atoms in kit.structures().items():
            if f"{case}/descriptor" in kit.outputs():
                found = model.features(Graph.build(System.from_ase(atoms), model.cutoff)).detach()
                wanted = torch.as_tensor(kit.outputs()[f"{case}/descriptor"])
                torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)


def test_parity_of_published_weights(shared):
    report = parity(Kit(shared / "golden" / "reann-real-co2ni100"))
    assert report.status == "equal", report
    assert {d.quantity: d.cases for d in report.deviations} == {"energy": 4, "forces": 4}


def test_archives_are_read_as_data(shared):
    """The published TorchScript archive gives the model of the kit that its program made."""
    file, kit = shared / "weights/reann/co2_ni100_REANN_PES_DOUBLE.pt", Kit(shared / "golden/reann-real-co2ni100")
    potential = import_original(file, options=Options("eV")).potentials[""]
    wanted = from_kit(kit).potentials[""].model.state_dict()
    for name, value in potential.state_dict().items():
        assert torch.equal(value, wanted[name]), name
    options = potential.model.config
    assert (options.cutoff, options.waves, options.l_max, options.orbitals, options.passes) == (6.0, 7, 2, 84, 3)
    assert options.network == options.message == ResidualOptions(hidden=(64, 64))
    assert not options.equivariant
    with pytest.raises(CheckpointError, match="does not say its energy unit"):
        import_original(file)


def test_importer_names_faults(shared):
    kit = Kit(shared / "golden" / "reann")
    order, weights = kit.meta["elements"], kit.weights()
    with pytest.raises(CheckpointError, match=r"activation 'Sine' is none of"):
        read_reann(weights, order, "Sine")
    with pytest.raises(CheckpointError, match=r"no network 'nnmod\.elemental_nets\.Ar'"):
        read_reann(weights, ["Ar", *order[1:]])
    weights["density.ocmod.memssage_1.elemental_nets.O.0.weight"] = torch.zeros(16, 11)
    with pytest.raises(CheckpointError, match=r"memssage_1 of O has shape \(11, 16\) where \(12, 16\)"):
        read_reann(weights, order)
    del weights["density.rs"]
    with pytest.raises(CheckpointError, match=r"no 'density\.rs'"):
        read_reann(weights, order)


def test_defaults():
    model = build(REANNConfig(), [1, 8])
    assert isinstance(model, REANN)
    assert model.mixing.shape == (4, 3, 6, 63)
    assert method("reann").paper == "10.1103/PhysRevLett.127.156002"
    assert isinstance(build(EANNConfig(), [1, 8]), EANN)
    assert method("eann").paper == "10.1021/acs.jpclett.9b02037"


def test_reann_without_passes_is_eann():
    """Orbitals combined by one wave and one degree each are the densities of EANN."""
    torch.manual_seed(3)
    eann, reann = _eann(network=SMALL), _reann(passes=0, orbitals=12)
    with torch.no_grad():
        reann.mixing.zero_()
        for l in range(3):
            reann.mixing[0, l, range(4), range(4 * l, 4 * l + 4)] = 1.0
    reann.density.load_state_dict(eann.density.state_dict())
    reann.networks.load_state_dict(eann.networks.state_dict())
    graph = Graph.build(WATER, 4.0)
    found, wanted = evaluate(reann, graph), evaluate(eann, graph)
    torch.testing.assert_close(found.energy, wanted.energy, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.forces, wanted.forces, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", [_eann, _reann, lambda: _reann(equivariant=True, shared_mixing=True)])
def test_every_parameter_is_trained(make):
    torch.manual_seed(4)
    model = make()
    found = evaluate(model, Graph.build(WATER, 4.0), ("energy", "forces"), create_graph=True)
    (found.energy.sum() + found.forces.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_passes_see_farther_than_the_cutoff():
    """An atom out of reach changes the outer atom's coefficients, which the first atom feels."""
    torch.manual_seed(5)
    row = [[0, 0, 0], [3.0, 0, 0], [6.0, 0.5, 0]]
    graph = Graph.build(System.from_arrays(row, [8, 1, 1]), 4.0)
    moved = Graph.build(System.from_arrays([*row[:2], [6.0, -0.2, 0.9]], [8, 1, 1]), 4.0)
    for model, feels in ((_eann(), False), (_reann(passes=0), False), (_reann(passes=1), True)):
        first, second = (model.atomic_energies(g)[0].item() for g in (graph, moved))
        assert (abs(first - second) > 1e-9) is feels


def test_adapting_makes_densities_of_order_one():
    torch.manual_seed(6)
    graphs = [Graph.build(WATER, 4.0)]
    model = _eann()
    model.adapt(graphs)
    average = model.features(graphs[0]).detach().mean(dim=0).view(3, 4).mean(dim=0)
    torch.testing.assert_close(average, torch.ones(4))
    alone = _reann()
    before = alone.density.coefficients.detach().clone()
    alone.adapt([Graph.build(System.from_arrays([[0, 0, 0]], [8]), 4.0)])
    assert torch.equal(alone.density.coefficients, before)


@pytest.mark.parametrize("normalization", ["after", "before", "none"])
@pytest.mark.parametrize("blocks", [0, 2])
def test_networks_of_kinds(blocks, normalization):
    """Each row by its own network, as torch's modules make it."""
    torch.manual_seed(7)
    networks = ResidualNetworks(3, 5, (4, 6), 2, blocks, "inverse-root", normalization)
    for parameter in networks.parameters():
        torch.nn.init.normal_(parameter)
    values, kind = torch.randn(9, 5), torch.tensor([2, 0, 0, 1, 2, 2, 0, 1, 1])
    found = networks(values, kind).detach()
    for row, k in enumerate(kind.tolist()):
        x = kept = values[row] @ networks.weights[0][k] + networks.biases[0][k]
        for j, weight in enumerate(list(networks.weights)[1:]):
            scales = [] if j >= len(networks.scales) else [networks.scales[j][k], networks.shifts[j][k]]

            def normalized(y, own=scales):
                return torch.nn.functional.layer_norm(y, y.shape, *own) if own else y

            x = normalized(x) if normalization == "before" else x
            x = networks.alphas[j][k] * x / (1 + (networks.betas[j][k] * x) ** 2).sqrt()
            x = normalized(x) if normalization == "after" else x
            x = x @ weight[k] + networks.biases[j + 1][k]
            if blocks and j % 2 and j < 4:
                x = kept = x + kept
        torch.testing.assert_close(found[row], x.detach())
