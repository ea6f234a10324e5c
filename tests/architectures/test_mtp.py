"""MTP through the battery, its kernel, and .mtp files read and written."""

import re

import ase.build
import pytest
import torch
from small_models import loosened

from adiabat.architectures.local.mtp import MTP, MTPConfig
from adiabat.errors import CapabilityError, CheckpointError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.kernels.build import available
from adiabat.kernels.moment_tensors import NAME
from adiabat.potential import Referenced
from adiabat.pretrained.importers.mtp import read_mtp, write_mtp
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.originals.source import Options
from adiabat.testing.battery import run_battery
from adiabat.testing.parity import parity

KITS = ("8el-l10", "8el-l16", "real-cubic-l20", "real-molecule14214-l10", "real-molecule762-l10")
needs_kernel = pytest.mark.skipif(available(NAME) is not None, reason="no compiled kernels")


def _mtp(level=8, elements=(1, 8), **options):
    torch.manual_seed(1)
    config = MTPConfig(level=level, cutoff=3.5, inner=0.5, basis=5, **options)
    return loosened(MTP(config, elements), 0.05)


def _graph(cutoff=3.5):
    water, salt = ase.build.molecule("H2O"), ase.build.bulk("NaCl", "rocksalt", a=4.2, cubic=True)
    salt.numbers[:] = (8, 1) * 4
    salt.rattle(0.2, seed=1)
    return Graph.batch([Graph.build(System.from_ase(a), cutoff) for a in (water, salt, ase.Atoms("O"))])


def _same(first, second, graph, tolerance=1e-11):
    for name, wanted in vars(evaluate(first, graph, ("energy", "forces", "stress"))).items():
        if name in ("energy", "atomic_energies", "forces", "stress"):
            found = getattr(evaluate(second, graph, ("energy", "forces", "stress")), name)
            torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("kit", [*KITS, "real-multi3-l10", "real-noncubic-l10"])
def test_parity(kit, shared):
    report = parity(Kit(shared / "golden" / f"mtp-{kit}"))
    assert report.status == "equal"
    assert report.worst < 1e-10


def test_battery(shared):
    model = loosened(MTP(MTPConfig(level=6, cutoff=4.0, inner=0.8), [1, 6, 8]), 0.01)
    report = run_battery(model, kits=[shared / "golden" / "mtp-8el-l10"], skip=("NVE", "RT", "FIT"))
    assert report.passed, report.text()
    assert report["REF"].passed


def test_battery_fits():
    model = MTP(MTPConfig(level=6, cutoff=4.0, inner=0.8, basis=6), [8])
    report = run_battery(model, skip=("INV", "FD", "CUT", "EXT", "PBC", "BATCH", "REF", "NVE", "RT"))
    assert report["FIT"].passed, report.text()


@needs_kernel
@pytest.mark.parametrize("level", [2, 10])
def test_frozen_is_the_same(level):
    model = _mtp(level)
    _same(model, model.frozen(), _graph(), 1e-10)


def test_one_set_of_weights_and_a_constant_for_each_element():
    model = _mtp()
    constants, weights = torch.tensor([-1.5, 2.0]), torch.randn(model.moments.size)
    model.set_weights(constants, weights)
    torch.testing.assert_close(model.constants, constants)
    torch.testing.assert_close(model.weights, weights)
    lone = Graph.batch([Graph.build(System.from_ase(ase.Atoms(s)), 3.5) for s in "HO"])
    torch.testing.assert_close(evaluate(model, lone, ("energy",)).energy, constants)


def test_written_files_are_read_as_they_were(tmp_path):
    model = Referenced(_mtp(10), {1: -13.0, 8: -430.0}, 2.0)
    write_mtp(model, tmp_path / "model.mtp", species=(8, 1))
    text = (tmp_path / "model.mtp").read_text()
    for key, count in (("basic", 25), ("times", 42)):
        assert f"alpha_index_{key}_count = {count}" in text
        assert len(re.findall(r"\{[^{}]+\}", re.search(rf"alpha_index_{key} = (.*)", text)[1])) == count
    again = read_mtp(tmp_path / "model.mtp", (8, 1))
    _same(model, again, _graph())
    assert again.config.level == 10
    by_name = import_original(tmp_path / "model.mtp", options=Options(elements=(8, 1))).potentials[""]
    _same(again, by_name, _graph(), 0.0)
    with pytest.raises(ConfigError, match="species"):
        import_original(tmp_path / "model.mtp")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda t: t.replace("MTP\n", "SNAP\n", 1), CheckpointError, "begin with MTP"),
        (lambda t: t.replace("RBChebyshev", "RBShapeev"), CapabilityError, "RBShapeev"),
        (lambda t: re.sub(r"moment_coeffs.*\n", "", t), CapabilityError, "not trained"),
        (lambda t: t.replace("alpha_scalar_moments = 5", "alpha_scalar_moments = 7"), CheckpointError, "no level"),
        (lambda t: t.replace("{0, 0, 1, 5}", "{0, 0, 2, 5}"), CheckpointError, "other contractions"),
        (lambda t: t.replace("{0, 1, 0, 0}", "{0, 9, 0, 0}"), CheckpointError, "beyond its level"),
        (lambda t: t.replace("\t\t0-1\n", "\t\t0-7\n"), CheckpointError, "0-1"),
        (lambda t: t.replace("species_coeffs = {", "species_coeffs = {x"), CheckpointError, "not numbers"),
    ],
)
def test_damaged_files_are_refused(change, error, match, tmp_path):
    file = tmp_path / "model.mtp"
    write_mtp(_mtp(6), file)
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))
    with pytest.raises(error, match=match):
        read_mtp(file, (1, 8))


def test_species_must_fit(tmp_path):
    write_mtp(_mtp(4), tmp_path / "model.mtp")
    with pytest.raises(ConfigError, match="2 species"):
        read_mtp(tmp_path / "model.mtp", (1,))
    with pytest.raises(ConfigError, match="some order"):
        write_mtp(_mtp(4), tmp_path / "other.mtp", species=(1, 6))
    with pytest.raises(CheckpointError, match="does not exist"):
        read_mtp(tmp_path / "none.mtp", (1, 8))
