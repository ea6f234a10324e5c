"""GAP: battery, QUIP's files and numbers, and the fit in closed form."""

import pytest
import torch
from small_models import ELEMENTS, SMALL_GAP, several_graphs, small_gap, structure

from adiabat.architectures import method
from adiabat.architectures.local.gap import GAP, GAPConfig
from adiabat.data import Frame, MemoryDataset
from adiabat.errors import CapabilityError, CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.geometry import Graph
from adiabat.kernels.build import available
from adiabat.potential import Referenced
from adiabat.pretrained.importers.quip import read_gap, write_gap
from adiabat.pretrained.importers.quip_words import descriptor_options
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity


@pytest.mark.parametrize("name", ["gap-si-fitted", "gap-mo-published"])
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal", report
    assert report.worst < 1e-7


def test_battery():
    model = GAP(GAPConfig.parse(SMALL_GAP), [1, 6, 8])
    report = run_battery(model, skip=("REF", "NVE", "RT"))
    assert report.passed, report.text()


def test_written_files_are_read(tmp_path, shared):
    given = read_gap(shared / "golden" / "gap-si-fitted" / "si.xml")
    write_gap(given, tmp_path / "again.xml")
    again = read_gap(tmp_path / "again.xml")
    assert again.model.config == given.model.config
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_saves_and_loads(tmp_path):
    from adiabat import load, train
    from adiabat.quickstart import shipped

    terms = [
        {"kind": "distance_2b", "cutoff": 3.0, "points": 6},
        {"kind": "soap", "soap": {"cutoff": 3.0, "n_max": 3, "l_max": 2}, "points": 10},
    ]
    run = {
        "data": {"file": str(shipped("ethanol")), "index": ":30"},
        "model": {"method": "gap", "terms": terms},
        "output": str(tmp_path / "run"),
    }
    result = train(run, show=False)
    frame = result.prepared.parts["test"][0]
    again = load(tmp_path / "run" / "model.adiabat").predict(frame.to_ase())
    assert result.metrics["forces_mae"] < 0.5
    assert abs(again["energy"] - float(frame.labels["energy"])) < 1.0


def test_terms_of_several_elements_are_written(tmp_path):
    terms = [
        {"kind": "distance_2b", "cutoff": 3.0, "points": 4},
        {"kind": "coordination", "cutoff": 3.0, "points": 3},
        {"kind": "soap", "soap": {"cutoff": 3.0, "n_max": 2, "l_max": 2}, "points": 4},
    ]
    model = GAP(GAPConfig.parse({"terms": terms}), ELEMENTS)
    graph = several_graphs()[0]
    model.adapt([graph])
    torch.nn.init.normal_(model.head.weights)
    potential = Referenced(model, {1: -1.0, 8: -2.0}, scale=0.5)
    write_gap(potential, tmp_path / "gap.xml")
    one, two = evaluate(potential, graph), evaluate(read_gap(tmp_path / "gap.xml"), graph)
    assert torch.allclose(one.energy, two.energy, rtol=1e-12)
    assert torch.allclose(one.forces, two.forces, atol=1e-12)


def test_design_is_the_model():
    model = small_gap()
    weights = model.head.weights.detach().reshape(-1)
    for graph in several_graphs()[:2]:
        design = model.design(model.features(graph), stress=True)
        expected = evaluate(model, graph, ("energy", "forces", "stress"))
        assert torch.allclose(design.energy @ weights, expected.energy, atol=1e-10)
        assert torch.allclose(design.forces @ weights, expected.forces, atol=1e-9)
        assert torch.allclose(design.stress @ weights, expected.stress, atol=1e-10)


@pytest.mark.skipif(available("density_power") is not None, reason="no compiled kernels")
def test_frozen_is_the_same():
    model = small_gap()
    frozen = model.frozen()
    for graph in several_graphs():
        one = evaluate(model, graph, ("energy", "forces", "stress"))
        two = evaluate(frozen, frozen.prepare(graph), ("energy", "forces", "stress"))
        assert torch.allclose(one.energy, two.energy, rtol=1e-10)
        assert torch.allclose(one.forces, two.forces, atol=1e-10)
        assert torch.allclose(one.stress, two.stress, atol=1e-10)


