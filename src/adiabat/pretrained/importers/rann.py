"""LAMMPS's files of RANN potentials: fingerprints, screening and a network for each element, as text.

Format: documentation of LAMMPS's `pair_style rann`; D. Dickel, M. Nitol and C. D. Barrett, Comput. Mater. Sci. 196,
110481 (2021), doi:10.1016/j.commatsci.2021.110481. A file is of sections: a line with names between colons and
underscores, and its values on the lines below. Energies are in eV, distances in Å.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import torch
from torch import nn

from adiabat.architectures.local.rann import RANN, RANNConfig
from adiabat.descriptors.rann import Fingerprint, RANNFingerprintsConfig
from adiabat.elements import MASSES, number
from adiabat.errors import CheckpointError, ConfigError
from adiabat.files import write_text
from adiabat.nn.element_networks import ElementNetworks
from adiabat.potential import Potential, Referenced

_STYLES = {
    (kind, screened): kind + "screened" * screened for kind in ("radial", "bond") for screened in (False, True)
}
_ACTIVATIONS = {"sigI": "sigi", "linear": "linear"}
_LONGEST = 4094  # characters of a line that the program reads
_NEARLY_ZERO = 1e-300  # written for 0, which the program takes for a number that was forgotten

Sections = dict[tuple[str, ...], list[list[str]]]


def read_rann(path: str | Path) -> RANN:
    """The potential of a file, in float64, eV and Å.

    Raises:
        CheckpointError: the file is missing or not complete, has fingerprints of spins, or networks whose hidden
            layers are not the same for all elements.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"there is no file {path}: give a potential of LAMMPS's pair_style rann.")
    try:
        return _potential(_sections(path.read_text()))
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a potential of pair_style rann, or not complete: {error}.") from None


def write_rann(potential: Potential, path: str | Path) -> Path:
    """Writes a file for LAMMPS; scaling of features and reference energies become part of the networks.

    Raises CheckpointError if it is not one of these potentials, or the program has no such fingerprint or function.
    """
    model = potential.model if isinstance(potential, Referenced) else potential
    if not isinstance(model, RANN):
        raise CheckpointError(f"{type(model).__name__} has no file format of RANN: only the method rann has.")
    if model.config.activation not in _ACTIVATIONS.values():
        raise CheckpointError(f"RANN's files have no activation '{model.config.activation}': use sigi.")
    lines = list(_head(model))
    for place, z in enumerate(model.elements):
        scale, energy = 1.0, 0.0
        if isinstance(potential, Referenced):
            scale, energy = float(potential.scale), float(potential.reference[z])
        lines += _network(model, place, scale, energy)
    if max(map(len, lines)) > _LONGEST:
        raise CheckpointError(f"a row of weights has over {_LONGEST} characters: use fewer fingerprints or nodes.")
    write_text(Path(path), "\n".join(lines) + "\n")
    return Path(path)


def _words(line: str) -> list[str]:
    return [word for word in re.split(r"[:_,\s]+", line) if word]


def _sections(text: str) -> Sections:
    """Values, line by line, below each line with a colon."""
    found: Sections = {}
    values: list[list[str]] = []
    for line in text.splitlines():
        line = line.partition("#")[0]
        if ":" in line:
            values = found.setdefault(tuple(_words(line)), [])
        elif line.strip():
            values.append(_words(line))
    return found


def _potential(sections: Sections) -> RANN:
    names = sections["atomtypes",][0]
    networks = {name: _layers(sections, name) for name in names}
    shapes = {tuple(weight.shape[0] for weight, _, _ in layers) for layers in networks.values()}
    functions = {function for layers in networks.values() for _, _, function in layers[:-1]}
    if len(shapes) != 1 or len(functions) > 1 or any(layers[-1][2] != "linear" for layers in networks.values()):
        raise ValueError("hidden layers or activations differ between elements, or the last is not linear")
    fingerprints = tuple(_fingerprints(sections))
    config = RANNConfig(
        structure=RANNFingerprintsConfig(
            cutoff=max(f.cutoff for f in fingerprints), fingerprints=fingerprints, screening=_screening(sections)
        ),
        hidden=shapes.pop()[:-1],
        activation=functions.pop() if functions else "linear",
    )
    try:
        model = RANN(config, map(number, names)).double()
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".")) from None
    with torch.no_grad():
        for name, layers in networks.items():
            for layer, (weight, bias, _) in zip(_own(model, model.elements.index(number(name))), layers, strict=True):
                if layer.weight.shape != weight.shape:
                    raise ValueError(f"{name} has {layer.in_features} inputs, but weights for {weight.shape[1]}")
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
    return model


def _layers(sections: Sections, name: str) -> list[tuple[torch.Tensor, torch.Tensor, str]]:
    """Weights `[outputs, inputs]`, biases and activation of each of an element's layers."""
    found = []
    for depth in map(str, range(int(sections["networklayers", name][0][0]) - 1)):
        weight = torch.tensor([list(map(float, row)) for row in sections["weight", name, depth]], dtype=torch.float64)
        bias = torch.tensor([float(row[0]) for row in sections["bias", name, depth]], dtype=torch.float64)
        if len(weight) != len(bias) or len(bias) != int(sections["layersize", name, str(int(depth) + 1)][0][0]):
            raise ValueError(f"layer {depth} of {name} has {len(weight)} rows of weights and {len(bias)} biases")
        found.append((weight, bias, _ACTIVATIONS[sections["activationfunctions", name, depth][0][0]]))
    return found


