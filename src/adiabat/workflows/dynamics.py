"""Molecular dynamics through ASE, with a log, a trajectory, restarts and a stop before nonsense.

| ensemble | integrator (ASE) | restart |
|---|---|---|
| nve | velocity Verlet | identical trajectory |
| langevin | Langevin, friction `friction` | identical, random state included |
| nose-hoover | Nose-Hoover chain | identical, chain variables included |
| npt-berendsen | Berendsen barostat and thermostat | continues from positions, momenta and cell |
| npt-parrinello-rahman | Martyna-Tobias-Klein flexible cell (the Parrinello-Rahman ensemble) | the same |
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import ase
import ase.io
import numpy as np
from ase import units as ase_units
from ase.md.md import MolecularDynamics

from adiabat.engines.ase import thermalize
from adiabat.errors import ConfigError, DynamicsError, GeometryError
from adiabat.files import read_structures
from adiabat.settings import Settings
from adiabat.units import GPA

Ensemble = Literal["nve", "langevin", "nose-hoover", "npt-berendsen", "npt-parrinello-rahman"]


class DynamicsConfig(Settings):
    """One simulation."""

    ensemble: Ensemble = "langevin"
    """Which quantities are kept: nve (energy), langevin and nose-hoover (temperature), npt-* (pressure too)."""
    steps: int = 10000
    """Number of steps."""
    timestep: float = 0.5
    """Length of a step, fs."""
    temperature: float = 300.0
    """Temperature of the initial velocities and of the thermostat, K."""
    friction: float = 0.01
    """Langevin friction, 1/fs."""
    thermostat_time: float = 100.0
    """Relaxation time of Nose-Hoover and Berendsen thermostats, fs."""
    pressure: float = 0.0
    """External pressure of npt ensembles, GPa."""
    barostat_time: float = 1000.0
    """Relaxation time of the barostat, fs."""
    compressibility: float = 4.6e-5
    """Compressibility that Berendsen's barostat assumes, 1/bar."""
    interval: int = 20
    """Steps between frames of the trajectory and lines of the log."""
    restart_interval: int = 1000
    """Steps between restart files."""
    seed: int = 0
    """Seed of the velocities and the thermostat noise."""
    max_force: float = 100.0
    """The run stops, with the frame saved, once a force exceeds this, eV/Å."""
    max_temperature_factor: float = 10.0
    """The run stops once the temperature exceeds this multiple of the larger of `temperature` and 100 K."""
    force_nonconservative: bool = False
    """Allow nve with a model whose forces are not an energy's gradient."""


