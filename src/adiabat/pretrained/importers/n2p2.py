"""n2p2 and RuNNer folders: input.nn, scaling.data and weights.*.data (doi:10.1021/acs.jctc.8b00770).

Potentials of the second and of the fourth generation; the latter have weightse.*.data and hardness.*.data too. They
are written by n2p2_writer.py.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.architectures.local.hdnnp4g import HDNNP4G, HDNNP4GConfig
from adiabat.descriptors.scaling import FeatureScaling
from adiabat.descriptors.symmetry_functions import SymmetryFunction
from adiabat.elements import number
from adiabat.errors import CheckpointError
from adiabat.nn.element_networks import ElementNetworks
from adiabat.nn.inner_cutoffs import KINDS
from adiabat.potential import Referenced
from adiabat.pretrained.kit import Imported, Kit
from adiabat.units import BOHR, HARTREE, energy_unit

_EXPONENTIAL, _COMPACT = "eta sign zeta cutoff shift", "begin cutoff left right core"
# the program's type to our kind and what its line gives after center and type
FUNCTIONS = {
    "2": ("G2", "near eta shift cutoff"),
    "3": ("G4", f"near near {_EXPONENTIAL}"),
    "9": ("G5", f"near near {_EXPONENTIAL}"),
    "12": ("G2", "eta shift cutoff"),
    "13": ("G4", "eta shift sign zeta cutoff"),
    "20": ("P2", "near begin cutoff core"),
    "21": ("P4", f"near near {_COMPACT}"),
    "22": ("P5", f"near near {_COMPACT}"),
    "23": ("P2", "begin cutoff core"),
    "24": ("P4", _COMPACT),
    "25": ("P5", _COMPACT),
}
CORES = {"p1": "poly1", "p2": "poly2", "p3": "poly3", "p4": "poly4", "e": "exponential"}
ACTIVATION_CODES = {
    "t": "tanh",
    "p": "softplus",
    "s": "logistic",
    "r": "relu",
    "g": "gaussian",
    "c": "cosine",
    "l": "linear",
}
UNSCREENED = 1e-9  # fraction of the cutoff within which there are no atoms
SCREENINGS = {"c": "cosine", "p1": "poly1", "p2": "poly2", "p3": "poly3", "p4": "poly4"}


def from_kit(kit: Kit) -> Imported:
    """The kit's potential; the program's atomic energies are the short-range networks' without references."""
    length = float(kit.meta["length_unit_in_angstrom"])
    units = ("eV", "Å") if length == 1.0 else ("Hartree", "Bohr")
    units = (kit.meta.get("energy_unit", units[0]), kit.meta.get("length_unit", units[1]))
    model = read_n2p2(kit.path, length=length, energy=energy_unit(units[0]))
    found = Imported({"": model}, energy_unit=units[0], length_unit=units[1], offset=True)
    if isinstance(model.model, HDNNP4G):
        return replace(found, beside=("electrostatic_energies",), supercells=True)
    return found


def read_n2p2(folder: str | Path, length: float = BOHR, energy: float = HARTREE) -> Referenced:
    """The potential in a folder of n2p2 or RuNNer files, in float64, eV and Å.

    Args:
        folder: with input.nn, scaling.data and one weights.*.data for each element; of a fourth-generation potential
            also one weightse.*.data and one hardness.*.data.
        length: the files' length unit in Å.
        energy: the files' energy unit in eV.

    Raises:
        CheckpointError: a file is missing or asks for something other than a network of the second or fourth
            generation.
    """
    folder = Path(folder)
    words = _keywords(folder / "input.nn")
    if _generation(words, folder / "input.nn") == 4:
        return _read_fourth(folder, words, length, energy)
    names = sorted(_one(words, "elements"), key=number)
    elements = [number(n) for n in names]
    options = _functions_of_all(words, names, length)
    options["hidden"], options["activations"] = _layers(words, "short")
    model = BPNN(BPNNConfig.parse(options), elements).double()
    for place, z in enumerate(elements):
        _fill_weights(model.networks, place, folder / f"weights.{z:03d}.data")
    _fill_scaling(model.scaling, words, folder / "scaling.data")
    mean = float(words["mean_energy"][0][0]) if "mean_energy" in words else 0.0
    scale = float(words["conv_energy"][0][0]) if "conv_energy" in words else 1.0
    return Referenced(model, _reference(words, elements, energy, mean), energy / scale)


