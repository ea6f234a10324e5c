"""aenet's potentials, one file for each element: element networks on Chebyshev fingerprints.

Program: N. Artrith and A. Urban, Comput. Mater. Sci. 114, 135 (2016), doi:10.1016/j.commatsci.2015.11.047.
A file holds a network, the fingerprints with their statistics, and how energies were normalized, as records of
Fortran (the program's own files) or as text (`.nn.ascii`). Both are read; text is written. Until November 2019 the
program's angular polynomials were those of an interval from 0 to π at cosines, which the statistics of a file tell.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adiabat.architectures.local.aenet import Aenet, AenetConfig
from adiabat.descriptors.chebyshev import aenet_weights
from adiabat.elements import number, symbol
from adiabat.errors import CheckpointError
from adiabat.files import write_text
from adiabat.nn.element_networks import ElementNetworks
from adiabat.potential import Potential, Referenced

_ACTIVATIONS = {0: "linear", 1: "tanh", 2: "logistic"}

# what a file holds, one after the other: name, type (integer, double, string, logical) and how many
_FIELDS = """
layers i 1 | widest i 1 | size i 1 | values i 1 | nodes i layers | activations i layers-1 | ends i layers |
begins i layers | weights d size | description s 1 | element s 1 | kinds i 1 | neighbors s kinds | shortest d 1 |
cutoff d 1 | type s 1 | features i 1 | parameters i 1 | functions i features | constants d parameters*features |
environments i kinds*features | evaluations i 1 | low d features | high d features | mean d features |
square d features | file s 1 | normalized l 1 | scale d 1 | shift d 1 | types i 1 | names s types | atoms d types |
total i 1 | structures i 1 | energies d 3
"""
_FORMS = tuple(field.split() for field in _FIELDS.split("|"))
Content = dict[str, list[Any]]


def read_aenet(files: Iterable[str | Path]) -> Referenced:
    """The potential of one file for each element, in float64, eV and Å.

    Args:
        files: path of each, in any order.

    Raises:
        CheckpointError: a file is missing, is none of aenet's, has other fingerprints than Chebyshev expansions of
            the same elements in the same order, or activations other than tanh, logistic and linear.
    """
    every = {number(own["element"][0]): own for own in (_read(Path(file)) for file in files)}
    first = next(iter(every.values()))
    for z, own in every.items():
        _check(own, first, symbol(z))
    elements = sorted(every)
    names = first["neighbors"]
    if sorted(map(number, names)) != elements:
        raise CheckpointError(
            f"the files are of {', '.join(map(symbol, elements))}, but the fingerprints of {', '.join(names)}: give"
            " one file for each."
        )
    model = Aenet(_options(first), elements).double()
    with torch.no_grad():
        for place, z in enumerate(elements):
            _fill(model, place, every[z])
    energies = {z: dict(zip(own["names"], own["atoms"], strict=True)) for z, own in every.items()}
    reference = {z: own["shift"][0] + energies[z][symbol(z)] for z, own in every.items()}
    return Referenced(model, reference, 1.0 / first["scale"][0])


def write_aenet(potential: Potential, folder: str | Path) -> list[Path]:
    """Writes SYMBOL.nn.ascii of each element, in the program's text format, with numbers that read back exactly.

    Raises CheckpointError if it is not one of these potentials, or its weights of elements are not the program's.
    """
    model = potential.model if isinstance(potential, Referenced) else potential
    if not isinstance(model, Aenet):
        raise CheckpointError(f"{type(model).__name__} has no file format of aenet: only the method aenet has.")
    spins = dict(zip(model.elements, model.config.descriptor().spins(model.elements), strict=True))
    order = sorted(spins, key=lambda z: spins[z])
    if [spins[z] for z in order] != aenet_weights(len(order)):
        raise CheckpointError(
            f"the weights of elements are {sorted(spins.values())}, but {aenet_weights(len(order))} in aenet: fit a"
            " model with these."
        )
    scale, energies = 1.0, dict.fromkeys(model.elements, 0.0)
    if isinstance(potential, Referenced):
        scale = float(potential.scale)
        energies = {z: float(potential.reference[z]) for z in model.elements}
    paths = []
    for place, z in enumerate(model.elements):
        content = _content(model, place, [symbol(own) for own in order])
        content |= {"scale": [1.0 / scale], "atoms": [energies[own] for own in order]}
        paths.append(Path(folder) / f"{symbol(z)}.nn.ascii")
        write_text(paths[-1], _text(content))
    return paths


def _count(size: str, found: Content) -> int:
    """How many values a field has, from those read before."""
    if size.isdigit():
        return int(size)
    base, _, less = size.partition("-")
    return prod(found[part][0] for part in base.split("*")) - int(less or 0)


def _read(path: Path) -> Content:
    """All fields of a file."""
    if not path.exists():
        raise CheckpointError(f"there is no file {path}: give aenet's file of each element.")
    data = path.read_bytes()
    try:
        return _from_records(data) if data[:4] == struct.pack("<i", 4) else _from_text(data.decode())
    except (ValueError, IndexError, struct.error) as error:
        raise CheckpointError(f"{path} is not a potential of aenet, or not complete: {error}.") from None


def _from_records(data: bytes) -> Content:
    """Fields of a file of Fortran records: a length of four bytes before and behind each."""
    found: Content = {}
    begin = 0
    for name, kind, size in _FORMS:
        (length,) = struct.unpack_from("<i", data, begin)
        record = data[begin + 4 : begin + 4 + length]
        begin += 8 + length
        count = _count(size, found)
        if kind == "s":
            width = length // count
            found[name] = [record[k * width : (k + 1) * width].decode().strip() for k in range(count)]
        else:
            found[name] = list(struct.unpack(f"<{count}{'d' if kind == 'd' else 'i'}", record))
    return found


def _from_text(text: str) -> Content:
    """Fields of a text file: strings have lines of their own, numbers are wherever they are."""
    lines = text.splitlines()
    found: Content = {}
    for name, kind, size in _FORMS:
        count = _count(size, found)
        if kind == "s":
            found[name] = [lines.pop(0).strip() for _ in range(count)]
            continue
        words: list[str] = []
        while len(words) < count:
            words += lines.pop(0).split()
        convert = {"i": int, "d": lambda word: float(word.replace("D", "E")), "l": lambda word: int(word == "T")}[
            kind
        ]
        found[name] = [convert(word) for word in words]
        if len(words) != count:
            raise ValueError(f"{name} has {len(words)} values instead of {count}")
    return found


def _text(content: Content) -> str:
    """A text file with these fields."""
    lines = []
    for name, kind, _ in _FORMS:
        if kind == "s":
            lines += [str(word) for word in content[name]]
        elif kind == "l":
            lines += ["T" if content[name][0] else "F"]
        else:
            words = [f"{value:24.16e}" if kind == "d" else f"{value:17d}" for value in content[name]]
            lines += [" ".join(words[k : k + 4]) for k in range(0, len(words), 4)]
    return "\n".join(lines) + "\n"


def _check(own: Content, first: Content, name: str) -> None:
    if own["type"][0].lower() != "chebyshev":
        raise CheckpointError(f"the fingerprints of {name} are '{own['type'][0]}', and only Chebyshev is read.")
    for key in ("neighbors", "nodes", "activations", "scale"):
        if own[key] != first[key]:
            raise CheckpointError(
                f"{name} has {key} {own[key]} and others have {first[key]}: only equal ones are read."
            )
    if own["constants"][:4] != first["constants"][:4]:
        raise CheckpointError(f"{name} has other fingerprints than the other elements: only equal ones are read.")
    kinds = {_ACTIVATIONS.get(kind) for kind in own["activations"][:-1]}
    if len(kinds) != 1 or None in kinds or own["activations"][-1]:
        raise CheckpointError(f"{name} has activations {own['activations']}: only tanh or logistic layers are read.")


def _options(first: Content) -> AenetConfig:
    far, order, near, turns = first["constants"][:4]
    names = first["neighbors"]
    return AenetConfig(
        cutoff=far,
        radial_order=round(order),
        angular_cutoff=near,
        angular_order=round(turns),
        domain="pi" if _beyond(first) else "cosine",
        weights=dict(zip(names, aenet_weights(len(names)), strict=True)),
        hidden=tuple(first["nodes"][1:-1]),
        activation=_ACTIVATIONS[first["activations"][0]],
    )


def _beyond(own: Content) -> bool:
    """Whether angular fingerprints are larger than polynomials of −1 … 1 allow: the program's until November 2019."""
    begin, count = round(own["constants"][1]) + 1, round(own["constants"][3]) + 1
    angular = own["mean"][begin : begin + count]
    return any(abs(mean) > angular[0] * (1.0 + 1e-9) for mean in angular)


