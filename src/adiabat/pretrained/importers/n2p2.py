"""n2p2 and RuNNer folders: input.nn, scaling.data and weights.*.data (doi:10.1021/acs.jctc.8b00770)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import torch

from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.descriptors.symmetry_functions import SymmetryFunction
from adiabat.elements import number
from adiabat.errors import CheckpointError
from adiabat.nn.inner_cutoffs import KINDS
from adiabat.potential import Referenced
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import BOHR, HARTREE, energy_unit

_FUNCTIONS = {"2": "G2", "3": "G4", "9": "G5"}
_ACTIVATIONS = {
    "t": "tanh",
    "p": "softplus",
    "s": "logistic",
    "r": "relu",
    "g": "gaussian",
    "c": "cosine",
    "l": "linear",
}


def from_kit(kit: Kit) -> Imported:
    """The kit's short-range network; the program's atomic energies leave reference energies out."""
    length = float(kit.meta["length_unit_in_angstrom"])
    units = ("eV", "Å") if length == 1.0 else ("Hartree", "Bohr")
    units = (kit.meta.get("energy_unit", units[0]), kit.meta.get("length_unit", units[1]))
    model = read_n2p2(kit.path, length=length, energy=energy_unit(units[0]))
    return Imported({"": model}, energy_unit=units[0], length_unit=units[1], offset=True)


def read_n2p2(folder: str | Path, length: float = BOHR, energy: float = HARTREE) -> Referenced:
    """The potential in a folder of n2p2 or RuNNer files, in float64, eV and Å.

    Args:
        folder: with input.nn, scaling.data and one weights.*.data for each element.
        length: the files' length unit in Å.
        energy: the files' energy unit in eV.

    Raises:
        CheckpointError: a file is missing or asks for something other than a second-generation network.
    """
    folder = Path(folder)
    words = _keywords(folder / "input.nn")
    names = sorted(_one(words, "elements"), key=number)
    elements = [number(n) for n in names]
    functions = [f for n in names for f in _functions(words, n, names, length)]
    cutoff_type, *alpha = _one(words, "cutoff_type")
    *hidden, last = _one(words, "global_activation_short")
    if last != "l":
        raise CheckpointError(f"the output layer of {folder} has activation '{last}': only 'l' (linear) is known.")
    config = BPNNConfig.parse(
        {
            "cutoff": max(f.cutoff for f in functions),
            "cutoff_function": KINDS[int(cutoff_type)],
            "inner": float(alpha[0]) if alpha else 0.0,
            "functions": functions,
            "hidden": [int(n) for n in _one(words, "global_nodes_short")],
            "activations": [_ACTIVATIONS[a] for a in hidden],
        }
    )
    model = BPNN(config, elements).double()
    for place, z in enumerate(elements):
        _fill_weights(model, place, folder / f"weights.{z:03d}.data")
    _fill_scaling(model, words, names, folder / "scaling.data")
    mean = float(words["mean_energy"][0][0]) if "mean_energy" in words else 0.0
    scale = float(words["conv_energy"][0][0]) if "conv_energy" in words else 1.0
    offsets = {number(n): float(e) for n, e in words.get("atom_energy", [])}
    reference = {z: (offsets.get(z, 0.0) + mean) * energy for z in elements}
    return Referenced(model, reference, energy / scale)


def _keywords(file: Path) -> dict[str, list[list[str]]]:
    """Keyword to the argument lists of its lines."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for line in _text(file).splitlines():
        words = line.split("#")[0].split()
        if words:
            found[words[0]].append(words[1:])
    kind = found.get("nnp_type", [["2G"]])[0][0]
    if kind not in ("2G", "2G-HDNNP", "HDNNP-2G", "0", "1"):
        raise CheckpointError(f"{file} is of type {kind}: only second-generation networks (2G) are known.")
    generation = found.get("nnp_generation", [["2"]])[0][0]
    if generation != "2":
        raise CheckpointError(f"{file} is of generation {generation}: only the second is known.")
    return dict(found)


