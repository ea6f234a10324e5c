"""The only constants. Inside adiabat everything is eV, Å, e, fs, K, amu; conversions happen at the walls.

Values follow CODATA 2018 (doi:10.1103/RevModPhys.93.025010), except that a wall may state an older set of a
program whose numbers it must reproduce.
"""

from adiabat.errors import ConfigError, did_you_mean

HARTREE = 27.211386245988  # eV
BOHR = 0.529177210903  # Å
RYDBERG = HARTREE / 2  # eV
KCAL_PER_MOL = 0.0433641153087705  # eV
KJ_PER_MOL = 0.010364269656262174  # eV
GPA = 0.006241509074460763  # eV/Å³
KBAR = GPA / 10  # eV/Å³
BOLTZMANN = 8.617333262145179e-05  # eV/K
COULOMB = 14.399645478425668  # e²/(4πε₀) in eV·Å
DEBYE = 0.20819433442462576  # e·Å

ENERGY = {
    "eV": 1.0,
    "meV": 1e-3,
    "Hartree": HARTREE,
    "Rydberg": RYDBERG,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": KJ_PER_MOL,
}
LENGTH = {"Å": 1.0, "Angstrom": 1.0, "Bohr": BOHR, "nm": 10.0}


def energy_unit(name: str) -> float:
    """Size of one energy unit in eV. Raises ConfigError for an unknown name."""
    if name not in ENERGY:
        raise ConfigError(f"'{name}' is not an energy unit.{did_you_mean(name, ENERGY)}")
    return ENERGY[name]


def length_unit(name: str) -> float:
    """Size of one length unit in Å. Raises ConfigError for an unknown name."""
    if name not in LENGTH:
        raise ConfigError(f"'{name}' is not a length unit.{did_you_mean(name, LENGTH)}")
    return LENGTH[name]
