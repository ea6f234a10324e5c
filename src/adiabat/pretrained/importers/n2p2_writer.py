"""Writes n2p2's and RuNNer's folders, of the second and of the fourth generation (doi:10.1021/acs.jctc.8b00770).

input.nn has every number as the shortest decimal that reads back as the same one; symmetry functions, scaling and
weights are in the program's order. Features are scaled as "sigma" whatever their rule here: (G − shift) · factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.architectures.local.hdnnp4g import HDNNP4G, HDNNP4GConfig
from adiabat.descriptors.acsf import ACSF
from adiabat.descriptors.symmetry_functions import SymmetryFunction
from adiabat.elements import symbols
from adiabat.errors import CheckpointError
from adiabat.files import write_text
from adiabat.nn.element_networks import ElementNetworks
from adiabat.nn.inner_cutoffs import KINDS
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.importers.n2p2 import (
    ACTIVATION_CODES,
    CORES,
    FUNCTIONS,
    SCREENINGS,
    UNSCREENED,
    read_function,
)
from adiabat.units import BOHR, HARTREE

CONVERGED = 1e-10  # eV/Å, to which the program's Ewald sum is asked for where ours is converged
WIDE = 10.0  # the program warns beyond so many spreads, as training data's ranges are not known here


@dataclass(frozen=True)
class _Target:
    """What is written, and the files' units."""

    model: BPNN | HDNNP4G
    descriptor: ACSF
    scale: float
    reference: Tensor
    length: float
    energy: float

    @property
    def names(self) -> list[str]:
        return symbols(self.model.elements)


def write_n2p2(potential: Potential, folder: str | Path, length: float = BOHR, energy: float = HARTREE) -> Path:
    """A folder for n2p2, RuNNer and LAMMPS's `pair_style hdnnp`; scale and reference energies become part of it.

    Args:
        potential: of the methods bpnn, wacsf_nn or hdnnp_4g.
        folder: made where there is none; its files of the same names are replaced.
        length: the files' length unit in Å.
        energy: the files' energy unit in eV.

    Raises:
        CheckpointError: it is of another method, or the program has no such function.
    """
    model = potential.model if isinstance(potential, Referenced) else potential
    if not isinstance(model, BPNN | HDNNP4G):
        raise CheckpointError(
            f"{type(model).__name__} has no files of n2p2: only the methods bpnn, wacsf_nn and hdnnp_4g have."
        )
    descriptor = model.functions if isinstance(model, BPNN) else model.descriptor
    scale, reference = 1.0, torch.zeros(max(model.elements) + 1, dtype=torch.float64)
    if isinstance(potential, Referenced):
        scale, reference = float(potential.scale), potential.reference
    target = _Target(model, descriptor, scale, reference, length, energy)
    functions = [_sorted(target, own) for own in descriptor.by_center()]
    texts = {"input.nn": [*_input(target), *(line for rows in functions for _, line in rows)], "scaling.data": []}
    for place, rows in enumerate(functions):
        order = [k for k, _ in rows]
        texts["scaling.data"] += _scaling(target, place, order)
        texts |= _networks(target, place, order)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in texts.items():
        write_text(folder / name, "\n".join(["# written by adiabat", *lines]) + "\n")
    return folder


def _decimal(guess: float, wanted: float, back: Callable[[float], float]) -> str:
    """The shortest decimal close to a guess that reads back as what is wanted, or the guess where none does."""
    texts = [f"{guess:.{digits}g}" for digits in range(4, 18)]
    texts += [repr(math.nextafter(guess, way)) for way in (-math.inf, math.inf)]  # unit and inverse are both rounded
    return next((text for text in texts if back(float(text)) == wanted), repr(guess))


def _times(value: float, unit: float) -> str:
    """What the reader multiplies by a unit."""
    return _decimal(value / unit, value, lambda x: x * unit)