def _layers(model: Aenet, place: int) -> list[nn.Linear]:
    networks = model.head.members[0]
    assert isinstance(networks, ElementNetworks)
    return list(networks.layers[place])  # type: ignore[arg-type]


def _fill(model: Aenet, place: int, own: Content) -> None:
    """Copies an element's network and scaling to its place."""
    assert model.scaling is not None
    begin = 0
    weights = torch.tensor(own["weights"], dtype=torch.float64)
    for layer in _layers(model, place):
        rows, columns = layer.out_features, layer.in_features + 1
        both = weights[begin : begin + rows * columns].view(columns, rows)
        layer.weight.copy_(both[:-1].T)
        layer.bias.copy_(both[-1])
        begin += rows * columns
    mean = torch.tensor(own["mean"], dtype=torch.float64)
    spread = (torch.tensor(own["square"], dtype=torch.float64) - mean.square()).clamp(min=0.0).sqrt()
    model.scaling.shift[place] = mean
    model.scaling.factor[place] = torch.where(spread > 1e-10, 1.0 / spread, 0.0)


def _content(model: Aenet, place: int, names: list[str]) -> Content:
    """The fields of one element's file, without those of energies."""
    assert model.scaling is not None
    layers = _layers(model, place)
    nodes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    sizes = [layer.weight.numel() + layer.bias.numel() for layer in layers]
    weights = [torch.cat((layer.weight.detach().T, layer.bias.detach()[None])).flatten() for layer in layers]
    shift, factor = (values[place].double() for values in (model.scaling.shift, model.scaling.factor))
    square = shift.square() + torch.where(factor != 0.0, 1.0 / factor.square(), 0.0)
    config, size, none = model.config, nodes[0], [0.0] * len(names)
    constants = [config.cutoff, float(config.radial_order), config.angular_cutoff, float(config.angular_order)]
    activation = next(k for k, name in _ACTIVATIONS.items() if name == config.activation)
    return {
        "layers": [len(nodes)], "widest": [max(nodes)], "size": [sum(sizes)],
        "values": [sum(nodes) + len(nodes) - 1], "nodes": nodes,
        "activations": [activation] * (len(layers) - 1) + [0],
        "ends": [0, *accumulate(sizes)], "begins": [0, *accumulate(n + 1 for n in nodes[:-1])],
        "weights": torch.cat(weights).double().tolist(),
        "description": ["written by adiabat"], "element": [symbol(model.elements[place])], "kinds": [len(names)],
        "neighbors": names, "shortest": [0.0], "cutoff": [config.cutoff], "type": ["Chebyshev"], "features": [size],
        "parameters": [4], "functions": [0] * size, "constants": constants + [0.0] * (4 * size - 4),
        "environments": [0] * (len(names) * size), "evaluations": [1],
        "low": shift.tolist(), "high": shift.tolist(), "mean": shift.tolist(), "square": square.tolist(),
        "file": ["none"], "normalized": [1], "scale": [1.0], "shift": [0.0], "types": [len(names)], "names": names,
        "atoms": none, "total": [1], "structures": [1], "energies": [-1.0, 1.0, 0.0],
    }  # fmt: skip
