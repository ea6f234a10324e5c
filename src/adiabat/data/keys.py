"""Label keys: under which names a file keeps energies, forces and the rest.

Plain `energy` and `forces` may be swallowed or rewritten by programs on the way, so `REF_` names come first. A
mapping given by the user wins over every convention; what was found is recorded in the read report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from adiabat.errors import ConfigError, DataError, did_you_mean

CANDIDATES: dict[str, tuple[str, ...]] = {
    "energy": (
        *("REF_energy", "ref_energy", "reference_energy", "dft_energy", "DFT_energy", "qm_energy", "QM_energy"),
        *("energy", "Energy", "total_energy", "TotEnergy", "potential_energy", "free_energy"),
    ),
    "forces": (
        *("REF_forces", "ref_forces", "reference_forces", "dft_forces", "DFT_forces", "dft_force", "qm_forces"),
        *("QM_forces", "forces", "Forces", "force"),
    ),
    "stress": ("REF_stress", "ref_stress", "reference_stress", "dft_stress", "DFT_stress", "stress", "Stress"),
    "virial": (
        *("REF_virial", "REF_virials", "ref_virial", "dft_virial", "DFT_virial", "dft_virials"),
        *("virial", "virials", "Virial"),
    ),
    "charges": ("REF_charges", "ref_charges", "dft_charges", "charges"),
    "dipole": ("REF_dipole", "ref_dipole", "dft_dipole", "dipole"),
    "polarizability": ("REF_polarizability", "ref_polarizability", "dft_polarizability", "polarizability"),
    "magnetic_moments": ("REF_magmoms", "REF_magnetic_moments", "magnetic_moments", "magmoms"),
    "charge": ("total_charge", "charge", "REF_charge"),
    "multiplicity": ("multiplicity", "spin_multiplicity"),
    "unpaired_electrons": (),
}
"""Role to names in order of priority. `virial` becomes stress = −virial/V; `unpaired_electrons` + 1 is 2S+1."""

PER_ATOM_ROLES = frozenset({"forces", "charges", "magnetic_moments"})
OFF = ("none", "None", "")


@dataclass(frozen=True)
class Choice:
    """The key a role is read from. `sign` is −1 where the mapping said `-key`."""

    key: str
    per_atom: bool
    sign: float = 1.0

    def __str__(self) -> str:
        return f"-{self.key}" if self.sign < 0 else self.key


@dataclass
class Survey:
    """Which keys a file has, with the number of frames that have each."""

    info: Counter[str] = field(default_factory=Counter)
    arrays: Counter[str] = field(default_factory=Counter)
    frames: int = 0

    def add(self, info: Mapping, arrays: Mapping) -> None:
        """Counts one frame."""
        self.info.update(info.keys())
        self.arrays.update(arrays.keys())
        self.frames += 1

    def of(self, role: str) -> Counter[str]:
        """The keys where a role is to be looked for."""
        return self.arrays if role in PER_ATOM_ROLES else self.info


def parse_mapping(text: str) -> dict[str, str]:
    """`"energy=my_key,forces=F"` as a mapping; raises ConfigError for anything else."""
    mapping = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        role, equals, key = part.partition("=")
        if not equals:
            raise ConfigError(f"'{part}' is not a pair: write label=key, such as energy=my_energy.")
        mapping[role.strip()] = key.strip()
    return mapping


def resolve(survey: Survey, mapping: Mapping[str, str] | None = None) -> tuple[dict[str, Choice], list[str]]:
    """The key of every role the file has, and remarks on what was ambiguous or converted.

    Raises ConfigError for an unknown role, DataError for a mapped key that no frame has.
    """
    mapping = dict(mapping or {})
    for role in mapping:
        if role not in CANDIDATES:
            raise ConfigError(f"'{role}' is not a label that can be mapped.{did_you_mean(role, CANDIDATES)}")
    choices: dict[str, Choice] = {}
    remarks: list[str] = []
    for role, candidates in CANDIDATES.items():
        if role in mapping:
            if mapping[role] not in OFF:
                choices[role] = _mapped(role, mapping[role], survey)
            continue
        found = [key for key in candidates if key in survey.of(role)]
        if found:
            choices[role] = Choice(found[0], role in PER_ATOM_ROLES)
            remarks += _ambiguity(role, found, survey)
    _settle(choices, mapping, remarks)
    return choices, remarks


def _mapped(role: str, given: str, survey: Survey) -> Choice:
    sign = -1.0 if given.startswith("-") else 1.0
    key = given.removeprefix("-")
    available = survey.of(role)
    if key not in available:
        where = "per-atom columns" if role in PER_ATOM_ROLES else "per-frame keys"
        hint = did_you_mean(key, available)
        names = "" if hint.startswith(" Known") else f" The {where} are: {', '.join(available)}."
        raise DataError(f"no frame has the key '{key}' mapped to {role}.{hint}{names}")
    return Choice(key, role in PER_ATOM_ROLES, sign)


def _ambiguity(role: str, found: list[str], survey: Survey) -> list[str]:
    others = [key for key in found[1:] if not (role == "energy" and key == "free_energy")]
    if not others:
        return []
    counts = survey.of(role)
    return [
        f"{role} is read from '{found[0]}' ({counts[found[0]]} frames);"
        f" {', '.join(f'{k!r} ({counts[k]} frames)' for k in others)} would also do: map {role}=... to choose."
    ]


def _settle(choices: dict[str, Choice], mapping: Mapping[str, str], remarks: list[str]) -> None:
    if "virial" in choices and "stress" in choices:
        drop = "stress" if "virial" in mapping and "stress" not in mapping else "virial"
        if drop in mapping and mapping[drop] not in OFF:
            raise ConfigError("stress and virial are both mapped: give one of them, the other follows.")
        other = "virial" if drop == "stress" else "stress"
        remarks.append(f"stress comes from '{choices[other].key}'; '{choices[drop].key}' ({drop}) is not read.")
        del choices[drop]
    if "virial" in choices:
        remarks.append(f"stress = −virial/volume is computed from '{choices['virial']}' (virial in energy units).")
    if "unpaired_electrons" in choices:
        choices.pop("multiplicity", None)