def _one(words: dict[str, list[list[str]]], name: str) -> list[str]:
    if name not in words:
        raise CheckpointError(f"input.nn has no keyword '{name}': is the file complete?")
    return words[name][0]


def _text(file: Path) -> str:
    if not file.exists():
        raise CheckpointError(f"{file} is missing: an n2p2 folder needs input.nn, scaling.data and weights.*.data.")
    return file.read_text()


def _functions(
    words: dict[str, list[list[str]]], center: str, names: list[str], length: float
) -> list[SymmetryFunction]:
    """The functions of one element in the program's order, which scaling.data and the weights follow."""
    found = []
    for own, kind, *rest in words.get("symfunction_short", []):
        if own != center:
            continue
        if kind not in _FUNCTIONS:
            raise CheckpointError(f"symmetry function type {kind} of input.nn is not known: types 2, 3 and 9 are.")
        if kind == "2":
            (near, eta, shift, cutoff), both = rest[:4], ()
            zeta, sign = "1", "1"
        else:
            near, *both, eta, sign, zeta, cutoff = rest[:6]
            shift = rest[6] if len(rest) > 6 else "0"
        neighbors = sorted((near, *both), key=names.index)
        angular = () if kind == "2" else (float(zeta), float(sign))
        key = (int(kind), float(cutoff), float(eta), float(shift), *angular, *[names.index(n) for n in neighbors])
        found.append((key, _FUNCTIONS[kind], neighbors, float(zeta), int(float(sign))))
    return [
        SymmetryFunction(
            kind=kind,  # type: ignore[arg-type]
            center=center,
            neighbors=tuple(near),
            eta=key[2] / length**2,
            shift=key[3] * length,
            zeta=zeta,
            sign=sign,  # type: ignore[arg-type]
            cutoff=key[1] * length,
        )
        for key, kind, near, zeta, sign in sorted(found)
    ]


def _fill_weights(model: BPNN, place: int, file: Path) -> None:
    """First column of the file: for each layer the weights [inputs, outputs] row by row, then the biases."""
    values = torch.tensor(
        [float(line.split()[0]) for line in _text(file).splitlines() if line.strip() and line.strip()[0] != "#"],
        dtype=torch.float64,
    )
    start = 0
    with torch.no_grad():
        for layer in model.networks.layers[place]:  # type: ignore[union-attr]
            rows, columns = layer.in_features, layer.out_features
            layer.weight.copy_(values[start : start + rows * columns].reshape(rows, columns).T)
            layer.bias.copy_(values[start + rows * columns : start + (rows + 1) * columns])
            start += (rows + 1) * columns
    if start != len(values):
        raise CheckpointError(f"{file} has {len(values)} weights where the network of input.nn has {start}.")


def _fill_scaling(model: BPNN, words: dict[str, list[list[str]]], names: list[str], file: Path) -> None:
    """Turns the program's scaling rule and the minimum, maximum, mean and sigma of each function into ours."""
    low = float(words["scale_min_short"][0][0]) if "scale_min_short" in words else 0.0
    high = float(words["scale_max_short"][0][0]) if "scale_max_short" in words else 1.0
    centered, ranged = "center_symmetry_functions" in words, "scale_symmetry_functions" in words
    by_sigma = "scale_symmetry_functions_sigma" in words
    rows = [line.split() for line in _text(file).splitlines() if line.strip() and line.strip()[0] != "#"]
    for element, index, *numbers in (row for row in rows if len(row) >= 5):
        smallest, largest, mean, *sigma = (float(x) for x in numbers)
        factor = 1.0
        if by_sigma:
            factor = (high - low) / sigma[0]
        elif ranged:
            factor = (high - low) / (largest - smallest)
        shift = mean if by_sigma or centered else smallest if ranged else 0.0
        offset = low if by_sigma or ranged else 0.0
        # low + factor (G − shift) as factor (G − (shift − low / factor))
        model.scaling.shift[int(element) - 1, int(index) - 1] = shift - offset / factor
        model.scaling.factor[int(element) - 1, int(index) - 1] = factor