def _input(target: _Target) -> Iterator[str]:
    """input.nn without the symmetry functions."""
    model, names, energy = target.model, target.names, target.energy
    yield from (f"number_of_elements {len(names)}", "elements " + " ".join(names))
    yield from _short(model) if isinstance(model, BPNN) else _fourth(target, model)
    for name, z in zip(names, model.elements, strict=True):
        yield f"atom_energy {name} {_times(float(target.reference[z]), energy)}"
    yield f"cutoff_type {KINDS.index(target.descriptor.cutoff_kind)} {target.descriptor.inner!r}"
    yield from ("scale_symmetry_functions_sigma", "scale_min_short 0.0", "scale_max_short 1.0")


def _layers(kind: str, hidden: Sequence[int], activations: Sequence[str]) -> Iterator[str]:
    codes = {own: code for code, own in ACTIVATION_CODES.items()}
    unknown = [name for name in activations if name not in codes]
    if unknown:
        raise CheckpointError(f"n2p2 has no activation '{unknown[0]}': use one of {', '.join(codes)}.")
    yield f"global_hidden_layers_{kind} {len(hidden)}"
    yield f"global_nodes_{kind} " + " ".join(map(str, hidden))
    yield f"global_activation_{kind} " + " ".join([*(codes[name] for name in activations), "l"])


def _short(model: BPNN) -> Iterator[str]:
    config = model.config
    assert isinstance(config, BPNNConfig)
    yield "use_short_forces"
    yield from _layers("short", config.hidden, config.activations)


def _fourth(target: _Target, model: HDNNP4G) -> Iterator[str]:
    """What potentials of the fourth generation have beside functions and reference energies."""
    config, unit = model.config, target.energy * target.length
    yield from ("nnp_generation 4", "use_short_forces")
    for kind, hidden in (("short", config.hidden), ("electrostatic", config.charge_hidden)):
        yield from _layers(kind, hidden, config.activations(len(hidden)))
    for name, sigma in zip(target.names, model.equilibration.coulomb.widths.tolist(), strict=True):
        yield f"fixed_gausswidth {name} {_times(sigma, target.length)}"
    yield from _screening(target, config)
    coulomb = target.scale * config.coulomb
    yield "four_pi_epsilon " + _decimal(unit / coulomb, coulomb, lambda x: unit / x)
    yield from _split(target, config)


def _screening(target: _Target, config: HDNNP4GConfig) -> Iterator[str]:
    if config.screening is None:
        raise CheckpointError(
            f"n2p2 always leaves a charge's own energy out, screening null keeps it: use screening [0, {UNSCREENED}]."
        )
    if config.screening[1] <= UNSCREENED:
        return
    codes = {own: code for code, own in SCREENINGS.items()}
    if config.screening_function not in codes:
        raise CheckpointError(
            f"n2p2 has no screening with function '{config.screening_function}': use one of {', '.join(codes)}."
        )
    cutoff = target.descriptor.cutoff / target.length
    ends = " ".join(_decimal(share * cutoff, share, lambda x: x / cutoff) for share in config.screening)
    yield f"screen_electrostatics {ends} {codes[config.screening_function]}"


def _split(target: _Target, config: HDNNP4GConfig) -> Iterator[str]:
    """The program's rule of Kolafa and Perram has a force as its precision, of charges in vacuum."""
    split = config.split
    if split.rule == "jackson-catlow":
        yield from ("ewald_truncation_error_method 0", f"ewald_prec {split.precision!r}")
        return
    plain = split.rule == "plain"
    vacuum = target.length**2 / config.coulomb
    precision = vacuum * (CONVERGED if plain else split.precision)
    charge = 1.0 if plain else split.charge
    yield "ewald_truncation_error_method 1"
    yield f"ewald_prec {precision:.15g} {charge!r}"


def _sorted(target: _Target, functions: Sequence[SymmetryFunction]) -> list[tuple[int, str]]:
    """Each function's place here and its line, in the order in which the program has them."""
    lines = [_function(f, target.length) for f in functions]

    def key(place: int) -> tuple[object, ...]:
        center, kind, *rest = lines[place].split()[1:]
        return read_function(center, kind, rest, target.names, target.length)[0]

    return [(place, lines[place]) for place in sorted(range(len(lines)), key=key)]