def _read_fourth(folder: Path, words: dict[str, list[list[str]]], length: float, energy: float) -> Referenced:
    """A fourth-generation potential. Its networks give eV, as charges act on each other in eV."""
    if {"mean_energy", "conv_energy", "conv_length"} & words.keys():
        raise CheckpointError(f"{folder} has normalized units, which a fourth-generation potential is not read in.")
    names = sorted(_one(words, "elements"), key=number)
    elements = [number(n) for n in names]
    options = _functions_of_all(words, names, length)
    hidden, activations = _layers(words, "short")
    charge_hidden, charge_activations = _layers(words, "electrostatic")
    if len({*activations, *charge_activations}) == 1:
        activations = charge_activations = activations[:1]
    if activations != charge_activations:
        raise CheckpointError(
            f"the networks of {folder} have activations {activations} and {charge_activations}: only equal ones are"
            " known."
        )
    permittivity = float(words["four_pi_epsilon"][0][0]) if "four_pi_epsilon" in words else 1.0
    options |= {
        "hidden": hidden,
        "charge_hidden": charge_hidden,
        "activation": activations,
        "widths": {name: float(width) * length for name, width in words.get("fixed_gausswidth", [])},
        "split": _split(words, energy / length / permittivity),  # whose rule leaves the permittivity out
        "coulomb": energy * length / permittivity,
        **_screening(words, options["cutoff"] / length),
    }
    if set(options["widths"]) != set(names):
        raise CheckpointError(f"{folder}/input.nn needs one fixed_gausswidth for each of {', '.join(names)}.")
    model = HDNNP4G(HDNNP4GConfig.parse(options), elements).double()
    for place, z in enumerate(elements):
        _fill_weights(model.charge_networks, place, folder / f"weightse.{z:03d}.data", energy)
        _fill_weights(model.networks, place, folder / f"weights.{z:03d}.data", energy, first=True)
        hardness = _column(folder / f"hardness.{z:03d}.data")[0]
        with torch.no_grad():
            model.equilibration.root[place] = (hardness * energy) ** 0.5
    _fill_scaling(model.scaling, words, folder / "scaling.data")
    return Referenced(model, _reference(words, elements, energy))


def _functions_of_all(words: dict[str, list[list[str]]], names: list[str], length: float) -> dict[str, Any]:
    """Options of the symmetry functions."""
    functions = [f for n in names for f in _functions(words, n, names, length)]
    cutoff_type, *alpha = _one(words, "cutoff_type")
    return {
        "cutoff": max(f.cutoff for f in functions),
        "cutoff_function": KINDS[int(cutoff_type)],
        "inner": float(alpha[0]) if alpha else 0.0,
        "functions": functions,
    }


def _layers(words: dict[str, list[list[str]]], kind: str) -> tuple[list[int], list[str]]:
    """Nodes and activations of the hidden layers of the short or electrostatic networks."""
    *hidden, last = _one(words, f"global_activation_{kind}")
    if last != "l":
        raise CheckpointError(f"the output layer has activation '{last}': only 'l' (linear) is known.")
    return [int(n) for n in _one(words, f"global_nodes_{kind}")], [ACTIVATION_CODES[a] for a in hidden]


def _reference(
    words: dict[str, list[list[str]]], elements: list[int], energy: float, mean: float = 0.0
) -> dict[int, float]:
    offsets = {number(n): float(e) for n, e in words.get("atom_energy", [])}
    return {z: (offsets.get(z, 0.0) + mean) * energy for z in elements}


