"""Low-rank updates, frozen parameters, two heads and mixed-in frames."""

import copy

import morse
import pytest
import small_models
import torch
from torch.nn.utils import parametrize

import adiabat.fit.gradient as gradient
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import ConfigError, FitError
from adiabat.evaluate import evaluate
from adiabat.fit.compiled import CompiledStep
from adiabat.fit.gradient import GradientConfig, GradientFitter
from adiabat.fit.heads import OfHead, TwoHeads
from adiabat.fit.low_rank import LowRankConfig, adaptable, attach, freeze, merge
from adiabat.fit.replay import Joined, mix
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced


def disturbed(model):
    """Low-rank factors away from zero, so that the updates do something."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".right"):
                parameter.normal_()
    return model


# linear in their weights, or without linear maps
_UNADAPTABLE = (
    "local",
    "lode",
    "spherical_bessel",
    "psf",
    "soap_bispectrum",
    "lmbtr",
    "aslatm",
    "selected",
    "nice",
    "apip",
    "snap",
    "mtp",
    "ace",
    "gap",
    "fchl19",
    "eann",
    "reann",
    "lennard_jones",
)


@pytest.mark.parametrize("name", [name for name in small_models.MODELS if name not in _UNADAPTABLE])
def test_merged_equals_updated(name):
    torch.manual_seed(0)
    model, graph = small_models.MODELS[name](), small_models.several_graphs()[1]
    before, names = model(graph).energy, list(model.state_dict())
    chosen = attach(model, LowRankConfig(rank=2, alpha=4.0))
    assert set(chosen) == set(adaptable(small_models.MODELS[name]()))
    assert torch.equal(model(graph).energy, before)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all(n.endswith((".left", ".right")) for n in trained)
    updated = disturbed(model)(graph).energy.detach()
    assert abs(updated - before).item() > 1e-3
    merge(model)
    assert list(model.state_dict()) == names
    assert not any(parametrize.is_parametrized(m) for m in model.modules())
    torch.testing.assert_close(model(graph).energy, updated, rtol=1e-13, atol=1e-12)
    fresh = small_models.MODELS[name]()
    fresh.load_arrays(model.state_dict())
    torch.testing.assert_close(fresh(graph).energy, updated, rtol=1e-13, atol=1e-12)


def test_updates_of_equivariant_maps_are_equivariant():
    torch.manual_seed(1)
    model = disturbed(_attached(small_models.MODELS["mace"](), "*.up.*", "*.linear.*", "*.skip.*", "*.down.*"))
    system = small_models.structure(6, 4.0, pbc=False)
    turn, _ = torch.linalg.qr(torch.randn(3, 3))
    turned = system.replace(positions=system.positions @ turn.T)
    a, b = (evaluate(model, Graph.build(s, model.cutoff)) for s in (system, turned))
    torch.testing.assert_close(a.energy, b.energy, rtol=1e-11, atol=1e-10)
    torch.testing.assert_close(a.forces @ turn.T, b.forces, rtol=1e-9, atol=1e-9)


def _attached(model, *targets):
    attach(model, LowRankConfig(rank=2, targets=targets))
    return model


def test_rank_is_what_was_asked_for():
    torch.manual_seed(0)
    model = small_models.MODELS["painn"]()
    name = next(n for n, (owner, own) in adaptable(model).items() if min(getattr(owner, own).shape) >= 8)
    before = model.get_parameter(name).detach().clone()
    merge(disturbed(_attached(model, name)))
    change = model.get_parameter(name).detach() - before
    assert torch.linalg.matrix_rank(change) == 2


def test_patterns_must_match():
    model = small_models.MODELS["mace"]()
    with pytest.raises(ConfigError, match=r"'interactionz\.\*'.*Did you mean 'interactions'"):
        freeze(model, ("interactionz.*",))
    with pytest.raises(ConfigError, match="matches nothing"):
        attach(model, LowRankConfig(targets=("embedding.table",)))
    with pytest.raises(ConfigError, match="nothing to fit"):
        freeze(model, ("*",))
    assert freeze(model, ("embedding.*",)) == ["embedding.table"]
    assert not model.embedding.table.requires_grad


def test_replay_without_effect_is_refused():
    new, old = morse.dataset(4), morse.dataset(6, seed=1)
    for fraction, weight, words in ((0.0, 1.0, "fraction of 0"), (0.5, 0.0, "weight is 0"), (0.01, 1.0, "0 frames")):
        with pytest.raises(FitError, match=f"no effect.*{words}"):
            mix(new, old, fraction, weight, ("energy", "forces"), 0)
    with pytest.raises(FitError, match="none of its 6 frames has any of charges"):
        mix(new, old, 0.5, 1.0, ("charges",), 0)


def test_replay_has_the_fraction_and_weight():
    new, old = morse.dataset(4), morse.dataset(5, seed=1)
    mixed = mix(new, old, 0.75, 0.5, ("energy",), 0)
    assert len(mixed.train) == 16
    assert mixed.weights.tolist() == [1.0] * 4 + [0.5] * 12
    assert mixed.receipt["repeated"]
    energies = {float(f.labels["energy"]) for f in list(mixed.train)[4:]}
    assert energies == {float(f.labels["energy"]) for f in old}
    assert float(mixed.train[-1].labels["energy"]) in energies
    joined = Joined(new, old)
    assert [float(joined[k].labels["energy"]) for k in range(9)] == [float(f.labels["energy"]) for f in joined]


def test_two_heads_answer_separately():
    model = Referenced(morse.model(), {1: -1.0, 6: -2.0}, 2.0)
    second = model.reference.clone()
    second[6] += 5.0
    heads = TwoHeads(model, ("outer.*",), second)
    with torch.no_grad():
        heads.copies[0].add_(0.3)
    frames = [OfHead(morse.dataset(3), k)[k] for k in (0, 1)]
    graph = Graph.build(System.batch([f.system for f in frames]), model.cutoff)
    both = evaluate(heads, graph)
    for k, potential in enumerate((heads.first(), heads.second())):
        alone = evaluate(potential, Graph.build(frames[k].system, model.cutoff))
        torch.testing.assert_close(both.energy[k : k + 1], alone.energy)
        torch.testing.assert_close(both.forces[graph.system.system == k], alone.forces)
    parts = [evaluate(p, Graph.build(frames[1].system, model.cutoff)).energy for p in (heads.first(), heads.second())]
    assert abs(parts[0] - parts[1]).item() > 1.0


@pytest.mark.parametrize("kind", ["low-rank", "heads", "frozen"])
def test_compiled_steps_do_the_same(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path))
    monkeypatch.setattr(gradient, "CompiledStep", lambda p: CompiledStep(p, "captured"))
    torch.manual_seed(0)
    start = small_models.MODELS["schnet"]()
    if kind == "low-rank":
        attach(start, LowRankConfig(rank=2, targets=("*.filters.*",)))
        start = disturbed(start)
    if kind == "heads":
        start = TwoHeads(Referenced(start, {1: -1.0}), ("*.bias",))
    if kind == "frozen":
        freeze(start, ("embedding.*",))
    train = Joined(*(OfHead(MemoryDataset(_labeled(k)), k) for k in (0, 1)))
    results = []
    for option in (True, False):
        config = GradientConfig(epochs=1, batch_size=6, compile=option)
        fitter = GradientFitter(copy.deepcopy(start), train, train, config)
        results.append(fitter.fit().history[-1]["valid_loss"])
        assert (fitter.compiled is not None) == option
        assert fitter.compiled is None or fitter.compiled.reason is None
    assert results[0] == pytest.approx(results[1], rel=1e-8)


def _labeled(seed):
    torch.manual_seed(seed)
    systems = [small_models.structure(4 + k, 4.0, k) for k in range(3)]
    return [Frame(s, {"energy": torch.randn(()), "forces": torch.randn(s.atoms, 3)}) for s in systems]
