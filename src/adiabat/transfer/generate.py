"""Structures made from given ones by rattling, straining and short dynamics, and two atoms, labeled by a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import ase
import numpy as np

from adiabat.batched import evaluate_many
from adiabat.compile import quickest
from adiabat.data import Frame, MemoryDataset
from adiabat.engines.ase import AdiabatCalculator, thermalize
from adiabat.errors import CapabilityError, DataError, DynamicsError, GeometryError
from adiabat.geometry import System
from adiabat.potential import Potential
from adiabat.transfer.dimers import ACCESSIBLE, pairs
from adiabat.transfer.options import GenerateConfig
from adiabat.workflows.dynamics import DynamicsConfig, integrator

DIMER = "dimer"


@dataclass(frozen=True)
class Generated:
    """Labeled frames.

    Attributes:
        frames: their `config_type` is seed, rattle, strain, dynamics or dimer, and `seed` the structure they come
            from; dimers count on from there, one number for each pair of elements.
        left_out: how many of each kind had too large forces.
        remarks: what happened, in sentences.
    """

    frames: MemoryDataset
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)


def generate(base: Potential, seeds: Sequence[ase.Atoms], config: GenerateConfig, seed: int = 0) -> Generated:
    """Makes structures and labels them with the energy, forces and, where periodic, stress of `base`.

    Args:
        base: any potential; its elements must cover the structures.
        seeds: structures to start from, which are labeled too.
        config: what is made.
        seed: of the random numbers.

    Raises DataError if nothing is left, CapabilityError if two atoms are asked for and the model knows one molecule.
    """
    if config.dimers and not base.local:
        raise CapabilityError(
            "a global model knows one molecule and cannot label two atoms: set generate.dimers to 0."
        )
    random = np.random.default_rng(seed)
    made: list[tuple[ase.Atoms, str, int]] = []
    remarks: list[str] = []
    calculator = AdiabatCalculator(base)  # one for all, whose kernels are made ready once
    for place, start in enumerate(seeds):
        start = bare(start)
        made.append((start, "seed", place))
        made += [(atoms, "rattle", place) for atoms in rattled(start, config, random)]
        made += [(atoms, "strain", place) for atoms in strained(start, config, random)]
        for temperature in config.temperatures:
            moved, stopped = _moved(calculator, start, temperature, config, random)
            made += [(atoms, "dynamics", place) for atoms in moved]
            if stopped:
                remarks.append(f"dynamics of structure {place} at {temperature:g} K stopped early: {stopped}")
    numbers = {int(z) for start in seeds for z in start.numbers}
    for place, (i, j, distances) in enumerate(pairs(numbers, base.cutoff, config.dimers), len(seeds)):
        made += [(ase.Atoms([i, j], [[0.0, 0.0, 0.0], [r, 0.0, 0.0]]), DIMER, place) for r in distances]
    frames = label(base, made)
    kept: list[Frame] = []
    left_out: Counter[str] = Counter()
    # two atoms count by energy, for their walls are steep where ordinary dynamics still comes; the last are apart
    apart = {frame.info["seed"]: frame.labels["energy"] for frame in frames if frame.info["config_type"] == DIMER}
    for frame in frames:
        if frame.info["config_type"] == DIMER:
            believed = float(frame.labels["energy"] - apart[frame.info["seed"]]) <= 2.0 * ACCESSIBLE
        else:
            believed = float(frame.labels["forces"].norm(dim=1).max()) <= config.max_force
        if believed:
            kept.append(frame)
        else:
            left_out[str(frame.info["config_type"])] += 1
    if not kept:
        raise DataError(
            f"all {len(frames)} generated structures have forces above {config.max_force:g} eV/Å in the base model:"
            " check the structures, or rattle and strain them less."
        )
    kinds = Counter(str(frame.info["config_type"]) for frame in kept)
    remarks.insert(0, f"{len(kept)} structures labeled: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}.")
    if left_out:
        counts = ", ".join(f"{n} {kind}" for kind, n in left_out.items())
        remarks.append(f"left out for forces above {config.max_force:g} eV/Å: {counts}.")
    return Generated(MemoryDataset(kept, "generated"), left_out, remarks)


def bare(atoms: ase.Atoms) -> ase.Atoms:
    """The structure alone, with charge and multiplicity but without labels, constraints and calculator."""
    kept = {k: v for k, v in atoms.info.items() if k in ("charge", "multiplicity")}
    return ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=kept)


def rattled(start: ase.Atoms, config: GenerateConfig, random: np.random.Generator) -> Iterator[ase.Atoms]:
    """Copies with normal displacements, the first the smallest."""
    for k in range(config.rattles):
        atoms = start.copy()
        atoms.positions += random.normal(size=atoms.positions.shape) * config.rattle * (k + 1) / config.rattles
        yield atoms


def strained(start: ase.Atoms, config: GenerateConfig, random: np.random.Generator) -> Iterator[ase.Atoms]:
    """Copies with a symmetric strain, uniform within ±strain, and a fifth of the largest rattle."""
    for _ in range(config.strains if start.pbc.any() else 0):
        atoms = start.copy()
        strain = random.uniform(-config.strain, config.strain, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.positions += random.normal(size=atoms.positions.shape) * config.rattle / 5
        yield atoms


def _moved(
    calculator: AdiabatCalculator,
    start: ase.Atoms,
    temperature: float,
    config: GenerateConfig,
    random: np.random.Generator,
) -> tuple[list[ase.Atoms], str]:
    """Frames of Langevin dynamics, and why it stopped early if it did."""
    atoms = start.copy()
    atoms.calc = calculator
    thermalize(atoms, temperature, random)
    steps = max(1, round(config.femtoseconds / config.timestep / config.frames))
    run = integrator(atoms, DynamicsConfig(timestep=config.timestep, temperature=temperature, friction=0.02), random)
    frames: list[ase.Atoms] = []
    try:
        for _ in range(config.frames):
            run.run(steps)
            if np.abs(atoms.get_forces()).max() > config.max_force:
                return frames, f"a force exceeds {config.max_force:g} eV/Å"
            frames.append(bare(atoms))
    except (DynamicsError, GeometryError) as error:
        return frames, str(error)
    return frames, ""


def label(base: Potential, structures: Sequence[tuple[ase.Atoms, str, int]]) -> MemoryDataset:
    """Frames with the base model's energy (eV), forces (eV/Å) and, of periodic ones, stress (eV/Å³), in order."""
    frames: dict[int, Frame] = {}
    base.eval()
    quick = quickest(base)
    for periodic in (False, True):
        want = ("energy", "forces", "stress") if periodic and base.local else ("energy", "forces")
        chosen = [k for k, (atoms, _, _) in enumerate(structures) if bool(atoms.pbc.any()) == periodic]
        systems = [System.from_ase(structures[k][0]) for k in chosen]
        found = evaluate_many(quick, systems, want, names=chosen)
        for k, system, prediction in zip(chosen, systems, found, strict=True):
            values = {name: getattr(prediction, name).detach().double().cpu() for name in want}
            labels = {name: value if name == "forces" else value[0] for name, value in values.items()}
            _, kind, seed = structures[k]
            frames[k] = Frame(system, labels, {"config_type": kind, "seed": seed})
    return MemoryDataset([frames[k] for k in range(len(structures))], "generated")
