"""Losses equal the written formulas, and a label that is absent never counts."""

import morse
import pytest
import torch

from adiabat.data import Frame, Loader, MemoryDataset
from adiabat.evaluate import evaluate
from adiabat.fit.losses import LossConfig, Term, loss_sums, residual


def batch_of(frames, labels=("energy", "forces", "stress")):
    loader = Loader(MemoryDataset(frames), 4.0, batch_size=len(frames), labels=labels)
    return next(iter(loader))


def test_formulas():
    frames = morse.frames(5)
    batch = batch_of(frames)
    prediction = evaluate(morse.model(), batch.graph)
    counts = batch.graph.system.atom_counts
    energy = prediction.energy - batch.labels["energy"]
    forces = prediction.forces - batch.labels["forces"]
    terms = LossConfig().terms
    assert set(terms) == {"energy", "forces"}
    sums = loss_sums(prediction, batch, terms)
    assert sums["energy"][0] / sums["energy"][1] == pytest.approx(float((energy / counts).square().mean()))
    assert sums["forces"][0] / sums["forces"][1] == pytest.approx(float(forces.square().mean()))
    whole = {
        "energy": Term(weight=1.0, per_atom=False, kind="mae"),
        "forces": Term(weight=1.0, kind="huber", delta=0.02),
    }
    sums = loss_sums(prediction, batch, whole)
    assert sums["energy"][0] / sums["energy"][1] == pytest.approx(float(energy.abs().mean()))
    size = forces.abs()
    huber = torch.where(size < 0.02, 0.5 * size**2, 0.02 * (size - 0.01))
    assert sums["forces"][0] / sums["forces"][1] == pytest.approx(float(huber.mean()))


def test_absent_labels_do_not_count():
    frames = morse.frames(4)
    bare = Frame(frames[1].system, {"energy": frames[1].labels["energy"]})
    terms = {"energy": Term(weight=1.0), "forces": Term(weight=1.0)}
    mixed = batch_of([frames[0], bare, frames[2]])
    full = batch_of([frames[0], frames[2]])
    potential = morse.model()
    a = loss_sums(evaluate(potential, mixed.graph), mixed, terms)["forces"]
    b = loss_sums(evaluate(potential, full.graph), full, terms)["forces"]
    assert float(a[0]) == pytest.approx(float(b[0]), rel=1e-12)
    assert float(a[1]) == float(b[1])


def test_stress_counts_only_where_there_is_a_cell():
    frames = morse.frames(4, periodic=2)
    batch = batch_of(frames)
    prediction = evaluate(morse.model(), batch.graph, ("energy", "forces", "stress"))
    difference, index = residual("stress", prediction, batch)
    assert difference.shape == (2, 3, 3)
    assert torch.isfinite(difference).all()
    assert index.tolist() == [0, 1]


def test_frame_weights_multiply():
    frames = morse.frames(3)
    batch = batch_of(frames)
    prediction = evaluate(morse.model(), batch.graph)
    terms = LossConfig().terms
    weights = torch.tensor([0.0, 2.0, 0.0])
    alone = batch_of([frames[1]])
    expected = loss_sums(evaluate(morse.model(), alone.graph), alone, terms)
    got = loss_sums(prediction, batch, terms, weights)
    for name in terms:
        assert float(got[name][0]) == pytest.approx(2 * float(expected[name][0]))


def test_element_weights_multiply():
    batch = batch_of(morse.frames(4))
    prediction = evaluate(morse.model(), batch.graph)
    squares = (prediction.forces - batch.labels["forces"]).square()
    heavy = batch.graph.system.numbers == 6
    sums = loss_sums(prediction, batch, {"forces": Term(weight=1.0, elements={"H": 0.25})})
    expected = squares[heavy].sum() + 0.25 * squares[~heavy].sum()
    assert float(sums["forces"][0]) == pytest.approx(float(expected))
    assert float(sums["forces"][1]) == squares.numel()
