"""Dynamics: ensembles, restarts that continue exactly, and the stop before nonsense."""

import json

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from adiabat.engines.ase import AdiabatCalculator, thermalize
from adiabat.errors import ConfigError, DynamicsError
from adiabat.potential import ArchitectureConfig, AtomicPotential
from adiabat.workflows.dynamics import Dynamics, DynamicsConfig


class Springs(AtomicPotential):
    """Harmonic pairs about 1.6 Å with a smooth end at the cutoff; `broken` makes the forces explode."""

    def __init__(self, elements, strength=5.0):
        super().__init__(ArchitectureConfig(method="springs"), elements, 3.0)
        self.register_buffer("strength", torch.tensor(strength))

    def atomic_energies(self, graph):
        distances = graph.vectors().norm(dim=1)
        pairs = 0.25 * self.strength * (distances - 1.6) ** 2 * (1 - (distances / 3.0) ** 2).clamp_min(0) ** 3
        return pairs.new_zeros(graph.system.atoms).index_add(0, graph.centers, pairs)


def _methanol(strength=5.0):
    atoms = molecule("CH3OH")
    atoms.calc = AdiabatCalculator(Springs([1, 6, 8], strength))
    return atoms


def _silicon():
    atoms = bulk("Si", cubic=True)
    atoms.calc = AdiabatCalculator(Springs([14]))
    return atoms


def test_nve_keeps_the_energy(tmp_path):
    rows = Dynamics(
        _methanol(), DynamicsConfig(ensemble="nve", steps=400, timestep=0.25, max_temperature_factor=100), tmp_path
    ).run()
    total = np.array([row["total"] for row in rows])
    assert np.ptp(total) < 2e-3
    assert np.ptp([row["potential"] for row in rows]) > 5e-2


@pytest.mark.parametrize("ensemble", ["nve", "langevin", "nose-hoover"])
def test_a_restart_continues_exactly(tmp_path, ensemble):
    options = {"ensemble": ensemble, "interval": 5, "restart_interval": 20, "max_temperature_factor": 100}
    Dynamics(_methanol(), DynamicsConfig(steps=60, **options), tmp_path / "whole").run()
    Dynamics(_methanol(), DynamicsConfig(steps=40, **options), tmp_path / "parts").run()
    Dynamics(_methanol(), DynamicsConfig(steps=60, **options), tmp_path / "parts", resume=True).run()
    whole, parts = (ase.io.read(tmp_path / name / "trajectory.extxyz", ":") for name in ("whole", "parts"))
    assert len(whole) == len(parts) == 13
    assert np.array_equal(whole[-1].positions, parts[-1].positions)
    logs = [(tmp_path / name / "md.log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("ensemble", ["npt-berendsen", "npt-parrinello-rahman"])
def test_pressure_changes_the_cell(tmp_path, ensemble):
    volumes = []
    for pressure in (0.0, 20.0):
        config = DynamicsConfig(
            ensemble=ensemble, steps=150, timestep=1.0, pressure=pressure, barostat_time=100.0, interval=50
        )
        rows = Dynamics(_silicon(), config, tmp_path / f"{pressure}").run()
        volumes.append(rows[-1]["volume"])
    assert volumes[1] < volumes[0]


def test_a_spike_stops_with_the_frame(tmp_path):
    with pytest.raises(DynamicsError, match=r"exceeds max_force = 1 eV/Å.*stopped\.extxyz"):
        Dynamics(_methanol(500.0), DynamicsConfig(steps=50, max_force=1.0), tmp_path).run()
    assert len(ase.io.read(tmp_path / "stopped.extxyz")) == 6


def test_a_nan_stops_with_the_frame(tmp_path):
    atoms = _methanol()
    run = Dynamics(atoms, DynamicsConfig(steps=50), tmp_path)
    atoms.calc.potential.strength.fill_(float("nan"))
    with pytest.raises(DynamicsError, match="nan"):
        run.run()


def test_an_earlier_run_is_not_overwritten(tmp_path):
    Dynamics(_methanol(), DynamicsConfig(steps=5), tmp_path).run()
    with pytest.raises(ConfigError, match="already holds a run"):
        Dynamics(_methanol(), DynamicsConfig(steps=5), tmp_path)
    with pytest.raises(ConfigError, match="no .* to resume from"):
        Dynamics(_methanol(), DynamicsConfig(steps=5), tmp_path / "other", resume=True)


def test_npt_needs_a_cell(tmp_path):
    with pytest.raises(ConfigError, match="not periodic"):
        Dynamics(_methanol(), DynamicsConfig(ensemble="npt-berendsen"), tmp_path)


def test_momenta_have_the_temperature_and_no_drift():
    atoms = molecule("C60")
    temperatures = []
    for seed in range(20):
        thermalize(atoms, 400.0, np.random.default_rng(seed))
        temperatures.append(atoms.get_temperature())
        assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-10
        assert np.abs(atoms.get_angular_momentum()).max() < 1e-8
    # six of the 180 degrees of freedom were taken away
    assert np.mean(temperatures) == pytest.approx(400 * 174 / 180, rel=0.05)


def test_log_rows_are_json(tmp_path):
    Dynamics(_methanol(), DynamicsConfig(steps=4, interval=2), tmp_path).run()
    rows = [json.loads(line) for line in (tmp_path / "md.log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 2, 4]
    assert rows[1]["total"] == pytest.approx(rows[1]["potential"] + rows[1]["kinetic"])
