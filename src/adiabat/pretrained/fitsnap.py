"""FitSNAP's input (doi:10.21105/joss.05118) as a recipe: the same descriptor, row weights, reference and solver."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adiabat.errors import CapabilityError, ConfigError

BAR = 1602176.6208  # in eV/Å³, the unit of the weights of FitSNAP's stresses
_FLAGS = {
    "bzeroflag": "subtract",
    "bnormflag": "normalized",
    "chemflag": "by_element",
    "wselfallflag": "self_in_all",
    "switchflag": "switch",
}
_SOLVERS = {"SVD": "none", "RIDGE": "ridge", "ARD": "relevance", "LASSO": "lasso"}
_LABELS = {"eweight": "energy", "fweight": "forces", "vweight": "stress"}
_CALCULATED = {"energy": "energy", "force": "forces", "stress": "stress"}

_Section = Mapping[str, str]


def read_fitsnap(file: str | Path) -> dict[str, Any]:
    """Sections `data`, `model` and `fit` of a configuration of adiabat, of FitSNAP's input or the same as JSON.

    Groups are told apart by `group` in the info of the frames.

    Raises:
        ConfigError: the file is no input of FitSNAP.
        CapabilityError: it asks for what the linear fit of SNAP does not have, and would give another potential.
    """
    sections = _sections(Path(file))
    if "BISPECTRUM" not in sections or "GROUPS" not in sections:
        raise ConfigError(f"{file} has no sections BISPECTRUM and GROUPS: is it the input of a SNAP fit by FitSNAP?")
    for symbol, shift in sections.get("ESHIFT", {}).items():
        if float(shift):
            raise CapabilityError(f"{file} shifts the energy of {symbol} by {shift} eV: subtract it from the data.")
    model = {"method": "snap", **_bispectrum(sections["BISPECTRUM"])}
    if repulsion := _repulsion(sections.get("REFERENCE", {})):
        model["repulsion"] = repulsion
    solver = sections.get("SOLVER", {}).get("solver", "SVD")
    if solver not in _SOLVERS:
        raise CapabilityError(f"{file} asks for solver {solver}: {', '.join(_SOLVERS)} are known.")
    calculator = sections.get("CALCULATOR", {})
    wanted = [own for key, own in _CALCULATED.items() if _on(calculator.get(key, "1"))]
    fit = {"regularization": _SOLVERS[solver], "row_weights": _groups(sections["GROUPS"], wanted)}
    data = {"reference_energies": "none", "shift": 0.0, "scale": 1.0}
    return {"data": data, "model": model, "fit": fit}


def _sections(file: Path) -> dict[str, _Section]:
    if not file.exists():
        raise ConfigError(f"{file} does not exist: give the path of FitSNAP's input.")
    if file.suffix == ".json":
        return {name: {k: str(v) for k, v in own.items()} for name, own in json.loads(file.read_text()).items()}
    parser = configparser.ConfigParser(inline_comment_prefixes="#", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(file.read_text())
    except configparser.Error as error:
        raise ConfigError(f"{file} is not an input of FitSNAP: {error}.") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _on(word: str) -> bool:
    return word.strip().lower() in ("1", "true", "yes", "on")


def _bispectrum(section: _Section) -> dict[str, Any]:
    symbols = section.get("type", "").split()

    def each(key: str, otherwise: str, kind: Callable[[str], Any] = float) -> list[Any]:
        values = [kind(word) for word in section.get(key, otherwise).split()]
        return values * len(symbols) if len(values) == 1 else values

    levels = set(each("twojmax", "6", int))
    if not symbols or len(levels) != 1:
        raise CapabilityError(
            f"BISPECTRUM has type {symbols} and twojmax {sorted(levels)}: one 2J is needed for all."
        )
    options: dict[str, Any] = {
        "twojmax": levels.pop(),
        "cutoff": float(section.get("rcutfac", "4.67637")),
        "rfac0": float(section.get("rfac0", "0.99363")),
        "rmin0": float(section.get("rmin0", "0.0")),
        "radii": dict(zip(symbols, each("radelem", "0.5"), strict=True)),
        "weights": dict(zip(symbols, each("wj", "1.0"), strict=True)),
    }
    options |= {own: _on(section[key]) for key, own in _FLAGS.items() if key in section}
    if _on(section.get("switchinnerflag", "0")):
        options["inner"] = dict(zip(symbols, zip(each("sinner", ""), each("dinner", ""), strict=True), strict=True))
    quadratic = _on(section.get("quadraticflag", "0"))
    return {"descriptor": options, "quadratic": quadratic, "constant": not options.get("subtract", False)}


def _repulsion(section: _Section) -> tuple[float, float] | None:
    style = section.get("pair_style", "zero")
    found = re.search(r"\bzbl\s+(\S+)\s+(\S+)", style)
    others = set(re.findall(r"[A-Za-z]\S*", style)) - {"hybrid/overlay", "hybrid", "zero", "zbl"}
    if others:
        raise CapabilityError(
            f"the reference potential '{style}' has {sorted(others)[0]}: only zbl and zero are known."
        )
    return None if found is None else (float(found[1]), float(found[2]))


def _groups(section: _Section, wanted: list[str]) -> dict[str, dict[str, float]]:
    """Factors of rows by group, for stresses in eV/Å³."""
    if _on(section.get("smartweights", "0")):
        raise CapabilityError("GROUPS has smartweights: write the weights of each group out.")
    columns = section.get("group_sections", "").split()
    if columns[:1] != ["name"] or not set(_LABELS) <= set(columns):
        raise ConfigError(f"GROUPS has columns {columns}: name, eweight, fweight and vweight are needed.")
    found: dict[str, dict[str, float]] = {}
    for name, text in section.items():
        if name in ("group_sections", "group_types", "smartweights", "random_sampling"):
            continue
        values = dict(zip(columns[1:], map(float, text.split()), strict=True))
        if values.get("training_size", 1.0) not in (0.0, 1.0):
            raise CapabilityError(
                f"group {name} trains on {values['training_size']:g} of its frames: split the file."
            )
        if values.get("training_size", 1.0):
            own = {label: values[key] * (BAR if label == "stress" else 1.0) for key, label in _LABELS.items()}
            found[name] = {label: weight for label, weight in own.items() if label in wanted}
    return found
