"""Descriptors in the words of QUIP's GAP, such as `distance_2b cutoff=4.5 Z1=14 Z2=14`, read and written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from adiabat.descriptors.density_expansion import Weighting
from adiabat.descriptors.kernel_terms import KernelTermConfig
from adiabat.descriptors.soap import SOAPConfig
from adiabat.descriptors.soap_turbo import SOAPTurboConfig
from adiabat.descriptors.sparse_terms import (
    Angle3BConfig,
    CoordinationConfig,
    Distance2BConfig,
    EnvironmentTermConfig,
    SOAPTermConfig,
    SOAPTurboTermConfig,
)
from adiabat.elements import number, symbol
from adiabat.errors import CapabilityError, CheckpointError

_WORDS = re.compile(r"(\w+)\s*=\s*(\{[^}]*\}|\"[^\"]*\"|\S+)")
_KINDS = {"ard_se": "1", "dot_product": "2"}
# words of a descriptor that change nothing at fixed weights, or that the page has under another name
_READ = {
    "distance_2b": {"cutoff", "cutoff_transition_width", "Z1", "Z2"},
    "angle_3b": {"cutoff", "cutoff_transition_width", "Z", "Z_center", "Z1", "Z2"},
    "coordination": {"cutoff", "transition_width", "Z", "Z_center"},
    "soap": {
        *("cutoff", "cutoff_transition_width", "cutoff_dexp", "cutoff_scale", "cutoff_rate", "l_max", "n_max"),
        *("atom_sigma", "atom_gaussian_width", "central_weight", "central_reference_all_species", "normalise"),
        *("normalize", "basis_error_exponent", "n_Z", "Z", "n_species", "species_Z", "zeta"),
    },
    "soap_turbo": {
        *("cutoff", "cutoff_transition_width", "rcut_hard", "rcut_soft", "nf", "l_max", "n_max", "alpha_max"),
        *("atom_sigma", "atom_sigma_r", "atom_sigma_t", "atom_sigma_scaling", "atom_sigma_r_scaling"),
        *("atom_sigma_t_scaling", "amplitude_scaling", "central_weight", "radial_enhancement", "basis"),
        *("scaling_mode", "compress_mode", "compress_file", "n_species", "species_Z", "central_index", "zeta"),
    },
}
_TURBO = {  # options of soap_turbo for each element
    "alpha_max": "n_max",
    "atom_sigma_r": "sigma_r",
    "atom_sigma_t": "sigma_t",
    "atom_sigma_r_scaling": "sigma_r_scaling",
    "atom_sigma_t_scaling": "sigma_t_scaling",
    "amplitude_scaling": "amplitude_scaling",
    "central_weight": "center_weight",
}
AS_QUIP = {"skip": 4.0, "ending": False}  # of soap_turbo, see `SOAPTurboConfig`
_FITTING = {
    *("covariance_type", "delta", "f0", "n_sparse", "sparse_method", "theta_uniform", "theta_fac", "theta", "zeta"),
    *(
        "add_species",
        "config_type_n_sparse",
        "print_sparse_index",
        "sparse_file",
        "sparse_separate_file",
        "theta_file",
    ),
    *("xml_version", "unique_hash_tolerance", "unique_descriptor_tolerance", "mark_sparse_atoms"),
}


def descriptor_options(
    words: str,
    file: str | Path,
    delta: float = 1.0,
    element: ElementTree.Element | None = None,
    several: bool = False,
) -> KernelTermConfig:
    """A descriptor in QUIP's words as the options of a term.

    Args:
        words: such as `distance_2b cutoff=4.5 Z1=14 Z2=14`.
        file: named in errors.
        delta: δ, eV.
        element: with the kernel's type, ζ and number of points.
        several: whether a SOAP with several elements in the middle is one for all elements.
    """
    kind, given = words.split()[0] if words else "", dict(_WORDS.findall(words))
    if kind not in _READ:
        raise CapabilityError(f"{file} has the descriptor '{kind}', which GAP has no term for yet.")
    unknown = [name for name in given if name not in _READ[kind] | _FITTING]
    if unknown:
        raise CapabilityError(f"{file}: the option {unknown[0]}={given[unknown[0]]} of {kind} is not read yet.")
    attributes: Mapping[str, str] = {} if element is None else element.attrib
    options: dict[str, Any] = {"delta": delta, "points": int(attributes.get("n_sparseX", "1"))}
    environments = kind in ("soap", "soap_turbo")
    wanted = _KINDS["dot_product" if environments else "ard_se"]
    if attributes.get("covariance_type", wanted) != wanted:
        raise CapabilityError(f"{file}: {kind} with the kernel {attributes['covariance_type']} is not read yet.")
    if float(attributes.get("signal_mean", "0")) != 0.0:
        raise CapabilityError(f"{file}: {kind} has a mean of {attributes['signal_mean']} (f0), which is not read.")
    if int(attributes.get("n_permutations", "1")) != 1:
        raise CapabilityError(f"{file}: {kind} has permutations, which are not read.")
    if environments:
        options["zeta"] = float(attributes.get("zeta") or given.get("zeta", "1"))
        return _soap(given, options, several) if kind == "soap" else _soap_turbo(given, options, file)
    if kind == "coordination":  # which has no use for Z
        width, center = given.get("transition_width", "0.2"), int(given.get("Z_center", "0"))
        options |= {"cutoff": float(given["cutoff"]), "width": float(width)}
        return CoordinationConfig(**options, center=center, anywhere=center == 0)
    width, center = given.get("cutoff_transition_width", "0.5"), int(given.get("Z_center", given.get("Z", "0")))
    options |= {"cutoff": float(given["cutoff"]), "width": float(width)}
    outer: dict[str, Any] = {"elements": (int(given.get("Z1", "0")), int(given.get("Z2", "0")))}
    if kind == "distance_2b":
        return Distance2BConfig(**options, **outer)
    return Angle3BConfig(**options, **outer, center=center)


def _soap(given: Mapping[str, str], options: Mapping[str, Any], several: bool) -> SOAPTermConfig:
    centers = [0] if several else _integers(given.get("Z", "0"))
    species = [z for z in _integers(given.get("species_Z", "0")) if z]
    everywhere = given.get("central_reference_all_species", "T" if len(species) < 2 else "F").upper()[:1] == "T"
    weighting, decay = None, float(given.get("cutoff_dexp", "0"))
    if decay > 0:
        rate = float(given.get("cutoff_rate", "1"))
        scale = float(given.get("cutoff_scale", "1"))
        weighting = Weighting(form="pow", c=1.0 + rate, d=rate, r0=scale, m=decay)
    soap = SOAPConfig(
        cutoff=float(given["cutoff"]),
        n_max=int(given["n_max"]),
        l_max=int(given["l_max"]),
        sigma=float(given.get("atom_sigma", given.get("atom_gaussian_width", "0.5"))),
        width=float(given.get("cutoff_transition_width", "0.5")),
        center_weight=float(given.get("central_weight", "1")),
        center_everywhere=everywhere,
        compression="off" if species else "mu2",  # without species all neighbors are alike
        species=tuple(species),
        normalize=given.get("normalise", given.get("normalize", "T")).upper()[:1] == "T",
        exponent=float(given.get("basis_error_exponent", "10")),
        weighting=weighting,
    )
    if len(centers) > 1:
        raise CapabilityError(f"a soap with {len(centers)} elements in the middle is not read yet.")
    return SOAPTermConfig(**options, soap=soap, center=centers[0], anywhere=centers[0] == 0)


def _soap_turbo(given: Mapping[str, str], options: Mapping[str, Any], file: str | Path) -> SOAPTurboTermConfig:
    if given.get("compress_file", "None") != "None":
        raise CapabilityError(f"{file}: soap_turbo's compress_file, a file of its own, is not read yet.")
    if given.get("scaling_mode", "polynomial").strip('"') != "polynomial":
        raise CapabilityError(f"{file}: soap_turbo's scaling_mode {given['scaling_mode']} is not read.")
    species = _integers(given["species_Z"])

    def each(*names: str, default: str | None = None) -> dict[str, float]:
        """An option for each element: the first of these names that is there, one number or one for each."""
        words = next((given[name] for name in names if name in given), default)
        if words is None:
            raise CheckpointError(f"{file}: soap_turbo has no {names[0]}.")
        values = [float(word) for word in words.strip('{}" ').split()]
        values = values * len(species) if len(values) == 1 else values
        if len(values) != len(species):
            raise CheckpointError(f"{file}: soap_turbo's {names[0]} has {len(values)} values, not {len(species)}.")
        return {symbol(z): value for z, value in zip(species, values, strict=True)}

    cutoff = float(given["rcut_hard"] if "rcut_hard" in given else given["cutoff"])
    width = float(given.get("cutoff_transition_width", "0.5"))
    compression = given.get("compress_mode", "None").strip('"').lower()
    soap = SOAPTurboConfig(
        cutoff=cutoff,
        width=cutoff - float(given["rcut_soft"]) if "rcut_soft" in given else width,
        filter=float(given.get("nf", "4")),
        n_max={name: int(count) for name, count in each("alpha_max", "n_max").items()},
        l_max=int(given["l_max"]),
        sigma_r=each("atom_sigma_r", "atom_sigma"),
        sigma_t=each("atom_sigma_t", "atom_sigma"),
        sigma_r_scaling=each("atom_sigma_r_scaling", "atom_sigma_scaling", default="0"),
        sigma_t_scaling=each("atom_sigma_t_scaling", "atom_sigma_scaling", default="0"),
        amplitude_scaling=each("amplitude_scaling", default="1"),
        center_weight=each("central_weight", default="1"),
        radial_enhancement=int(given.get("radial_enhancement", "0")),  # type: ignore[arg-type]
        basis=given.get("basis", "poly3").strip('"'),  # type: ignore[arg-type]
        compression="off" if compression == "none" else compression,  # type: ignore[arg-type]
        species=tuple(species),
        **AS_QUIP,  # type: ignore[arg-type]
    )
    return SOAPTurboTermConfig(**options, soap=soap, center=species[int(given.get("central_index", "1")) - 1])


def _integers(words: str) -> list[int]:
    return [int(w) for w in words.strip('{}" ').split()]


def descriptor_words(config: KernelTermConfig, elements: Sequence[int]) -> str:
    """The options of a term in QUIP's words."""
    if isinstance(config, SOAPTermConfig):
        return _soap_words(config, elements)
    if isinstance(config, SOAPTurboTermConfig):
        return _soap_turbo_words(config, elements)
    assert isinstance(config, Distance2BConfig | Angle3BConfig | CoordinationConfig)
    words = [config.kind, f"cutoff={config.cutoff!r}"]
    if isinstance(config, CoordinationConfig):
        if config.neighbors:
            raise CapabilityError(
                "QUIP's coordination counts neighbors of all elements: neighbors cannot be written."
            )
        words += [f"transition_width={config.width!r}", f"Z_center={_center(config)}"]
    else:
        words.append(f"cutoff_transition_width={config.width!r}")
        if isinstance(config, Angle3BConfig):
            words.append(f"Z_center={number(config.center) if config.center else 0}")
        words += [f"Z{k}={number(z) if z else 0}" for k, z in enumerate(config.elements, start=1)]
    return " ".join([*words, "covariance_type=ard_se"])


