"""The catalogue is complete and certain of what it states."""

import re

import pytest

from adiabat.elements import number
from adiabat.errors import ConfigError
from adiabat.pretrained import catalogue as module
from adiabat.pretrained.catalogue import Entry, WeightFile, catalogue, entry, find
from adiabat.pretrained.download import sha256
from adiabat.units import ENERGY, LENGTH


def test_every_entry_is_sound():
    entries = catalogue()
    assert len(entries) > 80
    for name, one in entries.items():
        assert re.fullmatch(r"[a-z0-9.\-]+", name)
        assert one.energy_unit in ENERGY
        assert one.length_unit in LENGTH
        assert len({file.name for file in one.files}) == len(one.files)
        assert one.status == "later" or one.files or "package" in one.origin
        assert one.commercial is not True or one.license
        for z in one.numbers:
            assert 1 <= z <= 118
        if one.doi is not None:
            assert re.fullmatch(r"10\.\d{4,9}/\S+", one.doi)


def test_licenses_that_forbid_commercial_use_are_marked():
    for one in catalogue().values():
        if one.license and re.search("non-commercial|NC", one.license):
            assert one.commercial is False, one.name


def test_hashes_are_those_of_the_files(shared):
    """The folder's files are found in the catalogue by their content."""
    known = {file.sha256: file for one in catalogue().values() for file in (*one.files, *one.same) if file.sha256}
    folder = shared / "weights"
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".model", ".pt", ".pth", ".npz", ".data")]
    found = [path for path in files if sha256(path) in known]
    assert len(found) > 30
    for path in found:
        assert known[sha256(path)].size == path.stat().st_size
    # the n2p2 folders' input.data are data sets
    assert {p.name for p in files} - {p.name for p in found} <= {"input.data"}


def test_listings():
    """ANI-2x: eight networks of seven elements, each with four layers, the descriptor and the self energies."""
    one = entry("ani-2x")
    assert len(one.files) == 8 * 7 * (1 + 2 * 4) + 2
    assert all(file.sha256 and file.size is not None and file.url.endswith(f"_8x/{file.name}") for file in one.files)
    assert {file.sha256 for file in entry("ani-1x-two").files} <= {file.sha256 for file in entry("ani-1x").files}


def test_names():
    assert entry("MACE-MP-0").name == "mace-mp-0-medium"
    assert find("no such") is None
    with pytest.raises(ConfigError, match=r"Did you mean 'sgdml-ethanol'\?"):
        entry("sgdml-etanol")
    with pytest.raises(ConfigError, match="adiabat weights list"):
        entry("qqqqqqqqqqqq")


def test_elements():
    assert entry("sgdml-ethanol").numbers == (1, 6, 8)
    assert len(entry("mace-mp-0").numbers) == 89
    assert number("U") in entry("mace-mp-0").numbers
    assert number("Po") not in entry("mace-mp-0").numbers


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "../../x"}, "leads out"),
        ({"name": "/x"}, "leads out"),
        ({"sha256": "abc"}, "SHA-256"),
        ({"sha256": "G" * 64}, "SHA-256"),
        ({"url": "http://x"}, "https"),
        ({"url": "file:///etc/passwd"}, "https"),
        ({"hash": "x"}, "not an option"),
    ],
)
def test_wrong_files_are_refused(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        WeightFile.parse({"name": "x"} | change)


def test_two_entries_of_one_name_are_refused(tmp_path, monkeypatch):
    text = (
        "name: {}\naliases: [same]\ntitle: x\nmethod: x\nstatus: later\norigin: x\nlicense: null\ncommercial: null\n"
    )
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(text.format(name))
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    with pytest.raises(ConfigError, match="used once"):
        catalogue.__wrapped__()
    assert Entry.parse({**_minimal(), "elements": ["H", "6-8"]}).numbers == (1, 6, 7, 8)


def _minimal():
    keys = ("name", "title", "method", "origin")
    return dict.fromkeys(keys, "x") | {"status": "later", "license": None, "commercial": None}