def _function(f: SymmetryFunction, length: float) -> str:
    kind = "G2" if f.kind == "G1" else f.kind
    numbers = [
        n for n, (own, columns) in FUNCTIONS.items() if own == kind and ("near" in columns) == bool(f.neighbors)
    ]
    if not numbers or not (f.neighbors or f.weight == "number"):
        near = "named neighbors" if f.neighbors else f"neighbors of weight '{f.weight}'"
        raise CheckpointError(
            f"n2p2 has no symmetry function {f.kind} of {near}: it has G2, G4, G5, P2, P4 and P5 of named ones and,"
            " but for G5, of all with weight 'number'."
        )
    eta = 0.0 if f.kind == "G1" else f.eta
    given = {
        "eta": _decimal(eta * length**2, eta, lambda x: x / length**2),
        "shift": _times(0.0 if f.kind == "G1" else f.shift, length),
        "cutoff": _times(f.cutoff, length),
        "begin": _times(f.begin, length),
        "sign": str(f.sign),
        "zeta": repr(f.zeta),
        "left": repr(f.angles[0]),
        "right": repr(f.angles[1]),
        "core": {own: code for code, own in CORES.items()}[f.core] + "a" * f.asymmetric,
    }
    near = iter(f.neighbors)
    words = [next(near) if column == "near" else given[column] for column in FUNCTIONS[numbers[0]][1].split()]
    return " ".join(["symfunction_short", f.center, numbers[0], *words])


def _scaling(target: _Target, place: int, order: Sequence[int]) -> Iterator[str]:
    """Element, function, minimum, maximum, mean and sigma."""
    shifts, factors = (v[place].double().tolist() for v in (target.model.scaling.shift, target.model.scaling.factor))
    for row, k in enumerate(order, 1):
        sigma = 1.0 / factors[k]
        low, high = shifts[k] - WIDE * sigma, shifts[k] + WIDE * sigma
        text = _decimal(sigma, factors[k], lambda x: 1.0 / x)
        yield f"{place + 1} {row} {low!r} {high!r} {shifts[k]!r} {text}"


def _networks(target: _Target, place: int, order: Sequence[int]) -> dict[str, list[str]]:
    """Files of one element's weights and hardness; energies are in the files' unit."""
    model, z, scale = target.model, target.model.elements[place], target.scale / target.energy
    if isinstance(model, BPNN):
        first = _first(model.networks, place)
        mixing = model.scaling.mixing
        if mixing is not None:
            first = first @ mixing[place].double().T
        return {f"weights.{z:03d}.data": _weights(model.networks, place, first[:, order], scale)}
    first, charged = _first(model.networks, place), _first(model.charge_networks, place)
    inputs = torch.cat([first[:, 1:][:, order], first[:, :1]], dim=1)  # the charge is the files' last input
    hardness = float(model.equilibration.hardness.detach()[place]) * scale
    return {
        f"weights.{z:03d}.data": _weights(model.networks, place, inputs, scale),
        f"weightse.{z:03d}.data": _weights(model.charge_networks, place, charged[:, order], scale),
        f"hardness.{z:03d}.data": [repr(hardness)],
    }


def _first(networks: ElementNetworks, place: int) -> Tensor:
    """Weights of an element's first layer `[outputs, inputs]`."""
    return networks.layers[place][0].weight.detach().double()  # type: ignore[index, union-attr, return-value]


def _weights(networks: ElementNetworks, place: int, first: Tensor, scale: float) -> list[str]:
    """Layer after layer the weights [inputs, outputs] row by row, then the biases; the output times a scale."""
    layers: list[nn.Linear] = list(networks.layers[place])  # type: ignore[arg-type]
    found: list[float] = []
    for depth, layer in enumerate(layers):
        factor = scale if depth == len(layers) - 1 else 1.0
        weight = first if depth == 0 else layer.weight.detach().double()
        found += (factor * weight.T).flatten().tolist()
        found += (factor * layer.bias.detach().double()).tolist()
    return [repr(value) for value in found]
