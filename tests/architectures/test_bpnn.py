"""BPNN through the battery, and what its options do."""

import pytest
import torch

from adiabat.architectures import build, method
from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.descriptors.features import Features
from adiabat.descriptors.symmetry_functions import Recipe, SymmetryFunction
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.pretrained.importers.n2p2 import from_kit
from adiabat.pretrained.kit import Kit
from adiabat.testing.battery import run_battery
from adiabat.testing.structures import structures

SMALL = BPNNConfig(cutoff=4.5, hidden=(8, 8), recipe=Recipe(shifted=4, zetas=(1.0, 4.0)))


def _adapted(config: BPNNConfig, elements: list[int]) -> BPNN:
    """A model scaled by rattled structures: with too few, dull features would be blown up."""
    model = BPNN(config, elements)
    graphs = []
    for system in structures(model.elements, model.cutoff).values():
        for _ in range(10):
            moved = system.positions + 0.1 * torch.randn_like(system.positions)
            graphs.append(Graph.build(system.replace(positions=moved), model.cutoff))
    model.adapt(graphs)
    return model


def test_battery(shared):
    torch.manual_seed(1)
    kits = [shared / "golden" / "n2p2-H2O_RPBE-D3"]
    report = run_battery(_adapted(SMALL, [1, 6, 8]), kits=kits)
    assert report.passed, report.text()


@pytest.mark.parametrize("kind", ["poly2", "tanh3", "exponential"])
def test_other_cutoffs_pass_too(kind):
    torch.manual_seed(2)
    config = BPNNConfig(cutoff=4.5, cutoff_function=kind, hidden=(8,), activations=("softplus",), scaling="range")
    config = config.model_copy(update={"recipe": Recipe(shifted=3, triplets="G5", zetas=(1.0, 2.5))})
    report = run_battery(_adapted(config, [29]), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


def test_registered_with_default_functions():
    model = build(BPNNConfig(), [1, 8])
    recipe = Recipe()
    radial, angular = len(recipe.centered) + recipe.shifted, 2 * len(recipe.angular) * len(recipe.zetas)
    assert isinstance(model, BPNN)
    assert model.descriptor.sizes == (2 * radial + 3 * angular,) * 2
    assert method("bpnn").paper == "10.1103/PhysRevLett.98.146401"


def test_recipe_scales_with_the_cutoff():
    small, large = (Recipe().functions([14], cutoff) for cutoff in (3.0, 6.0))
    positions = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [0.4, 1.1, 0]])
    rows = []
    for functions, length in ((small, 1.0), (large, 2.0)):
        model = BPNN(BPNNConfig(functions=tuple(functions)), [14])
        system = System.from_arrays(positions * length, [14, 14, 14])
        rows.append(model.descriptor(Graph.build(system, model.cutoff)))
    torch.testing.assert_close(rows[0], rows[1])
    assert rows[0].abs().amax(dim=0).min() > 0


@pytest.mark.parametrize("rule", ["none", "range", "center", "range-center", "sigma"])
def test_scaling(rule):
    torch.manual_seed(3)
    model = BPNN(SMALL.model_copy(update={"scaling": rule}), [1, 8])
    graphs = [Graph.build(s, model.cutoff) for s in structures(model.elements, model.cutoff).values()]
    model.adapt(graphs)
    features = Features.batch([model.features(g) for g in graphs])
    rows = features.values[features.numbers == 8]
    varied = rows.std(dim=0) > 1e-3
    assert varied.sum() > 10
    rows = rows[:, varied]
    centered, unit = rows.mean(dim=0).abs().max() < 1e-9, (rows.amax(dim=0) - rows.amin(dim=0) - 1).abs().max() < 1e-9
    assert bool(centered) == (rule in ("center", "range-center", "sigma"))
    assert bool(unit) == (rule in ("range", "range-center"))
    if rule == "sigma":
        torch.testing.assert_close(rows.std(dim=0, correction=0), torch.ones(rows.shape[1]))


