"""Selection of features: planted ones are found, and the pruned descriptor gives the whole one's chosen columns."""

from itertools import product

import pytest
import torch
from small_models import ELEMENTS, several_graphs

from adiabat import load, train
from adiabat.architectures.local.bpnn import BPNN, WACSFNN, BPNNConfig, WACSFNNConfig
from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.descriptors import page
from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.selected import Selected
from adiabat.descriptors.selection import Moments, SelectConfig, select
from adiabat.errors import ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.kernels.symmetry_functions import NAME
from adiabat.quickstart import shipped

METHODS = ("cur", "farthest", "pearson", "random")
FIXED = ("psf", "soap", "lode")
KINDS = {
    "acsf": {"cutoff": 3.0},
    "wacsf": {"cutoff": 3.0},
    "psf": {"cutoff": 3.0, "shells": 3},
    "soap": {"cutoff": 3.0, "n_max": 2, "l_max": 2},
    "lode": {"cutoff": 3.0, "n_max": 2, "l_max": 1},
}


def planted(rows=300):
    """Twelve features: four independent ones (0, 3, 6, 9), each followed by a noisy copy and an exact one."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn((rows, 4), generator=generator) * torch.tensor([1.0, 10.0, 0.1, 3.0])
    noise = 0.01 * torch.randn((rows, 4), generator=generator) * base.std(dim=0)
    return torch.stack((base, base + noise, 2.0 * base + 5.0), dim=2).flatten(1)


def chosen(values, **options):
    moments = Moments(values.shape[1])
    for begin in range(0, len(values), 37):
        moments.add(values[begin : begin + 37])
    return select(SelectConfig(**options), moments.covariance())


def described(kind, **options):
    torch.manual_seed(0)
    model = Local(LocalConfig.parse({"descriptor": {"kind": kind, **KINDS[kind]}, "select": options}), ELEMENTS)
    model.adapt(several_graphs())
    return model


def test_moments_of_blocks_are_the_covariance():
    values = planted() + 1e3
    moments = Moments(12)
    for begin in range(0, len(values), 41):
        moments.add(values[begin : begin + 41])
    assert torch.allclose(moments.covariance(), values.T.cov(correction=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["cur", "farthest", "pearson"])
def test_finds_the_independent_features(method):
    found = chosen(planted(), method=method, count=4)
    assert [k // 3 for k in found] == [0, 1, 2, 3]


def test_what_depends_on_the_chosen_ones_is_left_out():
    values = planted()
    assert len(chosen(values, method="cur", count=12)) == 8  # the exact copies are nothing new
    assert len(chosen(values, method="farthest", count=12)) == 8
    assert len(chosen(values, method="pearson", count=12, threshold=0.9)) == 4
    flat = torch.cat((values, torch.full((300, 3), 7.0)), dim=1)
    assert max(chosen(flat, method="random", count=15)) < 12


def test_scores_of_cur_are_those_of_the_matrix():
    values = torch.randn((50, 6), generator=torch.Generator().manual_seed(1))
    centered = values - values.mean(dim=0)
    first = int(torch.linalg.svd(centered).Vh[:2].square().sum(dim=0).argmax())
    direction = centered[:, first] / centered[:, first].norm()
    left = centered - torch.outer(direction, direction @ centered)
    second = int(torch.linalg.svd(left).Vh[:2].square().sum(dim=0).argmax())
    options = {"method": "cur", "vectors": 2, "standardize": False}
    assert chosen(values, count=2, **options) == sorted((first, second))


@pytest.mark.parametrize(("kind", "method"), [*product(("acsf", "wacsf"), METHODS), *((k, "cur") for k in FIXED)])
def test_gives_the_chosen_columns(kind, method):
    pruned = described(kind, method=method, count=5).descriptor
    whole = page(kind).config_class.parse({"kind": kind, **KINDS[kind]}).build(ELEMENTS)
    assert isinstance(pruned, Selected)
    assert pruned.size == 5
    assert pruned.columns.max() < whole.size
    assert isinstance(pruned.used, ACSF) == (kind in ("acsf", "wacsf", "psf"))
    for graph in several_graphs()[:2]:
        rows = pruned.columns[pruned.element[graph.system.numbers]]
        values, slopes = whole.jacobian(graph)
        found, along = pruned.jacobian(graph)
        centers = whole.links(graph)[0][0]
        kept = (rows >= 0).to(values)
        assert torch.allclose(found, values.gather(1, rows.clamp(min=0)) * kept, rtol=1e-12, atol=1e-12)
        assert torch.allclose(pruned(graph), found, rtol=1e-10, atol=1e-12)
        expected = (
            slopes.gather(1, rows.clamp(min=0)[centers][:, :, None].expand(-1, -1, 3)) * kept[centers][:, :, None]
        )
        assert torch.allclose(along, expected, rtol=1e-12, atol=1e-12)


def test_functions_that_nobody_uses_are_not_computed():
    model = described("acsf", method="cur", count=4)
    used = model.descriptor.evaluated
    assert len(used.functions) == sum(int(n) for n in (model.descriptor.columns >= 0).sum(dim=1)) <= 8
    assert sum(family.width for family in (*used.pairs, *used.triples)) < 40


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("regressor", ["linear", "quadratic", "network", "gaussian_process"])
def test_forces_of_stored_features_are_the_model_s(method, regressor):
    torch.manual_seed(0)
    options = {"descriptor": {"kind": "acsf", **KINDS["acsf"]}, "select": {"method": method, "count": 6}}
    model = Local(LocalConfig.parse(options | {"regressor": {"kind": regressor}}), ELEMENTS)
    model.adapt(several_graphs())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for graph in several_graphs()[:2]:
        direct = evaluate(model, graph, ("energy", "forces"))
        stored = model.predict_from(model.features(graph))
        assert torch.allclose(stored.energy, direct.energy, atol=1e-9)
        assert torch.allclose(stored.forces, direct.forces, atol=1e-8)


@pytest.mark.skipif(available(NAME) is not None, reason="no compiler for kernels")
@pytest.mark.parametrize(("kind", "config"), [(BPNN, BPNNConfig), (WACSFNN, WACSFNNConfig)])
def test_element_networks_frozen(kind, config):
    torch.manual_seed(0)
    options = SelectConfig(method="pearson", count=30, threshold=0.8)
    model = kind(config(cutoff=3.0, hidden=(4,), activations=("tanh",), select=options), ELEMENTS)
    model.adapt(several_graphs())
    assert len(model.functions.functions) < 50
    frozen = model.frozen()
    for graph in several_graphs():
        expected, found = (evaluate(m, graph, ("energy", "forces")) for m in (model, frozen))
        assert torch.allclose(found.energy, expected.energy, atol=1e-10)
        assert torch.allclose(found.forces, expected.forces, atol=1e-9)


@pytest.mark.parametrize("method", ["local", "wacsf_nn"])
def test_trains_saves_and_loads(tmp_path, method):
    select_four = {"method": "cur", "count": 8}
    model = {"method": method, "select": select_four}
    model |= (
        {"descriptor": {"kind": "acsf", "cutoff": 4.0}} if method == "local" else {"cutoff": 4.0, "hidden": [8, 8]}
    )
    fit = {} if method == "local" else {"epochs": 2}
    data = {"file": str(shipped("ethanol")), "index": ":40"}
    run = {"data": data, "model": model, "fit": fit, "output": str(tmp_path / "run")}
    result = train(run, show=False)
    again = load(tmp_path / "run" / "model.adiabat")
    first, second = (m.model.descriptor for m in (result.potential, again.potential))
    assert torch.equal(first.columns, second.columns)
    assert first.columns.tolist() != [list(range(8))] * 3
    assert first.evaluated.functions == second.evaluated.functions
    frame = result.prepared.parts["test"][0]
    graph = Graph.build(frame.system, again.potential.cutoff).to(dtype=again.potential.dtype)
    one, two = (evaluate(p, graph, ("energy", "forces")) for p in (result.potential, again.potential))
    assert torch.equal(one.energy, two.energy)
    assert torch.equal(one.forces, two.forces)


def test_refuses_what_has_no_effect():
    with pytest.raises(ConfigError, match="threshold has no effect with method cur"):
        SelectConfig.parse({"count": 4, "threshold": 0.9})
    with pytest.raises(ConfigError, match="needs fixed features"):
        Local(LocalConfig.parse({"descriptor": {"kind": "mtp"}, "select": {"count": 4}}), ELEMENTS)
