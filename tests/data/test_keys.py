"""Label keys: what is found by convention, by mapping, and what is refused."""

import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from adiabat.data import read
from adiabat.data.keys import parse_mapping
from adiabat.errors import ConfigError, DataError


@pytest.fixture
def water():
    atoms = molecule("H2O")
    atoms.info = {"energy": -1.0}
    return atoms


def energy(atoms, **keys):
    return float(read([atoms], keys)[0].labels["energy"])


def test_reference_keys_win_over_plain_ones(water):
    water.info["REF_energy"] = -2.0
    data = read([water])
    assert float(data[0].labels["energy"]) == -2.0
    assert data.report.keys["energy"] == "REF_energy"
    assert "'energy' (1 frames) would also do" in data.report.remarks[0]


def test_mapping_wins_and_unused_values_stay(water):
    water.info |= {"REF_energy": -2.0, "mine": -3.0}
    assert energy(water, energy="mine") == -3.0
    data = read([water], {"energy": "none"})
    assert data[0].labels == {}
    assert data[0].info["mine"] == -3.0


def test_calculator_results_are_read(water):
    water.info = {}
    water.calc = SinglePointCalculator(water, energy=-4.0, free_energy=-4.5, forces=water.positions)
    data = read([water])
    assert float(data[0].labels["energy"]) == -4.0
    assert "forces" in data[0].labels
    assert data.report.remarks == []


def test_misspelled_key_names_the_available(water):
    water.info["my_energy"] = -1.0
    with pytest.raises(
        DataError, match="no frame has the key 'my_enrgy'.*Did you mean 'my_energy'.*are: energy, my_"
    ):
        read([water], {"energy": "my_enrgy"})
    with pytest.raises(ConfigError, match="Did you mean 'energy'"):
        read([water], {"enrgy": "energy"})


def test_charge_and_multiplicity(water):
    water.info |= {"total_charge": 1, "spin_multiplicity": 2}
    system = read([water])[0].system
    assert float(system.charge) == 1
    assert int(system.multiplicity) == 2
    water.info["spin_multiplicity"] = 0
    with pytest.raises(DataError, match="unpaired_electrons=spin_multiplicity"):
        read([water])
    assert int(read([water], {"unpaired_electrons": "spin_multiplicity"})[0].system.multiplicity) == 1
    assert int(read([water], {"multiplicity": "none"})[0].system.multiplicity) == 1
    water.info = {"charge": "plus"}
    with pytest.raises(DataError, match="'plus' is not a finite number"):
        read([water])


def test_stress_and_virial_exclude_each_other(water):
    water.cell, water.pbc = [9, 9, 9], True
    water.info = {"stress": [1.0] * 6, "virial": [2.0] * 9}
    data = read([water])
    assert "not read" in data.report.remarks[-1]
    assert float(data[0].labels["stress"][0, 0]) == 1.0
    assert float(read([water], {"virial": "virial"})[0].labels["stress"][0, 0]) == pytest.approx(-2 / 729)
    with pytest.raises(ConfigError, match="both mapped"):
        read([water], {"virial": "virial", "stress": "stress"})


def test_parse_mapping():
    assert parse_mapping("energy=E, forces=F") == {"energy": "E", "forces": "F"}
    with pytest.raises(ConfigError, match="is not a pair"):
        parse_mapping("energy")