def test_stored_features_train_like_graphs():
    torch.manual_seed(4)
    model = _adapted(SMALL, [1, 6, 8])
    system = System.batch(list(structures(model.elements, model.cutoff).values()))
    graph = Graph.build(system, model.cutoff)
    want = ("energy", "forces", "stress")
    gradients = []
    for found in (evaluate(model, graph, want, create_graph=True), model.predict_from(model.features(graph), want)):
        assert found.forces is not None
        assert found.stress is not None
        loss = found.energy.square().sum() + found.forces.square().sum() + found.stress.nan_to_num().square().sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)
    with torch.no_grad():
        assert not model.predict_from(model.features(graph), want).forces.requires_grad
        assert model.predict_from(model.features(graph), ("energy",)).forces is None


def test_components_are_uncorrelated_and_pass_too():
    torch.manual_seed(5)
    model = BPNN(SMALL.model_copy(update={"components": 10}), [1, 6, 8])
    graphs = [Graph.build(s, model.cutoff) for s in structures(model.elements, model.cutoff).values()]
    model.adapt(graphs)
    features = Features.batch([model.features(g) for g in graphs])
    rows = features.values[features.numbers == 6]
    products = (rows.T @ rows) / len(rows)
    assert rows.shape[1] == 10
    assert (products - torch.diag(products.diag())).abs().max() < 1e-6
    assert products.diag()[0].item() == pytest.approx(1.0, abs=1e-4)
    model = _adapted(SMALL.model_copy(update={"components": 10}), [1, 6, 8])
    report = run_battery(model, skip=("NVE", "FIT"))
    assert report.passed, report.text()
    want = ("energy", "forces")
    graph = Graph.batch(graphs)
    fast, slow = model.predict_from(model.features(graph), want), evaluate(model, graph, want)
    torch.testing.assert_close(fast.forces.detach(), slow.forces, rtol=1e-8, atol=1e-9)
    with pytest.raises(ConfigError, match="components is 1000"):
        BPNN(BPNNConfig(components=1000), [1])


def test_elements_may_have_different_functions():
    functions = (
        SymmetryFunction(kind="G2", center="H", neighbors=("O",), eta=0.4, cutoff=4.0),
        SymmetryFunction(kind="G2", center="H", neighbors=("H",), eta=0.4, cutoff=3.0),
        SymmetryFunction(kind="G2", center="O", neighbors=("H",), eta=0.4, cutoff=4.0),
    )
    model = BPNN(BPNNConfig(functions=functions, hidden=(4,), activations=("tanh",)), [1, 8])
    assert model.descriptor.sizes == (2, 1)
    assert [layers[0].in_features for layers in model.networks.layers] == [2, 1]
    assert model.cutoff == 4.0


def test_faults_are_named():
    with pytest.raises(ConfigError, match="2 hidden layers"):
        BPNN(BPNNConfig(activations=("tanh",)), [1])
    with pytest.raises(ConfigError, match="tanhh"):
        BPNN(BPNNConfig(activations=("tanh", "tanhh")), [1])
    with pytest.raises(ConfigError, match="not among the elements"):
        BPNN(
            BPNNConfig(functions=(SymmetryFunction(kind="G2", center="H", neighbors=("O",), eta=1.0, cutoff=3.0),)),
            [1],
        )


@pytest.mark.parametrize("name", ["Cu2S_PBE", "H2O_RPBE-D3", "mlearn-Cu", "mlearn-Si"])
def test_published_weights_frozen(shared, name):
    if available("symmetry_functions") is not None:
        pytest.skip(available("symmetry_functions"))
    kit = Kit(shared / "golden" / f"n2p2-{name}")
    model = from_kit(kit).potentials[""]
    frozen, cases = model.frozen(), kit.structures(kit.path.parent / "structures.extxyz")
    outputs = kit.outputs()
    own = [case for case in cases if f"{case}/energy" in outputs]
    assert own
    for case in own:
        graph = Graph.build(System.from_ase(cases[case]), model.cutoff)
        want = ("energy", "forces", "stress") if cases[case].pbc.any() else ("energy", "forces")
        exact, found = evaluate(model, graph, want), evaluate(frozen, frozen.prepare(graph), want)
        for quantity in want:
            wanted, made = getattr(exact, quantity), getattr(found, quantity)
            scale = max(float(wanted.abs().max()), 1e-3)
            torch.testing.assert_close(made, wanted, rtol=0, atol=1e-9 * scale)
