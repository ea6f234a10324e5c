"""XML files of QUIP's GAP (doi:10.1103/PhysRevLett.104.136403), read and written.

Each `gpCoordinates` is one process: a descriptor in QUIP's words, length scales, sparse points and their weights α.
Training structures that a file may hold behind them are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch

from adiabat.architectures.local.gap import GAP, GAPConfig
from adiabat.descriptors.kernel_terms import KernelTerm, KernelTermConfig
from adiabat.descriptors.sparse_terms import (
    Angle3BConfig,
    CoordinationConfig,
    Distance2BConfig,
    EnvironmentTermConfig,
    SOAPTermConfig,
    SOAPTurboTermConfig,
)
from adiabat.elements import number
from adiabat.errors import CapabilityError, CheckpointError
from adiabat.files import write_text
from adiabat.potential import Potential, Referenced
from adiabat.pretrained.importers.quip_words import descriptor_options, descriptor_words
from adiabat.pretrained.kit import Imported, Kit

SLICE = 50  # components of a sparse point in one element of a file


def from_kit(kit: Kit) -> Imported:
    """The kit's XML file."""
    path = kit.path
    if path.is_dir():
        names = [name for name in kit.meta.get("weights", []) if name.endswith(".xml")]
        path = path / names[0] if names else next(path.glob("*.xml"))
    return Imported({"": read_gap(path)})


def read_gap(file: str | Path) -> Referenced:
    """The potential in an XML file, in float64.

    Sparse points that a file of their own holds are read beside it.

    Raises:
        CheckpointError: the file is damaged or not a GAP's.
        CapabilityError: it has a descriptor or kernel that the page has not.
    """
    file = Path(file)
    energies, coordinates = _parsed(file)
    terms, arrays = [], []
    for element in coordinates:
        words = (element.findtext("descriptor") or "").strip()
        term = descriptor_options(words, file, float(element.get("signal_variance", "1")), element)
        terms.append(term)
        arrays.append(_arrays(element, file))
    elements = sorted({z for term in terms for z in _elements(term)} or {z for z, e in energies.items() if e != 0.0})
    if not elements:
        raise CheckpointError(f"{file} names no element, neither in its descriptors nor in energies of atoms.")
    potential = GAP(GAPConfig(terms=tuple(terms)), elements).double()
    _fill(potential, arrays, file)
    return Referenced(potential, {z: energies.get(z, 0.0) for z in elements})


