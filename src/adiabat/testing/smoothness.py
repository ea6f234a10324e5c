"""Checks of derivatives and smoothness: FD, CUT, NVE."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from adiabat.elements import MASSES
from adiabat.errors import GeometryError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, MovingGraph, System
from adiabat.potential import Potential, Referenced
from adiabat.testing.checks import CheckResult, Measure, judge, not_run, predict
from adiabat.units import BOLTZMANN

FD, CUT, NVE = 1e-6, 1e-8, 1e-5
STEP = 3e-4  # Å, or strain, of the finite differences
STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))  # central, error of fourth order
CROSSING = 1e-10  # Å on both sides of the cutoff
FORCE_UNIT = 1.0 / 103.642695  # eV/Å/amu in Å/fs²


def check_fd(potential: Potential, structures: Mapping[str, System]) -> CheckResult:
    """Forces, stress and Hessian equal central differences with five points (1e-6 relative).

    Relative to the largest magnitude of the derivative in the structure, at least 1e-3 of its unit, and never
    finer than what the rounding of the energy lets be seen. The Hessian is compared with differences of forces in
    the smallest structure. Structures are scaled by up to 1 % so that no pair lies at the cutoff, where second
    derivatives may jump. Forces of a direct-force model are no gradient and are left out.
    """
    if not potential.conservative:
        return not_run("FD", "exempt: this model predicts forces directly, they are not the gradient of its energy")
    measures = []
    potential = _without_references(potential)
    structures = {name: _clear_of_cutoff(system, potential.cutoff) for name, system in structures.items()}
    for name, system in structures.items():
        graph = Graph.build(system, potential.cutoff)
        forces = evaluate(potential, graph, ("energy", "forces"))
        measures.append(
            _fd_measure("forces", name, forces.forces, -_slope_positions(potential, graph), forces.energy)
        )
        if potential.local and bool(system.pbc.any()):
            stress = evaluate(potential, graph, ("energy", "stress"))
            slope = _slope_strain(potential, graph) / system.volume
            measures.append(_fd_measure("stress", name, stress.stress, slope[None], stress.energy / system.volume))
    name, system = min(((n, s) for n, s in structures.items() if s.atoms > 1), key=lambda x: x[1].atoms)
    measures.append(_check_hessian(potential, name, system))
    notes = [] if potential.local else ["stress left out: a global model has none"]
    return judge("FD", measures, notes)


def check_cut(potential: Potential, structures: Mapping[str, System]) -> CheckResult:
    """Energy and forces jump by less than 1e-8 eV and eV/Å as one more atom crosses the outermost one's cutoff.

    The molecule (or first structure without periodicity) gets one atom of each element in turn, 1e-10 Å inside and
    outside of the cutoff.
    """
    if not math.isfinite(potential.cutoff):
        return not_run("CUT", "exempt: this model has no cutoff")
    open_ones = [(n, s) for n, s in structures.items() if not bool(s.pbc.any())]
    if not open_ones:
        return not_run("CUT", "no structure without periodicity was given")
    name, system = open_ones[0]
    direction = torch.tensor([0.48, -0.6, 0.64], dtype=torch.float64)
    direction /= direction.norm()
    outermost = system.positions[(system.positions @ direction).argmax()]
    measures = []
    for number in potential.elements:
        sides = []
        for distance in (potential.cutoff - CROSSING, potential.cutoff + CROSSING):
            extended = System.from_arrays(
                torch.cat([system.positions, (outermost + distance * direction)[None]]),
                torch.cat([system.numbers, torch.tensor([number])]),
            )
            sides.append(predict(potential, extended))
        inside, outside = sides
        assert inside.forces is not None
        assert outside.forces is not None
        where = f"{name} with an atom of number {number} crossing"
        measures.append(Measure("energy jump", where, float((inside.energy - outside.energy).abs()), CUT))
        measures.append(Measure("force jump", where, float((inside.forces - outside.forces).abs().max()), CUT))
    return judge("CUT", measures)


def check_nve(
    potential: Potential,
    system: System,
    name: str = "structure",
    picoseconds: float = 2.0,
    step: float = 0.5,
    temperature: float = 100.0,
    tether: float | None = None,
) -> CheckResult:
    """Total energy drifts by less than 1e-5 eV/atom/ps in velocity-Verlet dynamics.

    Untrained potentials have no stable molecules, so each atom is tethered to where it started by a harmonic spring
    whose energy is part of the total: the motion stays bounded, and a drift is still the potential's fault. No
    atom is lighter than 12 amu, so that the integrator's own error stays far below the threshold.

    Args:
        potential: any with forces.
        system: one system.
        name: what to call it in the result.
        picoseconds: length.
        step: time step, fs.
        temperature: of the initial velocities, K.
        tether: spring constant, eV/Å²; by default such that the initial forces stretch it by at most 0.1 Å, and at
            least 5; 0 switches it off.
    """
    if not potential.conservative:
        return not_run("NVE", "exempt: this model predicts forces directly and need not conserve energy")
    motion = _Motion(potential, system, temperature, tether)
    steps = round(picoseconds * 1000.0 / step)
    energies = [motion.total()]
    try:
        for _ in range(steps):
            motion.advance(step)
            energies.append(motion.total())
    except GeometryError as error:  # the atoms flew off or became NaN
        broken = Measure(f"motion stopped after {len(energies) - 1} steps ({error}): drift", name, math.nan, NVE)
        return judge("NVE", [broken])
    times = np.arange(len(energies)) * step / 1000.0
    drift = abs(float(np.polyfit(times, np.array(energies) - energies[0], 1)[0])) / system.atoms
    span = float(np.ptp(energies)) / system.atoms
    note = (
        f"{times[-1]:g} ps at {step:g} fs from {temperature:g} K, springs of {motion.tether:.1f} eV/Å²,"
        f" fluctuation {span:.1e} eV/atom"
    )
    return judge("NVE", [Measure("drift (eV/atom/ps)", name, drift, NVE)], [note])


class _Motion:
    """Velocity Verlet with tethers; positions in Å, velocities in Å/fs."""

    def __init__(self, potential: Potential, system: System, temperature: float, tether: float | None):
        self.potential, self.system, self.start = potential, system, system.positions.clone()
        self.moving = MovingGraph(system, potential.cutoff)
        masses = torch.as_tensor(MASSES)[system.numbers].clamp(min=12.0)
        self.masses = masses[:, None]
        generator = torch.Generator().manual_seed(17)
        speeds = torch.sqrt(BOLTZMANN * temperature * FORCE_UNIT / self.masses)
        self.velocities = speeds * torch.randn(self.start.shape, generator=generator, dtype=torch.float64)
        self.tether = 0.0
        self._evaluate()
        largest = float(self.forces.abs().max())
        self.tether = max(5.0, largest / 0.1) if tether is None else tether

    def _evaluate(self) -> None:
        found = evaluate(self.potential, self.moving.move(self.system.positions.numpy()))
        assert found.forces is not None
        stretch = self.system.positions - self.start
        self.energy = float(found.energy) + 0.5 * self.tether * float(stretch.square().sum())
        self.forces = found.forces - self.tether * stretch

    def total(self) -> float:
        """Potential, tether and kinetic energy, eV."""
        return self.energy + 0.5 * float((self.masses * self.velocities.square()).sum()) / FORCE_UNIT

    def advance(self, step: float) -> None:
        """One step of `step` fs."""
        half = 0.5 * step * FORCE_UNIT / self.masses
        self.velocities = self.velocities + half * self.forces
        self.system = self.system.replace(positions=self.system.positions + step * self.velocities)
        self._evaluate()
        self.velocities = self.velocities + half * self.forces


def _without_references(potential: Potential) -> Potential:
    """The same potential without reference energies, whose size would hide the last digits of differences."""
    return (
        Referenced(potential.model, None, float(potential.scale)) if isinstance(potential, Referenced) else potential
    )


def _clear_of_cutoff(system: System, cutoff: float) -> System:
    if not math.isfinite(cutoff) or (system.atoms == 1 and not bool(system.pbc.any())):
        return system
    distances = Graph.build(system, 1.03 * cutoff).vectors().norm(dim=1)
    factors = torch.linspace(0.99, 1.01, 41, dtype=distances.dtype)
    if not len(distances):
        return system
    gaps = (factors[:, None] * distances - cutoff).abs().amin(dim=1)
    best = factors[gaps.argmax()]
    return system.replace(positions=system.positions * best, cell=system.cell * best)


def _fd_measure(what: str, where: str, found: Tensor | None, expected: Tensor, energy: Tensor) -> Measure:
    assert found is not None
    # the energy's last digit over the step: no difference below that can be seen, whatever the derivative
    visible = 1e7 * torch.finfo(torch.float64).eps * float(energy.abs().max()) / STEP
    scale = max(float(found.abs().max()), 1e-3, visible)
    return Measure(what, where, float((found - expected).abs().max()) / scale, FD)


def _energies(potential: Potential, graphs: list[Graph]) -> Tensor:
    # pieces bound the memory that large structures would need at once
    size = max(1, 3000 // graphs[0].system.atoms)
    pieces = [Graph.batch(graphs[k : k + size]) for k in range(0, len(graphs), size)]
    return torch.cat([evaluate(potential, piece, ("energy",)).energy for piece in pieces])


def _differences(values: Tensor, entries: int) -> Tensor:
    weights = values.new_tensor([w for _, w in STENCIL])
    return values.reshape(entries, len(STENCIL), *values.shape[1:]).transpose(1, -1) @ weights / STEP


def _displaced(graph: Graph) -> list[Graph]:
    """The graph with each coordinate displaced to each point of the stencil; the pairs stay."""
    found = []
    for entry in range(3 * graph.system.atoms):
        for point, _ in STENCIL:
            positions = graph.system.positions.clone()
            positions.view(-1)[entry] += point * STEP
            found.append(graph.replace(system=graph.system.replace(positions=positions)))
    return found


def _slope_positions(potential: Potential, graph: Graph) -> Tensor:
    return _differences(_energies(potential, _displaced(graph)), 3 * graph.system.atoms).reshape(-1, 3)


def _slope_strain(potential: Potential, graph: Graph) -> Tensor:
    """dE/dε for a symmetric strain `[3, 3]`, eV."""
    entries = [(a, b) for a in range(3) for b in range(a, 3)]
    graphs = []
    for a, b in entries:
        for point, _ in STENCIL:
            strain = torch.eye(3, dtype=torch.float64)
            strain[a, b] += 0.5 * point * STEP
            strain[b, a] += 0.5 * point * STEP
            system = graph.system
            graphs.append(
                graph.replace(system=system.replace(positions=system.positions @ strain, cell=system.cell @ strain))
            )
    slopes = _differences(_energies(potential, graphs), len(entries))
    full = slopes.new_zeros(3, 3)
    for (a, b), slope in zip(entries, slopes, strict=True):
        full[a, b] = full[b, a] = slope
    return full


def _check_hessian(potential: Potential, name: str, system: System) -> Measure:
    graph = Graph.build(system, potential.cutoff)
    hessian = evaluate(potential, graph, ("hessian",)).hessian
    forces = torch.stack([_flat_forces(potential, g) for g in _displaced(graph)])
    rows = 3 * system.atoms
    weights = forces.new_tensor([w for _, w in STENCIL])
    slopes = torch.einsum("rsk,s->rk", forces.reshape(rows, len(STENCIL), rows), weights) / STEP
    return _fd_measure("Hessian", name, hessian, -slopes, forces)


def _flat_forces(potential: Potential, graph: Graph) -> Tensor:
    forces = evaluate(potential, graph, ("energy", "forces")).forces
    assert forces is not None
    return forces.reshape(-1)