def _screening(words: dict[str, list[list[str]]], cutoff: float) -> dict[str, Any]:
    """Radii of the screening over the cutoff, its function; without one, charges' own energy alone is left out."""
    if "screen_electrostatics" not in words:
        return {"screening": [0.0, UNSCREENED]}
    start, stop, *function = words["screen_electrostatics"][0]
    name = function[0] if function else "c"
    if name not in SCREENINGS:
        raise CheckpointError(f"screening with function '{name}' is not known: {', '.join(SCREENINGS)} are.")
    return {"screening": [float(start) / cutoff, float(stop) / cutoff], "screening_function": SCREENINGS[name]}


def _split(words: dict[str, list[list[str]]], force: float) -> dict[str, Any]:
    """Where the program splits Ewald's sum; its precision is a force with the method of Kolafa and Perram."""
    method = words.get("ewald_truncation_error_method", [["0"]])[0][0]
    precision, *charge = words.get("ewald_prec", [["1e-6"]])[0]
    if method == "0":
        return {"rule": "jackson-catlow", "precision": float(precision)}
    if len(charge) > 1:
        raise CheckpointError("ewald_prec with a radius is not known: give precision and largest charge alone.")
    largest = float(charge[0]) if charge else 1.0
    return {"rule": "kolafa-perram", "precision": float(precision) * force, "charge": largest}


def _keywords(file: Path) -> dict[str, list[list[str]]]:
    """Keyword to the argument lists of its lines."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for line in _text(file).splitlines():
        words = line.split("#")[0].split()
        if words:
            found[words[0]].append(words[1:])
    return dict(found)


def _generation(words: dict[str, list[list[str]]], file: Path) -> int:
    """2 or 4."""
    kind = words.get("nnp_type", words.get("nnp_generation", [["2"]]))[0][0]
    if kind in ("2G", "2G-HDNNP", "HDNNP-2G", "0", "1", "2"):
        return 2
    if kind in ("4G", "4G-HDNNP", "HDNNP-4G", "4"):
        return 4
    raise CheckpointError(f"{file} is of type {kind}: only networks of the second and fourth generation are known.")


def _one(words: dict[str, list[list[str]]], name: str) -> list[str]:
    if name not in words:
        raise CheckpointError(f"input.nn has no keyword '{name}': is the file complete?")
    return words[name][0]


def _text(file: Path) -> str:
    if not file.exists():
        raise CheckpointError(
            f"{file} is missing: an n2p2 folder needs input.nn, scaling.data and weights.*.data; one of the fourth"
            " generation also weightse.*.data and hardness.*.data."
        )
    return file.read_text()


def _functions(
    words: dict[str, list[list[str]]], center: str, names: list[str], length: float
) -> list[SymmetryFunction]:
    """The functions of one element in the program's order, which scaling.data and the weights follow."""
    found = []
    for own, kind, *rest in [*words.get("symfunction_short", []), *words.get("symfunction", [])]:
        if own == center:
            found.append(read_function(center, kind, rest, names, length))
    return [function for _, function in sorted(found, key=lambda one: one[0])]