def _parsed(file: Path) -> tuple[dict[int, float], list[ElementTree.Element]]:
    """Energies of atoms, and processes."""
    try:
        text = file.read_text()
    except OSError:
        raise CheckpointError(f"{file} does not exist: give the path of a GAP's XML file.") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise CheckpointError(f"{file} defines entities, which no GAP does: it is not read.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CheckpointError(f"{file} is not complete XML ({error}): is it the file that gap_fit wrote?") from None
    parameters = root if root.tag == "GAP_params" else root.find(".//GAP_params")
    data = None if parameters is None else parameters.find("GAP_data")
    if parameters is None or data is None:
        raise CheckpointError(f"{file} has no GAP_params with GAP_data: is it the file that gap_fit wrote?")
    if data.get("do_core", "F").upper().startswith("T"):
        raise CapabilityError(f"{file} adds a core potential of QUIP's (do_core), which is not read.")
    energies = {int(e.get("Z", "0")): float(e.get("value", "0")) for e in data.iter("e0")}
    return energies, list(parameters.iter("gpCoordinates"))


def _elements(term: KernelTermConfig) -> set[int]:
    """Atomic numbers that the options name."""
    named: list[Any] = []
    if isinstance(term, Distance2BConfig | Angle3BConfig):
        named += term.elements
    if isinstance(term, Angle3BConfig | EnvironmentTermConfig | CoordinationConfig):
        named.append(term.center)
    if isinstance(term, SOAPTermConfig | SOAPTurboTermConfig):
        named += term.soap.species
    return {number(z) for z in named if z}


def _arrays(element: ElementTree.Element, file: Path) -> dict[str, np.ndarray]:
    """Points `[count, size]`, cutoffs and α `[count]` and length scales `[size]`."""
    size = int(element.get("dimensions", "0"))
    points = element.findall("sparseX")
    weights = np.array([float(p.get("alpha", "nan")) for p in points])
    cutoffs = np.array([float(p.get("sparseCutoff", "1")) for p in points])
    beside = element.get("sparseX_filename")
    other = None if beside is None else file.parent / Path(beside).name
    if other is not None and not other.exists():
        raise CheckpointError(
            f"{file} leaves {len(points)} sparse points of {size} numbers to a file {other.name} beside it, which is"
            " missing: get it from where the potential is published, as nothing can be evaluated without."
        )
    try:
        values = np.array([_numbers(p) for p in points]) if other is None else np.loadtxt(other)
        values = values.reshape(len(points), size)
    except (OSError, ValueError):
        raise CheckpointError(
            f"{other or file} does not hold {len(points)} sparse points of {size} numbers: is it complete?"
        ) from None
    theta = np.array([float(w) for w in (element.findtext("theta") or "").split()] or [1.0] * size)
    return {"points": values, "cutoffs": cutoffs, "weights": weights, "theta": theta}


def _numbers(point: ElementTree.Element) -> list[float]:
    return [float(w) for part in point.itertext() for w in part.split()]


def _fill(potential: GAP, arrays: list[dict[str, np.ndarray]], file: Path) -> None:
    weights = []
    for term, found in zip(potential.terms.members, arrays, strict=True):
        for name in ("points", "cutoffs", "theta"):
            own = getattr(term, name)
            if own.shape != found[name].shape:
                raise CheckpointError(
                    f"{file}: the {name} of a {term.config.kind} have shape {found[name].shape} where its descriptor"
                    f" makes {tuple(own.shape)}."
                )
            if not np.isfinite(found[name]).all():
                raise CheckpointError(f"{file}: the {name} of a {term.config.kind} are not finite numbers.")
            own.copy_(torch.from_numpy(found[name]))
        weights.append(found["weights"])
    with torch.no_grad():
        potential.head.weights.copy_(torch.from_numpy(np.concatenate(weights)))  # type: ignore[union-attr]


def write_gap(potential: Potential, file: str | Path, label: str = "GAP_adiabat") -> None:
    """Writes a GAP as one XML file of QUIP.

    Raises CapabilityError for what that cannot hold.
    """
    model = potential.model if isinstance(potential, Referenced) else potential
    if not isinstance(model, GAP):
        raise CapabilityError(f"{type(model).__name__} is not a GAP: only its own method is written as QUIP's XML.")
    energies = dict.fromkeys(model.elements, 0.0)
    scale = 1.0
    if isinstance(potential, Referenced):
        scale = float(potential.scale)
        energies = {z: float(potential.reference[z]) for z in model.elements}
    lines = [f"<{label}>", f'<Potential label="{label}" init_args="IP GAP label={label}"/>']
    lines += [f'<GAP_params label="{label}" gap_version="1525123159">', '  <GAP_data do_core="F">']
    lines += [f'    <e0 Z="{z}" value="{energies.get(z, 0.0)!r}"/>' for z in range(1, 119)]
    terms = model.terms.members
    lines += ["  </GAP_data>", f'  <gpSparse label="{label}" n_coordinate="{len(terms)}" fitted="T">']
    weights = (model.head.weights.detach().double().reshape(-1) * scale).numpy()  # type: ignore[union-attr]
    begin = 0
    for place, term in enumerate(terms, start=1):
        lines += _coordinates(term, weights[begin : begin + term.size], f"{label}{place}")
        begin += term.size
    lines += ["  </gpSparse>", "</GAP_params>", f"</{label}>", ""]
    write_text(Path(file), "\n".join(lines))


def _coordinates(term: KernelTerm, weights: np.ndarray, label: str) -> Iterator[str]:
    config = term.config
    points, cutoffs = term.points.double().numpy(), term.cutoffs.double().numpy()
    soap = isinstance(config, EnvironmentTermConfig)
    extra = f' zeta="{config.zeta!r}"' if soap else ""
    yield (
        f'    <gpCoordinates label="{label}" dimensions="{points.shape[1]}" signal_variance="{config.delta!r}"'
        f' signal_mean="0.0" sparsified="T" n_permutations="1" covariance_type="{2 if soap else 1}"{extra}'
        f' n_sparseX="{len(points)}">'
    )
    if not soap:
        yield f"      <theta> {' '.join(repr(float(t)) for t in term.theta)} </theta>"
    yield f"      <descriptor>{descriptor_words(config, term.elements)}</descriptor>"
    order = range(1, 1 + (1 if soap else points.shape[1]))
    yield f'      <permutation i="1">{" ".join(map(str, order))}</permutation>'
    for index, (row, cutoff, weight) in enumerate(zip(points, cutoffs, weights, strict=True), start=1):
        head = f'      <sparseX i="{index}" alpha="{float(weight)!r}" sparseCutoff="{float(cutoff)!r}"'
        words = [repr(float(x)) for x in row]
        if len(words) <= SLICE:
            yield f"{head}>{' '.join(words)}</sparseX>"
            continue
        yield f'{head} sliced="T">'
        for start in range(0, len(words), SLICE):
            part = words[start : start + SLICE]
            place = f'start="{start + 1}" end="{start + len(part)}"'
            yield f"        <sparseX_slice {place}>{' '.join(part)}</sparseX_slice>"
        yield "      </sparseX>"
    yield "    </gpCoordinates>"
