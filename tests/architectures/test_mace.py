"""MACE through the battery, and what its options do."""

import pytest
import torch
from precision import check_single_precision

from adiabat.architectures import build, method
from adiabat.architectures.equivariant.mace import MACE, MACEConfig
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.testing.battery import run_battery

WATER = System.from_arrays([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], [8, 1, 1])
SMALL = MACEConfig(
    cutoff=4.0,
    hidden_irreps="4x0e+4x1o",
    l_max=2,
    radial_functions=6,
    radial_network=(8, 8),
    readout_channels=4,
    average_neighbors=8.0,
)
VARIANTS = {
    "paper": {},
    "l3-hidden-2e-repulsion": {"hidden_irreps": "4x0e+4x1o+4x2e", "l_max": 3, "repulsion": True},
    "density-agnesi": {
        "interaction": "density",
        "first_residual": False,
        "distance_transform": "agnesi",
        "repulsion": True,
    },
    "nonlinear": {
        "interaction": "nonlinear",
        "cutoff_on": "messages",
        "agnostic_product": True,
        "last_readout_only": True,
        "deep_readout": True,
        "edge_irreps": "2x0e+2x1o",
    },
    "fourth-order-three-layers": {"correlation": 4, "layers": 3, "hidden_irreps": "4x0e+4x1o", "couplings": "full"},
    "pseudoscalars": {"hidden_irreps": "4x0e+4x0o+4x1o+4x1e"},
}


def _model(elements=(1, 6, 8), **changes):
    torch.manual_seed(1)
    model = MACE(SMALL.model_copy(update=changes), elements)
    model.scale.fill_(0.05)
    return model


@pytest.mark.parametrize("name", VARIANTS)
def test_battery(name):
    skip = () if name == "paper" else ("NVE", "FIT", "RT")
    report = run_battery(_model(**VARIANTS[name]), skip=skip)
    assert report.passed, report.text()


def test_metals_pass_too():
    report = run_battery(_model((29,), layers=1, hidden_irreps="4x0e"), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


def test_every_parameter_matters():
    """No weight is dead: each has a gradient, in energies or in forces."""
    for name, changes in VARIANTS.items():
        model = _model((1, 8), **changes)
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("beta"):
                parameter.data.fill_(0.1)  # at its initial 0 the density has no effect
        found = evaluate(model, Graph.build(WATER, 4.0), create_graph=True)
        (found.energy.sum() + found.forces.square().sum()).backward()
        dead = [n for n, p in model.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
        # products of the harmonics of three atoms in a plane cannot make a pseudoscalar
        assert not dead or name == "pseudoscalars", (name, dead)


def test_single_precision_agrees():
    check_single_precision(_model(), Graph.build(WATER, 4.0))


def test_made_in_single_precision_is_exactly_symmetric():
    torch.set_default_dtype(torch.float32)
    report = run_battery(_model(), skip=("NVE", "FIT", "RT"))
    assert report.passed, report.text()


def test_saved_arrays_restore_the_model():
    first = _model()
    torch.manual_seed(2)
    second = MACE(first.config, first.elements)
    second.load_arrays(first.state_dict())
    a, b = (evaluate(m, Graph.build(WATER, 4.0)) for m in (first, second))
    assert torch.equal(a.forces, b.forces)


def test_average_neighbors_come_from_the_data():
    lonely = System.from_arrays([[0, 0, 0], [1, 0, 0], [30, 0, 0]], [1, 1, 1])
    graphs = [Graph.build(WATER, 4.0), Graph.build(lonely, 4.0)]
    model = _model((1, 8), average_neighbors=None)
    model.adapt(graphs)
    assert float(model.average) == pytest.approx((3 * 2 + 2 * 1) / 5)  # the atom without neighbors does not count
    fixed = _model((1, 8))
    fixed.adapt(graphs)
    assert float(fixed.average) == 8.0
    model.adapt([Graph.build(System.from_arrays([[0, 0, 0]], [1]), 4.0)])
    assert float(model.average) == 1.0


def test_isolated_atoms():
    model = _model((1, 8), repulsion=True)
    model.shift.fill_(0.3)
    one = evaluate(model, Graph.build(System.from_arrays([[0, 0, 0]], [8]), 4.0))
    far = evaluate(model, Graph.build(System.from_arrays([[0, 0, 0], [20, 0, 0]], [8, 8]), 4.0))
    assert float(far.energy) == pytest.approx(2 * float(one.energy))
    assert float(far.forces.abs().max()) == 0.0
    without_skip = _model((8,), first_residual=False, layers=1)
    assert float(evaluate(without_skip, Graph.build(System.from_arrays([[0, 0, 0]], [8]), 4.0)).energy) == 0.0


def test_larger_graph_gives_the_same():
    model = _model(interaction="density")
    near, wide = (evaluate(model, Graph.build(WATER, r)) for r in (4.0, 9.0))
    torch.testing.assert_close(near.forces, wide.forces, rtol=1e-12, atol=1e-12)


def test_initial_sizes():
    """Weights are normal; features of all layers have variance of order one whatever the width."""
    torch.manual_seed(5)
    config = MACEConfig(hidden_irreps="64x0e+64x1o", average_neighbors=2.0)
    model = MACE(config, [1, 8])
    for name, parameter in model.named_parameters():
        if "contraction" in name or parameter.numel() < 500:
            continue
        assert 0.9 < float(parameter.detach().std()) < 1.1, name
    contraction = model.products[0].contraction
    for weights, paths in zip(contraction.weights, contraction.paths, strict=True):
        start = 0
        for count in paths:
            spread = float(weights.detach()[:, start : start + count].std()) * count
            assert 0.7 < spread < 1.3
            start += count


def test_defaults_are_published():
    model = build(MACEConfig(), [1, 8])
    assert isinstance(model, MACE)
    assert method("mace").paper == "10.48550/arXiv.2206.07697"
    # l_max 3, correlation 3, hidden 0e+1o: paths 1+4+8 to 0e and 1+3+12 to 1o
    assert [sum(p) for p in model.products[0].contraction.paths] == [13, 16]


def test_options_are_checked():
    with pytest.raises(ConfigError, match="Did you mean 'correlation'"):
        MACEConfig.parse({"corelation": 3})
    for wrong in ({"cutoff": -1.0}, {"layers": 0}, {"correlation": 0}, {"l_max": -1}, {"radial_functions": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            MACEConfig.parse(wrong)
    for idle in (
        {"layers": 1, "deep_readout": True},
        {"layers": 1, "last_readout_only": True},
        {"interaction": "nonlinear", "first_residual": False},
    ):
        with pytest.raises(ConfigError, match=list(idle)[1]):
            MACEConfig.parse(idle)
    for irreps, sentence in (
        ("8x0e+4x1o", "different multiplicities"),
        ("8x1o", "do not begin with scalars"),
        ("8x0e+8x0e", "twice"),
        ("eight scalars", "not an irrep"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            MACE(SMALL.model_copy(update={"hidden_irreps": irreps}), [1])