def _fingerprints(sections: Sections) -> Iterator[Fingerprint]:
    styles = {style: own for own, style in _STYLES.items()}
    for key, rows in sections.items():
        if key[0] != "fingerprints":
            continue
        words = [word for row in rows for word in row]
        for style, place in zip(words[::2], words[1::2], strict=True):
            if style not in styles:
                raise ValueError(f"fingerprint '{style}' is not one of {', '.join(styles)}")

            def of(name: str, own: tuple[str, ...] = (*key[1:], style, place)) -> list[str]:
                return sections["fingerprintconstants", *own, name][0]

            kind, screened = styles[style]
            shared = {"kind": kind, "screened": screened, "center": key[1], "neighbors": key[2:]}
            shared |= {"distance": of("re")[0], "cutoff": of("rc")[0], "width": of("dr")[0]}
            if kind == "radial":
                known = ("fingerprintconstants", *key[1:], style, place, "o") in sections
                lowest = int(of("o")[0]) if known else 0
                shared |= {"lowest": lowest, "alphas": _some(of("alpha"), int(of("n")[0]) - lowest + 1)}
            else:
                shared |= {"cosines": int(of("m")[0]), "alphas": _some(of("alphak"), int(of("k")[0]))}
            yield Fingerprint.parse(shared)


def _some(words: list[str], count: int) -> tuple[float, ...]:
    if len(words) < count:
        raise ValueError(f"there are {len(words)} decays where {count} are needed")
    return tuple(map(float, words[:count]))


def _screening(sections: Sections) -> dict[str, tuple[float, float]]:
    found: dict[str, dict[str, float]] = {}
    for key, rows in sections.items():
        if key[0] == "screening":
            found.setdefault("_".join(key[1:4]), {"Cmin": 0.8, "Cmax": 2.8})[key[4]] = float(rows[0][0])
    return {key: (own["Cmin"], own["Cmax"]) for key, own in found.items()}


def _own(model: RANN, place: int) -> list[nn.Linear]:
    networks = model.head.members[0]
    assert isinstance(networks, ElementNetworks)
    return list(networks.layers[place])  # type: ignore[arg-type]


def _row(values: Iterable[float]) -> str:
    return " ".join(repr(float(value) or _NEARLY_ZERO) for value in values)


def _head(model: RANN) -> Iterator[str]:
    """Everything but the networks."""
    names, fingerprints = model.descriptor.names, model.descriptor.fingerprints
    yield from ("# written by adiabat", "atomtypes:", " ".join(names))
    for z, name in zip(model.elements, names, strict=True):
        yield from (f"mass:{name}:", repr(float(MASSES[z])))
        yield from (f"fingerprintsperelement:{name}:", str(sum(f.center == name for f in fingerprints)))
    combinations: dict[str, list[tuple[str, Fingerprint]]] = {}
    for name in names:  # the program takes them in the order of these lines, which those of a combination share
        previous = ""
        for f in (f for f in fingerprints if f.center == name):
            combination = "_".join((f.center, *f.neighbors))
            if combination in combinations and combination != previous:
                raise CheckpointError(f"fingerprints of {combination} are not one after the other: sort them.")
            own, previous = combinations.setdefault(combination, []), combination
            own.append((f"{_STYLES[f.kind, f.screened]}_{len(own)}", f))
    for combination, listed in combinations.items():
        yield from (f"fingerprints:{combination}:", " ".join(name for name, _ in listed))
    for combination, listed in combinations.items():
        for name, f in listed:
            for constant, text in _constants(f).items():
                yield from (f"fingerprintconstants:{combination}:{name}:{constant}:", text)
    bounds = model.descriptor.config.bounds(model.elements)
    for places in product(range(len(names)), repeat=3):
        key = "_".join(names[place] for place in places)
        yield from (f"screening:{key}:Cmax:", repr(float(bounds[places][1])))
        yield from (f"screening:{key}:Cmin:", repr(float(bounds[places][0])))


def _constants(f: Fingerprint) -> dict[str, str]:
    shared = {"re": repr(f.distance), "rc": repr(f.cutoff), "dr": repr(f.width)}
    decays = " ".join(map(repr, f.alphas))
    if f.kind == "bond":
        return shared | {"alphak": decays, "k": str(len(f.alphas)), "m": str(f.cosines)}
    highest = f.lowest + len(f.alphas) - 1
    if not highest:
        raise CheckpointError("RANN's files have no radial fingerprint whose highest power is 0: use another one.")
    return shared | {"alpha": decays, "o": str(f.lowest), "n": str(highest)}


def _network(model: RANN, place: int, scale: float, energy: float) -> Iterator[str]:
    """The sections of one element's network, times a scale and plus an energy, eV."""
    assert model.scaling is not None
    name, layers = model.descriptor.names[place], _own(model, place)
    weights = [layer.weight.detach().double() for layer in layers]
    biases = [layer.bias.detach().double() for layer in layers]
    size = layers[0].in_features
    weights[0] = weights[0] * model.scaling.factor[place, :size].double()
    biases[0] = biases[0] - weights[0] @ model.scaling.shift[place, :size].double()
    weights[-1], biases[-1] = scale * weights[-1], scale * biases[-1] + energy
    yield from (f"networklayers:{name}:", str(len(layers) + 1))
    for depth, width in enumerate([size, *map(len, biases)]):
        yield from (f"layersize:{name}:{depth}:", str(width))
    for depth, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        yield from (f"weight:{name}:{depth}:", *map(_row, weight.tolist()))
        yield from (f"bias:{name}:{depth}:", *(_row([value]) for value in bias.tolist()))
    functions = [model.config.activation] * (len(layers) - 1) + ["linear"]
    names = {own: theirs for theirs, own in _ACTIVATIONS.items()}
    for depth, function in enumerate(functions):
        yield from (f"activationfunctions:{name}:{depth}:", names[function])