def _center(config: CoordinationConfig | EnvironmentTermConfig) -> int:
    return 0 if config.anywhere else number(config.center)


def _soap_words(config: SOAPTermConfig, elements: Sequence[int]) -> str:
    soap = config.soap
    if soap.convention != "quip":
        raise CapabilityError(f"QUIP's XML holds its own SOAP, not that of {soap.convention}.")
    if soap.element_weights:
        raise CapabilityError("QUIP's XML holds no element_weights of a SOAP.")
    words = [
        f"soap cutoff={soap.cutoff!r} cutoff_transition_width={soap.width!r} n_max={soap.n_max} l_max={soap.l_max}",
        f"atom_sigma={soap.sigma!r} central_weight={soap.center_weight!r} zeta={config.zeta!r}",
        f"basis_error_exponent={soap.exponent!r} normalise={'T' if soap.normalize else 'F'}",
        f"central_reference_all_species={'T' if soap.center_everywhere else 'F'}",
        f"Z={_center(config)}",
    ]
    if soap.weighting is not None:
        weighting = soap.weighting
        if weighting.form != "pow" or weighting.c != 1.0 + weighting.d:
            raise CapabilityError("QUIP's SOAP has a weighting of form pow with c = 1 + d only.")
        words.append(f"cutoff_dexp={weighting.m:g} cutoff_scale={weighting.r0!r} cutoff_rate={weighting.d!r}")
    species = [number(s) for s in soap.species] or list(elements)
    if soap.compression == "off":
        words.append(f"n_species={len(species)} species_Z={{{' '.join(map(str, species))}}}")
    return " ".join([*words, "covariance_type=dot_product"])


def _soap_turbo_words(config: SOAPTurboTermConfig, elements: Sequence[int]) -> str:
    soap = config.soap
    species = [number(s) for s in soap.species] or list(elements)
    if config.anywhere or number(config.center) not in species:
        raise CapabilityError(f"soap_turbo in QUIP's XML has one of {species} in the middle, not {config.center}.")
    words = [
        f"soap_turbo rcut_hard={soap.cutoff!r} rcut_soft={soap.cutoff - soap.width!r} nf={soap.filter!r}",
        f"l_max={soap.l_max} basis={soap.basis} scaling_mode=polynomial",
        f"radial_enhancement={soap.radial_enhancement}",
        f"n_species={len(species)} species_Z={{{' '.join(map(str, species))}}}",
        f"central_index={species.index(number(config.center)) + 1} zeta={config.zeta!r}",
    ]
    for theirs, ours in _TURBO.items():
        words.append(f"{theirs}={{{' '.join(repr(soap.of(ours, z)) for z in species)}}}")
    if soap.compression != "off":
        words.append(f"compress_mode={soap.compression}")
    return " ".join([*words, "covariance_type=dot_product"])