class Dynamics:
    """One run in one folder: `trajectory.extxyz`, `md.log.jsonl`, `restart.npz`; `stopped.extxyz` if it must stop.

    Args:
        atoms: the structure with a calculator attached; moved in place.
        config: what to simulate.
        folder: where files go; an existing restart file there is continued with `resume=True`.
        resume: continue from `restart.npz`.

    Raises:
        ConfigError: the folder already holds a run and `resume` is off, or the other way round.
    """

    def __init__(self, atoms: ase.Atoms, config: DynamicsConfig, folder: Path | str, resume: bool = False):
        self.atoms = atoms
        self.config = config
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, float]] = []
        self._start = 0
        self._check_model()
        self._rng = np.random.default_rng(config.seed)
        restart = self.folder / "restart.npz"
        if resume and not restart.exists():
            raise ConfigError(f"there is no {restart} to resume from: start without resume.")
        if not resume and (self.folder / "trajectory.extxyz").exists():
            raise ConfigError(f"{self.folder} already holds a run: resume it, or choose another folder.")
        state = self._load(restart) if resume else None
        if state is None:
            thermalize(atoms, config.temperature, self._rng)
        self.integrator = integrator(atoms, config, self._rng)
        if state is not None:
            _restore_chain(self.integrator, state)

    def _check_model(self) -> None:
        potential = getattr(self.atoms.calc, "potential", None)
        if potential is None or potential.conservative or self.config.force_nonconservative:
            return
        if self.config.ensemble == "nve":
            raise ConfigError(
                "this model's forces are not an energy's gradient, so nve would not keep the energy:"
                " use a thermostat, or force it with force_nonconservative=true."
            )

    def run(self, progress: Callable[[int, dict[str, float]], None] | None = None) -> list[dict[str, float]]:
        """Runs to `config.steps`; returns the log rows (time in fs, energies in eV, temperature in K).

        Raises DynamicsError, with the frame saved, on NaN, a force spike or a runaway temperature.
        """
        config = self.config
        if self._start == 0:
            self._record(0)
        # one generator for the whole run: starting ASE's loop anew costs as much as a step of a small model
        moves = islice(self.integrator.irun(config.steps - self._start), 1, None)
        for step in range(self._start + 1, config.steps + 1):
            try:
                next(moves)
                row = self._watch(step)
            except (DynamicsError, GeometryError) as error:
                self._stop(step, error)
            if step % config.interval == 0 or step == config.steps:
                self._record(step)
                if progress is not None:
                    progress(step, row)
            if step % config.restart_interval == 0 or step == config.steps:
                self._save(step)
        return self.rows

    def _watch(self, step: int) -> dict[str, float]:
        forces = self.atoms.get_forces()
        largest = float(np.sqrt((forces**2).sum(axis=1)).max())
        temperature = float(self.atoms.get_temperature())
        if not np.isfinite(self.atoms.positions).all() or not np.isfinite(largest + temperature):
            raise DynamicsError(f"positions, forces or velocities are not finite at step {step}.")
        if largest > self.config.max_force:
            raise DynamicsError(
                f"a force of {largest:.3g} eV/Å at step {step} exceeds max_force = {self.config.max_force:g} eV/Å:"
                " the model is outside the range of its training data, or the time step is too long."
            )
        limit = self.config.max_temperature_factor * max(self.config.temperature, 100.0)
        if temperature > limit:
            raise DynamicsError(
                f"the temperature {temperature:.0f} K at step {step} exceeds {limit:.0f} K:"
                " the model is outside the range of its training data, or the time step is too long."
            )
        return {"step": step, "temperature": temperature, "max_force": largest}

    def _stop(self, step: int, error: Exception) -> None:
        frame = self.atoms.copy()
        frame.calc = None
        path = self.folder / "stopped.extxyz"
        ase.io.write(path, frame, format="extxyz")
        raise DynamicsError(
            f"dynamics stopped: {error} The frame is in {path}, the last good state in {self.folder}."
        )

    def _record(self, step: int) -> None:
        atoms = self.atoms
        potential, kinetic = float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())
        row = {
            "step": step,
            "time": step * self.config.timestep,
            "potential": potential,
            "kinetic": kinetic,
            "total": potential + kinetic,
            "temperature": float(atoms.get_temperature()),
        }
        if atoms.pbc.all():
            row["volume"] = float(atoms.get_volume())
        self.rows.append(row)
        with open(self.folder / "md.log.jsonl", "a") as log:
            log.write(json.dumps(row) + "\n")
        frame = atoms.copy()
        frame.calc = None
        frame.info |= {"step": step, "time_fs": row["time"], "potential_energy": potential}
        ase.io.write(self.folder / "trajectory.extxyz", frame, format="extxyz", append=True)

    def _save(self, step: int) -> None:
        arrays: dict[str, Any] = {
            "step": np.array(step),
            "positions": self.atoms.positions,
            "momenta": self.atoms.get_momenta(),
            "numbers": self.atoms.numbers,
            "cell": self.atoms.cell.array,
            "random": np.array(json.dumps(self._rng.bit_generator.state)),
            **_chain(self.integrator),
        }
        temporary = self.folder / "restart.tmp.npz"
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / "restart.npz")

    def _load(self, path: Path) -> dict[str, np.ndarray]:
        with np.load(path, allow_pickle=False) as file:
            state = {k: file[k] for k in file.files}
        if not np.array_equal(state["numbers"], self.atoms.numbers):
            raise ConfigError(f"{path} is of another structure: give the one the run started from.")
        self.atoms.set_cell(state["cell"])
        self.atoms.positions[:] = state["positions"]
        self.atoms.set_momenta(state["momenta"])
        self._rng.bit_generator.state = json.loads(str(state["random"]))
        self._start = int(state["step"])
        log = self.folder / "md.log.jsonl"
        # a killed run may have logged past its last restart file: those steps are run again
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        self.rows = [row for row in rows if row["step"] <= self._start]
        log.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        trajectory = self.folder / "trajectory.extxyz"
        if trajectory.exists():
            frames = [f for f in read_structures(trajectory) if f.info["step"] <= self._start]
            ase.io.write(trajectory, frames, format="extxyz")
        return state


def integrator(atoms: ase.Atoms, config: DynamicsConfig, rng: np.random.Generator) -> MolecularDynamics:
    """ASE's integrator of the ensemble."""
    step, fs = config.timestep * ase_units.fs, ase_units.fs
    if config.ensemble.startswith("npt") and not atoms.pbc.all():
        raise ConfigError(f"{config.ensemble} changes the cell, and {atoms.get_chemical_formula()} is not periodic.")
    if config.ensemble == "nve":
        from ase.md.verlet import VelocityVerlet

        return VelocityVerlet(atoms, step)
    if config.ensemble == "langevin":
        from ase.md.langevin import Langevin

        return Langevin(
            atoms, step, temperature_K=config.temperature, friction=config.friction / fs, rng=rng, fixcm=False
        )
    if config.ensemble == "nose-hoover":
        from ase.md.nose_hoover_chain import NoseHooverChainNVT

        return NoseHooverChainNVT(atoms, step, temperature_K=config.temperature, tdamp=config.thermostat_time * fs)
    if config.ensemble == "npt-berendsen":
        from ase.md.nptberendsen import NPTBerendsen

        return NPTBerendsen(
            atoms,
            step,
            temperature_K=config.temperature,
            pressure_au=config.pressure * GPA,
            taut=config.thermostat_time * fs,
            taup=config.barostat_time * fs,
            compressibility_au=config.compressibility / ase_units.bar,
        )
    from ase.md.nose_hoover_chain import MTKNPT

    return MTKNPT(
        atoms,
        step,
        temperature_K=config.temperature,
        pressure_au=config.pressure * GPA,
        tdamp=config.thermostat_time * fs,
        pdamp=config.barostat_time * fs,
    )


def _chain(run: MolecularDynamics) -> dict[str, np.ndarray]:
    chain = getattr(run, "_thermostat", None)
    if chain is None:
        return {}
    return {"chain_eta": chain._eta.copy(), "chain_momenta": chain._p_eta.copy()}


def _restore_chain(run: MolecularDynamics, state: dict[str, np.ndarray]) -> None:
    chain = getattr(run, "_thermostat", None)
    if chain is not None and "chain_eta" in state:
        chain._eta, chain._p_eta = state["chain_eta"].copy(), state["chain_momenta"].copy()
