"""Each check passes on a correct potential and fails on one that breaks its law."""

import numpy as np
import pytest
import torch
import toys

from adiabat.architectures.invariant.schnet import SchNet, SchNetConfig
from adiabat.architectures.kernel.sgdml import SGDML, SGDMLConfig
from adiabat.checkpoint import load
from adiabat.errors import CapabilityError, ConfigError
from adiabat.potential import Referenced
from adiabat.testing import learning
from adiabat.testing.battery import (
    check_batch,
    check_cut,
    check_ext,
    check_fd,
    check_fit,
    check_inv,
    check_nve,
    check_pbc,
    check_rt,
    run_battery,
)
from adiabat.testing.checks import TITLES
from adiabat.testing.structures import structures

STRUCTURES = structures((1, 6, 8), 4.0)
CHECKS = [check_inv, check_fd, check_cut, check_ext, check_pbc, check_batch]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_correct_potential_passes(check):
    result = check(toys.Toy(), STRUCTURES)
    assert result.passed, result.message
    assert result.value < result.threshold


@pytest.mark.parametrize(
    ("check", "broken", "word"),
    [
        (check_inv, toys.Oriented, ""),
        (check_inv, toys.Handed, "reflection"),
        (check_inv, toys.Indexed, "permutation"),
        (check_fd, toys.WrongForces, ""),
        (check_fd, toys.Detached, ""),
        (check_cut, toys.Abrupt, "energy"),
        (check_cut, toys.Kinked, "force"),
        (check_ext, toys.Averaged, "energy"),
        (check_pbc, toys.NoSelfImages, ""),
        (check_pbc, toys.Nearest, ""),
        (check_batch, toys.Leaky, "energy"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_broken_potential_fails(check, broken, word):
    result = check(broken(), STRUCTURES)
    assert result.passed is False
    assert word in result.message


def test_other_checks_still_pass_on_a_broken_potential():
    assert check_fd(toys.Oriented(), STRUCTURES).passed
    assert check_inv(toys.Abrupt(), STRUCTURES).passed
    assert check_batch(toys.Nearest(), STRUCTURES).passed


def test_total_charge_is_checked():
    assert check_ext(toys.Charged(), STRUCTURES).passed
    wrong = toys.Charged()
    wrong.error = 1e-6
    result = check_ext(wrong, STRUCTURES)
    assert result.passed is False
    assert "charge" in result.message


def test_nve():
    molecule = STRUCTURES["molecule"]
    good = check_nve(toys.Toy(), molecule)
    assert good.passed, good.message
    bad = check_nve(toys.Driven(), molecule, picoseconds=0.2)
    assert bad.passed is False
    late = toys.Toy()
    late.depth.data.fill_(float("nan"))
    assert check_nve(late, molecule, picoseconds=0.1).passed is False


def test_fit():
    torch.manual_seed(0)
    molecule = STRUCTURES["molecule"]
    model = SchNet(SchNetConfig(cutoff=4.5, channels=8, layers=2, basis=10), [1, 6, 8])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    result = check_fit(model, molecule)
    assert result.passed, result.message
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    stiff = check_fit(toys.Toy(), molecule, rounds=1)  # one parameter cannot take in 20 structures
    assert stiff.passed is False
    toy = toys.Toy()
    toy.depth.requires_grad_(False)
    assert "no parameters" in check_fit(toy, molecule).message
    toy.fitter = "linear"
    assert "linear fitter" in check_fit(toy, molecule).message


def test_fit_of_a_kernel():
    result = check_fit(SGDML(SGDMLConfig(), [1, 6, 8]), STRUCTURES["molecule"])
    assert result.passed, result.message


def test_round_trip(monkeypatch):
    structures = {"molecule": STRUCTURES["molecule"]}
    assert check_rt(toys.Toy(), structures).passed is None
    model = Referenced(SchNet(SchNetConfig(channels=4, layers=1), [1, 6, 8]), {1: -13.0}, 0.3)
    result = check_rt(model, structures)
    assert result.passed, result.message

    def forget(path):
        other = load(path)
        other.potential.scale.fill_(1.0)
        return other

    monkeypatch.setattr(learning, "load", forget)
    assert check_rt(model, structures).passed is False


def test_exemptions_are_stated():
    direct = toys.Direct()
    for result in (check_fd(direct, STRUCTURES), check_nve(direct, STRUCTURES["molecule"])):
        assert result.passed is None
        assert "directly" in result.message
    toy = toys.Toy()
    toy.local = False
    for result in (check_ext(toy, STRUCTURES), check_pbc(toy, STRUCTURES)):
        assert result.passed is None
        assert "global" in result.message
    molecule = {"molecule": STRUCTURES["molecule"]}
    assert "permutations left out" in check_inv(toy, molecule).message
    toy.cutoff = float("inf")
    assert "no cutoff" in check_cut(toy, molecule).message


def test_battery_reports_every_check():
    report = run_battery(toys.Toy(), skip=("NVE", "FIT", "RT"))
    assert [r.code for r in report.results] == list(TITLES)
    assert report.passed, report.text()
    assert report["NVE"].passed is None
    assert "request" in report["NVE"].message
    assert report["REF"].passed is None
    assert not run_battery(toys.Abrupt(), skip=("NVE", "FIT", "RT")).passed


def test_float32_potential_is_checked_as_a_copy():
    toy = toys.Toy().float()
    assert run_battery(toy, skip=("NVE", "FIT", "RT")).passed
    assert toy.dtype == torch.float32


def test_wrong_requests_are_named():
    with pytest.raises(ConfigError, match="Did you mean 'CUT'"):
        run_battery(toys.Toy(), skip=("CUTS",))
    toy = toys.Toy()
    toy.local = False
    with pytest.raises(CapabilityError, match="global"):
        run_battery(toy)


@pytest.mark.parametrize("elements", [(1,), (29,), (14, 55), (1, 6, 8, 79)])
def test_built_in_structures_have_room(elements):
    from ase.data import covalent_radii

    from adiabat.testing.reference import brute_force_graph

    for name, system in structures(elements, 6.0).items():
        assert set(system.numbers.tolist()) <= set(elements)
        graph = brute_force_graph(system, 6.0)
        radii = torch.as_tensor(np.asarray(covalent_radii))[system.numbers]
        ratio = graph.vectors().norm(dim=1) / (radii[graph.centers] + radii[graph.neighbors])
        assert not len(ratio) or float(ratio.min()) > 0.7, name
    assert not len(brute_force_graph(structures(elements, 30.0)["atom"], 30.0).centers)