def read_function(
    center: str, kind: str, rest: list[str], names: list[str], length: float
) -> tuple[tuple[Any, ...], SymmetryFunction]:
    """The function of a line, after what it is sorted by."""
    if kind not in FUNCTIONS:
        raise CheckpointError(
            f"symmetry function type {kind} of input.nn is not known: types {', '.join(FUNCTIONS)} are."
        )
    own, columns = FUNCTIONS[kind]
    pairs = list(zip(columns.split(), rest, strict=False))  # the shift of types 3 and 9 may be left out
    near = sorted((word for column, word in pairs if column == "near"), key=names.index)
    given = {column: word for column, word in pairs if column != "near"}
    core = given.pop("core", "")
    value = {column: float(word) for column, word in given.items()}
    places = [names.index(n) for n in near]
    options: dict[str, Any] = {"kind": own, "center": center, "neighbors": near}
    options |= {name: value[name] * length for name in ("cutoff", "shift", "begin") if name in value}
    if own.startswith("P"):
        ends = [value[side] for side in ("left", "right") if side in value]
        if core.removesuffix("a") not in CORES:
            raise CheckpointError(f"input.nn has a function of subtype '{core}': {', '.join(CORES)} are known.")
        options |= {"core": CORES[core.removesuffix("a")], "asymmetric": core.endswith("a")}
        options |= {"angles": ends} if ends else {}
        key = (int(kind), core, *places, value["cutoff"], value["begin"], *ends)
    else:
        zeta, sign = value.get("zeta", 1.0), value.get("sign", 1.0)
        options |= {"eta": value["eta"] / length**2, "zeta": zeta, "sign": int(sign)}
        key = (int(kind), value["cutoff"], value["eta"], value.get("shift", 0.0), zeta, sign, *places)
    return key, SymmetryFunction.parse(options)


def _rows(file: Path) -> list[list[str]]:
    """The words of every line that is not empty or a comment."""
    return [line.split() for line in _text(file).splitlines() if line.strip() and line.strip()[0] != "#"]


def _column(file: Path) -> list[float]:
    return [float(row[0]) for row in _rows(file)]


def _fill_weights(networks: ElementNetworks, place: int, file: Path, scale: float = 1.0, first: bool = False) -> None:
    """First column of the file: for each layer the weights [inputs, outputs] row by row, then the biases.

    Args:
        networks: to be filled.
        place: of the element.
        file: of the element.
        scale: what the output is multiplied by.
        first: whether the file's last input is our first.
    """
    values = torch.tensor(_column(file), dtype=torch.float64)
    start, layers = 0, list(networks.layers[place])  # type: ignore[arg-type]
    with torch.no_grad():
        for depth, layer in enumerate(layers):
            rows, columns = layer.in_features, layer.out_features
            end = start + (rows + 1) * columns
            if end > len(values):
                break
            weight = values[start : start + rows * columns].reshape(rows, columns).T
            factor = scale if depth == len(layers) - 1 else 1.0
            layer.weight.copy_(factor * (weight.roll(1, 1) if first and not depth else weight))
            layer.bias.copy_(factor * values[start + rows * columns : end])
            start = end
    wanted = sum(layer.weight.numel() + layer.bias.numel() for layer in layers)
    if wanted != len(values):
        raise CheckpointError(f"{file} has {len(values)} weights where the network of input.nn has {wanted}.")


def _fill_scaling(scaling: FeatureScaling, words: dict[str, list[list[str]]], file: Path) -> None:
    """Turns the program's scaling rule and the minimum, maximum, mean and sigma of each function into ours."""
    low = float(words["scale_min_short"][0][0]) if "scale_min_short" in words else 0.0
    high = float(words["scale_max_short"][0][0]) if "scale_max_short" in words else 1.0
    centered, ranged = "center_symmetry_functions" in words, "scale_symmetry_functions" in words
    by_sigma = "scale_symmetry_functions_sigma" in words
    for element, index, *numbers in (row for row in _rows(file) if len(row) >= 5):
        smallest, largest, mean, *sigma = (float(x) for x in numbers)
        factor = 1.0
        if by_sigma:
            factor = (high - low) / sigma[0]
        elif ranged:
            factor = (high - low) / (largest - smallest)
        shift = mean if by_sigma or centered else smallest if ranged else 0.0
        offset = low if by_sigma or ranged else 0.0
        # low + factor (G − shift) as factor (G − (shift − low / factor))
        scaling.shift[int(element) - 1, int(index) - 1] = shift - offset / factor
        scaling.factor[int(element) - 1, int(index) - 1] = factor
