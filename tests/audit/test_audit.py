"""The audit passes a sound potential and fails ones broken on purpose."""

import numpy as np
import pytest
import torch
from ase.build import molecule

from adiabat.audit import audit
from adiabat.errors import InputError
from adiabat.potential import ArchitectureConfig, AtomicPotential


class Pairs(AtomicPotential):
    """Smooth pair springs; `tilt` adds a dependence on the direction of x."""

    def __init__(self, tilt=0.0):
        super().__init__(ArchitectureConfig(method="pairs"), [1, 6, 8], 3.0)
        self.register_buffer("tilt", torch.tensor(tilt))

    def atomic_energies(self, graph):
        vectors = graph.vectors()
        distances = vectors.norm(dim=1)
        window = (1 - (distances / 3.0) ** 2).clamp_min(0) ** 3
        pairs = (0.5 * (distances - 1.6) ** 2 + self.tilt * vectors[:, 0]) * window
        return pairs.new_zeros(graph.system.atoms).index_add(0, graph.centers, pairs**2)


class Lying(Pairs):
    """Predicts forces that are not the slope of its energy."""

    def forward(self, graph):
        out = super().forward(graph)
        positions = graph.system.positions
        return out.replace(forces=0.3 * torch.cos(3 * positions).roll(1, 1))


def _codes(potential):
    report = audit(potential, [molecule("CH3OH")], picoseconds=0.2, temperature=100)
    return {f.code: f.passed for f in report.findings}, report


def test_a_sound_potential_passes():
    passed, report = _codes(Pairs())
    assert passed == {"INV": True, "FD": True, "DRIFT": True}
    assert report.passed
    assert len(report.times) == len(report.energies) == 401
    assert np.ptp(report.energies) > 0


def test_a_direction_is_noticed():
    passed, report = _codes(Pairs(tilt=0.1))
    assert passed["INV"] is False
    assert not report.passed
    assert "Do not use this model" in report.findings[0].verdict


def test_false_forces_are_noticed():
    passed, _ = _codes(Lying())
    assert passed["FD"] is False
    assert passed["DRIFT"] is False


def test_float32_models_are_audited_in_float64_and_stay_as_they_are():
    potential = Pairs().float()
    assert _codes(potential)[0]["FD"] is True
    assert potential.tilt.dtype == torch.float32


def test_no_structures():
    with pytest.raises(InputError, match="at least one"):
        audit(Pairs(), [])


def test_no_time():
    with pytest.raises(InputError, match="must be positive"):
        audit(Pairs(), [molecule("CH3OH")], picoseconds=0)
