"""Lint: deliberately damaged copies of good data are named, and good data are left alone."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from adiabat.data import Frame, MemoryDataset, lint, read
from adiabat.errors import DataError
from adiabat.geometry import System
from adiabat.quickstart import shipped
from adiabat.units import BOHR, GPA, HARTREE, KCAL_PER_MOL


@pytest.fixture(scope="module")
def silicon():
    return list(read(shipped("silicon")))


@pytest.fixture(scope="module")
def ethanol():
    frames = read(shipped("ethanol"))
    return [f for f in frames if f.system.atoms > 1][:150]


def found(frames, code):
    return [f for f in lint(MemoryDataset(frames)) if f.code == code]


def only(frames, code):
    findings = found(frames, code)
    assert len(findings) == 1, findings
    return findings[0]


def relabel(frame: Frame, **changes: Callable) -> Frame:
    labels = dict(frame.labels)
    for name, change in changes.items():
        labels[name] = change(labels[name])
    return replace(frame, labels=labels)


def scaled(frames, label, factor):
    return [relabel(f, **{label: lambda v: v * factor}) if label in f.labels else f for f in frames]


def test_good_data_have_no_faults(silicon, ethanol):
    for frames in (silicon, ethanol):
        assert [f for f in lint(MemoryDataset(frames)) if f.severity != "info"] == []
    assert only(silicon, "stress_consistency").title == "stress: sign and unit are right"
    assert only(silicon, "forces_consistency").title == "forces: sign and unit are right"


@pytest.mark.parametrize(
    ("factor", "words"),
    [(-1.0, "wrong sign"), (1 / GPA, "in GPa"), (-10 / GPA, "kbar with the wrong sign")],
)
def test_wrong_stress(silicon, factor, words):
    finding = only(scaled(silicon, "stress", factor), "stress_consistency")
    assert finding.severity == "error"
    assert words in finding.message


@pytest.mark.parametrize(
    ("factor", "words"),
    [(-1.0, "wrong sign"), (1 / KCAL_PER_MOL, "kcal/mol/Å"), (BOHR / HARTREE, "Hartree/Bohr")],
)
def test_wrong_forces(silicon, factor, words):
    finding = only(scaled(silicon, "forces", factor), "forces_consistency")
    assert finding.severity == "error"
    assert words in finding.message


def test_duplicates_and_contradictions(ethanol):
    copies = [*ethanol, ethanol[3], ethanol[7]]
    finding = only(copies, "duplicates")
    assert finding.frames == (150, 151)
    assert not found(copies, "contradictions")
    conflict = [*ethanol, relabel(ethanol[3], energy=lambda e: e + 1.0)]
    finding = only(conflict, "contradictions")
    assert finding.severity == "error"
    assert finding.frames == (150,)


def test_a_turned_molecule_is_a_near_duplicate(ethanol):
    frame = ethanol[5]
    turn = torch.linalg.qr(torch.tensor(np.random.default_rng(0).normal(size=(3, 3))))[0]
    system = System.from_arrays((frame.system.positions @ turn).numpy(), frame.system.numbers)
    turned = Frame(system, {"energy": frame.labels["energy"]})
    assert only([*ethanol, turned], "near_duplicates").frames == (150,)


def test_leaks_between_parts(ethanol):
    train, test = MemoryDataset(ethanol[:100]), MemoryDataset([*ethanol[100:], ethanol[20], ethanol[0]])
    findings = [f for f in lint({"train": train, "test": test}) if f.code == "leaks"]
    assert len(findings) == 1
    assert findings[0].severity == "error"
    assert findings[0].frames == (150, 151)  # counted through both parts
    assert "2 of 52 test frames are also in train" in findings[0].message
    clean = lint({"train": train, "test": MemoryDataset(ethanol[100:])})
    assert [f.severity for f in clean if f.code == "leaks"] == ["info"]


def test_mixed_levels_of_theory(ethanol):
    frames = [
        replace(relabel(f, energy=lambda e: e + 0.4 * 9), info={"theory": "B"})
        if k % 4 == 0
        else replace(f, info={"theory": "A"})
        for k, f in enumerate(ethanol)
    ]
    finding = only(frames, "mixed_theory")
    assert finding.severity == "error"
    assert set(finding.frames) == set(range(0, 150, 4))
    offset = float(re.search(r"([0-9.]+) eV/atom apart", finding.message)[1])
    assert offset == pytest.approx(0.4, abs=0.01)
    assert "'theory'" in finding.message


def test_outliers(ethanol):
    frames = list(ethanol)
    frames[10] = relabel(frames[10], energy=lambda e: e + 9 * 12.0)
    frames[11] = relabel(frames[11], forces=lambda f: f * 200)
    energy, force = only(frames, "energy_outliers"), only(frames, "force_outliers")
    assert (energy.frames, energy.severity) == ((10,), "error")
    assert force.frames == (11,)
    assert "+12.0" in energy.message


def test_net_forces_and_zeros(ethanol):
    frames = list(ethanol)
    frames[4] = relabel(frames[4], forces=lambda f: f + 0.1)
    finding = only(frames, "net_forces")
    assert finding.frames == (4,)
    assert "0.90 eV/Å in frame 4" in finding.message
    frames[6] = relabel(frames[6], forces=lambda f: f * 0)
    assert only(frames, "zeros").frames == (6,)


def test_close_atoms(ethanol):
    system = ethanol[0].system
    positions = system.positions.clone()
    positions[1] = positions[0] + torch.tensor([0.1, 0.0, 0.0])
    close = Frame(System.from_arrays(positions.numpy(), system.numbers), ethanol[0].labels)
    finding = only([*ethanol, close], "close_atoms")
    assert finding.severity == "error"
    assert finding.frames == (150,)
    assert "0.100 Å apart" in finding.message


def test_missing_labels(silicon):
    frames = [replace(silicon[0], labels={"energy": silicon[0].labels["energy"]}), *silicon[1:]]
    findings = found(frames, "missing")
    assert {f.title for f in findings} == {"forces missing in part", "stress missing in part"}
    assert all(f.frames == (0,) for f in findings)
    bare = [replace(f, labels={}) for f in silicon[:20]]
    assert [f.severity for f in found(bare, "missing")] == ["error", "warning"]


def test_no_frames():
    with pytest.raises(DataError, match="no frames"):
        lint(MemoryDataset([]))


def test_nan_labels_are_dropped_on_reading(tmp_path, ethanol):
    from adiabat.data import write

    write(tmp_path / "a.extxyz", ethanol[:12])
    text = (tmp_path / "a.extxyz").read_text()
    first = text.index("REF_energy=") + len("REF_energy=")
    (tmp_path / "a.extxyz").write_text(text[:first] + "nan" + text[text.index(" ", first) :])
    data = read(tmp_path / "a.extxyz")
    assert data.report.dropped == {"energy": [0]}
    finding = next(f for f in lint(data) if f.code == "missing")
    assert finding.title == "energy missing in part"
    assert finding.frames == (0,)


def test_public_sets(shared):
    """Faults known of published sets are found."""
    folder = shared / "data"
    water = read(folder / "water_pbe0ts_deepmd" / "water.extxyz.xz", index="::8")
    net = next(f for f in lint(water) if f.code == "net_forces")
    assert len(net.frames) > 40
    parts = {part: read(folder / "mlearn" / f"Ni_{part}.extxyz.xz") for part in ("train", "test")}
    leaks = [f for f in lint(parts) if f.code == "leaks"]
    assert leaks[0].severity == "error"
    assert "12 of 31 test frames" in leaks[0].message
    assert "7 with the same energy" in leaks[0].message
    tungsten = read(folder / "WBe_SNAP" / "WBe.extxyz.xz", index="::4")
    energies = next(f for f in lint(tungsten) if f.code == "energy_outliers")
    assert energies.severity == "error"