def test_fit_is_the_gaussian_process():
    """α = (K_MM + Φᵀ Φ / σ²)⁻¹ Φᵀ y / σ², the mean of the process given the labels."""
    torch.manual_seed(0)
    frames, model = [], small_gap()
    for seed in range(6):
        system = structure(5, 4.0, seed)
        graph = Graph.build(system, model.cutoff)
        labels = evaluate(model, graph, ("energy", "forces"))
        noisy = labels.forces + 0.01 * torch.randn_like(labels.forces)
        frames.append(Frame(system, {"energy": labels.energy[0], "forces": noisy}))
    data, errors = MemoryDataset(frames), {"energy": 0.002, "forces": 0.02}
    gram, right = model.head.penalty().T @ model.head.penalty(), 0.0
    for frame in frames:
        graph = Graph.build(frame.system, model.cutoff)
        design = model.design(model.features(graph))
        for name, rows in (("energy", design.energy / frame.system.atoms), ("forces", design.forces)):
            target = frame.labels[name] / (frame.system.atoms if name == "energy" else 1.0)
            rows = rows.reshape(-1, rows.shape[-1]) / errors[name]
            gram = gram + rows.T @ rows
            right = right + rows.T @ target.reshape(-1) / errors[name]
    options = dict(method("gap").fit)
    LinearFitter(model, data, data, LinearConfig(**options | {"errors": errors})).fit()
    found = model.head.weights.detach()[0]
    expected = torch.linalg.solve(gram, right)
    # far directions of the weights hardly matter: rows tell
    graph = Graph.build(frames[0].system, model.cutoff)
    design = model.design(model.features(graph))
    assert torch.allclose(design.forces @ found, design.forces @ expected, atol=1e-6)
    assert torch.allclose(design.energy @ found, design.energy @ expected, atol=1e-6)


def test_points_fit_the_data():
    model = GAP(GAPConfig.parse({"terms": [{"kind": "distance_2b", "elements": ["H", "O"], "points": 5}]}), ELEMENTS)
    model.adapt(several_graphs()[:2])
    (term,) = model.terms.members
    steps = term.points[1:, 0] - term.points[:-1, 0]
    assert torch.allclose(steps, steps[:1].expand(4))
    assert float(term.points.max()) <= 4.5
    wide = GAP(GAPConfig.parse({"terms": [{"kind": "soap", "points": 90, "center": 8}]}), ELEMENTS)
    wide.adapt(several_graphs()[:1])
    assert 0 < int((wide.terms.members[0].cutoffs != 0).sum()) < 90
    absent = GAP(GAPConfig.parse({"terms": [{"kind": "distance_2b", "elements": [6, 6]}]}), [1, 6, 8])
    absent.adapt(several_graphs()[:1])
    assert float(absent.terms.members[0].cutoffs.abs().max()) == 0.0
    torch.linalg.cholesky(wide.terms.members[0].covariance())


def test_refuses(tmp_path, shared):
    with pytest.raises(ConfigError, match="not a kind of term.*soap"):
        GAPConfig.parse({"terms": [{"kind": "soup"}]})
    with pytest.raises(CapabilityError, match="'general_monomer', which GAP has no term for"):
        descriptor_options("general_monomer cutoff=3", "x.xml")
    with pytest.raises(CapabilityError, match="radial_basis=POLY of soap is not read"):
        descriptor_options("soap cutoff=3 n_max=2 l_max=2 radial_basis=POLY", "x.xml")
    text = (shared / "golden" / "gap-si-fitted" / "si.xml").read_text()
    for change, message in (
        (text[:5000], "not complete XML"),
        (text.replace("GAP_data", "other"), "no GAP_params"),
        (text.replace('dimensions="76"', 'dimensions="75"'), "sparse points of 75 numbers"),
        (text.replace("n_max=5", "n_max=4"), "have shape"),
        ("<!DOCTYPE x>" + text, "defines entities"),
    ):
        (tmp_path / "gap.xml").write_text(change)
        with pytest.raises(CheckpointError, match=message):
            read_gap(tmp_path / "gap.xml")


def test_original_files_are_recognized(tmp_path, shared):
    """The XML or its folder, with the file beside it that holds the sparse points."""
    folder = shared / "golden" / "gap-mo-published"
    imported = import_original(folder / "soap.xml")
    assert imported.potentials[""].model.terms.size == 200
    lone = tmp_path / "soap.xml"
    lone.write_bytes((folder / "soap.xml").read_bytes())
    with pytest.raises(CheckpointError, match="a file GAPotential.soapparam beside it, which is missing"):
        import_original(lone)
    points = (folder / "GAPotential.soapparam").read_text()
    (tmp_path / "GAPotential.soapparam").write_text(points[:5000])
    with pytest.raises(CheckpointError, match="does not hold 200 sparse points"):
        import_original(lone)
    (tmp_path / "GAPotential.soapparam").write_text(points)
    (tmp_path / "other.xml").write_text("<notes/>")
    again = import_original(tmp_path).potentials[""].state_dict()
    for name, tensor in imported.potentials[""].state_dict().items():
        assert torch.equal(tensor, again[name]), name
