"""Reading and writing: every format gives back what was written, and says what is wrong with a file."""

import gzip
import lzma

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule

from adiabat.data import Frame, dataset_hash, frame_hash, read, stream, write
from adiabat.data.formats import extxyz
from adiabat.errors import ConfigError, DataError
from adiabat.geometry import System
from adiabat.units import BOHR, GPA, HARTREE, KCAL_PER_MOL


def assert_same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert frame_hash(one) == frame_hash(other)
        assert one.labels.keys() == other.labels.keys()


@pytest.fixture(scope="module")
def mixed(copper, alkanes):
    """Frames with different labels, periodicity, charge and info, to be written and read back."""
    rich = Frame(
        System.from_arrays(np.eye(3), [8, 1, 1], charge=-1.0, multiplicity=2),
        {
            "energy": torch.tensor(-1.25),
            "charges": torch.tensor([-0.5, -0.25, -0.25]),
            "dipole": torch.tensor([0.1, 0.2, 0.3]),
        },
        {
            "name": 'a "quoted" = {name}',
            "flag": True,
            "vector": np.arange(3),
            "nested": {"a": [1, 2]},
            "path": "a\\b",
        },
    )
    return [*list(copper)[:3], rich, *list(alkanes)[:3]]


@pytest.mark.parametrize("name", ["a.xyz", "a.extxyz.xz", "a.xyz.gz", "a.h5", "a.lmdb"])
def test_written_frames_come_back(tmp_path, mixed, name):
    assert write(tmp_path / name, mixed) == len(mixed)
    back = read(tmp_path / name)
    assert_same(mixed, back)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    info = back[3].info
    assert info["name"] == mixed[3].info["name"]
    assert info["flag"] is True
    assert list(info["vector"]) == [0, 1, 2]
    assert info["nested"] == {"a": [1, 2]}
    assert info["path"] == "a\\b"
    assert int(back[3].system.multiplicity) == 2
    assert back.report.labels["stress"] == 3


def test_labels_appearing_late_are_kept_in_blocks(tmp_path, monkeypatch, mixed):
    monkeypatch.setattr("adiabat.data.formats.hdf5._BLOCK", 2)
    monkeypatch.setattr("adiabat.data.formats.lmdb_store._BLOCK", 2)
    for name in ("a.h5", "a.lmdb"):
        write(tmp_path / name, mixed)
        assert_same(mixed, read(tmp_path / name))


def test_lmdb_grows(tmp_path, monkeypatch, mixed):
    import lmdb

    real = lmdb.open
    monkeypatch.setattr(lmdb, "open", lambda *a, **k: real(*a, **(k | {"map_size": 1 << 16})))
    write(tmp_path / "a.lmdb", mixed * 20)
    monkeypatch.undo()
    assert_same(mixed * 20, read(tmp_path / "a.lmdb"))


def test_extxyz_agrees_with_ase(tmp_path, copper_atoms, alkane_atoms):
    """Files of ASE's writer read the same by our parser and by ASE's."""
    many = [a.copy() for a in copper_atoms[:4] + alkane_atoms[:4]]
    for atoms, origin in zip(many, copper_atoms[:4] + alkane_atoms[:4], strict=True):
        atoms.calc = None
        atoms.info |= {"REF_energy": origin.get_potential_energy(), "text": "two words", "yes": True, "n": 3}
        atoms.info |= {"v": np.array([1.5, 2.5]), "mixed": np.array([True, False]), "deep": {"k": [1, 2]}}
        atoms.arrays["REF_forces"] = origin.get_forces()
        atoms.arrays["kind"] = np.array(["x", "yy"] * 40)[: len(atoms)]
        atoms.arrays["fixed"] = np.arange(len(atoms)) % 2 == 0
        atoms.arrays["id"] = np.arange(len(atoms))
    path = tmp_path / "a.xyz"
    ase.io.write(path, many, format="extxyz")
    ours, theirs = list(extxyz.read(path)), ase.io.read(path, ":")
    for raw, atoms in zip(ours, theirs, strict=True):
        assert np.array_equal(raw.positions, atoms.positions)
        assert np.array_equal(raw.numbers, atoms.numbers)
        assert np.array_equal(raw.cell, atoms.cell.array)
        assert np.array_equal(raw.pbc, atoms.pbc)
        assert raw.info.keys() == atoms.info.keys()
        for key, value in atoms.info.items():
            assert np.array_equal(raw.info[key], value), key
        for key, value in raw.arrays.items():
            assert np.array_equal(value, atoms.arrays[key]), key
            assert (value.dtype.kind == "U") == (atoms.arrays[key].dtype.kind == "O")  # text columns


@pytest.mark.parametrize("name", ["mlearn/Si_test.extxyz.xz", "les_sets/water.extxyz.xz", "n2p2_sets/QM9_100.extxyz"])
def test_public_sets_agree_with_ase(shared, name):
    path = shared / "data" / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    ours = read(path, index=":10")
    with extxyz.open_text(path) as file:
        theirs = ase.io.read(file, ":10", format="extxyz")
    assert_same(ours, read(theirs))


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ('a="1 2 3" b=T c', {"a": [1, 2, 3], "b": True, "c": True}),
        ("a={1.5 2} b=[T F] c='x y'", {"a": [1.5, 2], "b": [True, False], "c": "x y"}),
        ('a = 1 b= 2.5e-3 c ="x=y"', {"a": 1, "b": 0.0025, "c": "x=y"}),
        (r'"a key"=1 b="say \"hi\"" c=H2O', {"a key": 1, "b": 'say "hi"', "c": "H2O"}),
        ('a="_JSON [[1, 2], [3, 4]]" smiles=[H][C](=O)[H]', {"a": [[1, 2], [3, 4]], "smiles": "[H][C](=O)[H]"}),
        ("E=-12.5 nan=nan", {"E": -12.5, "nan": np.nan}),
        ("", {}),
    ],
)
def test_comment_lines(comment, expected):
    found = extxyz.parse_comment(comment)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_equal(np.asarray(found[key]), np.asarray(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3\n\nH 0 0 0\nH 0 0 1\n", "frame 0 .* ends after 2 of 3 atoms"),
        ("1\n\nH 0 0 0\n2\nenergy=1\n", "frame 1 .* ends after 0 of 2 atoms"),
        ("1\n\nH 0 0 0\nrubbish\n", "frame 1 .* begins with 'rubbish'"),
        ("1\n\nH 0 0\n", "frame 0 .* do not all have the 4 columns"),
        ("1\n\nXx 0 0 0\n", "'Xx' is not a chemical symbol"),
        ("1\n\nH 0 0 zero\n", "frame 0 .* could not convert"),
        ("1\nProperties=species:S:1\nH\n", "name no 'pos' column"),
        ("", "holds no frames"),
    ],
)
def test_broken_extxyz_names_the_frame(tmp_path, text, message):
    (tmp_path / "a.xyz").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.xyz")


@pytest.mark.parametrize(("name", "pack"), [("a.xyz.xz", lzma.compress), ("a.xyz.gz", gzip.compress)])
def test_truncated_compressed_file(tmp_path, copper, name, pack):
    write(tmp_path / "a.xyz", copper)
    packed = pack((tmp_path / "a.xyz").read_bytes())
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="beyond frame [0-9]+: the file is truncated"):
        read(tmp_path / name)


def test_damaged_stores_are_named(tmp_path, copper):
    for name in ("a.h5", "a.lmdb"):
        write(tmp_path / name, copper)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="truncated"):
            read(tmp_path / name)
    write(tmp_path / "b.lmdb", copper)
    data = (tmp_path / "b.lmdb").read_bytes()
    (tmp_path / "b.lmdb").write_bytes(data.replace(b'"group"', b'"grouq"'))
    with pytest.raises(DataError, match=r"frame 0 of .* damaged \(its checksum"):
        list(read(tmp_path / "b.lmdb"))


def test_foreign_stores_are_refused(tmp_path):
    import h5py
    import lmdb

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["things"] = [1, 2]
    with pytest.raises(DataError, match=r"not in adiabat's HDF5 layout \(it holds things\)"):
        read(tmp_path / "a.h5")
    env = lmdb.open(str(tmp_path / "a.lmdb"), subdir=False, lock=False)
    with env.begin(write=True) as transaction:
        transaction.put(b"0", b"cos\nsystem\n(S'true'\ntR.")
    env.close()
    with pytest.raises(DataError, match="pickles"):
        read(tmp_path / "a.lmdb")


def test_ase_database_and_trajectory(tmp_path, alkane_atoms, alkanes):
    with ase.db.connect(tmp_path / "a.db") as database:
        for atoms in alkane_atoms:
            database.write(atoms, group="g")
    assert_same(read(tmp_path / "a.db"), alkanes)
    assert read(tmp_path / "a.db")[0].info["group"] == "g"
    ase.io.write(tmp_path / "a.traj", alkane_atoms)
    assert_same(read(tmp_path / "a.traj"), alkanes)


def test_md17(tmp_path):
    rng = np.random.default_rng(0)
    content = {"R": rng.normal(size=(4, 3, 3)), "E": np.arange(4.0)[:, None], "F": rng.normal(size=(4, 3, 3))}
    np.savez(tmp_path / "a.npz", z=[8, 1, 1], **content)
    data = read(tmp_path / "a.npz")
    assert float(data[2].labels["energy"]) == pytest.approx(2 * KCAL_PER_MOL)
    torch.testing.assert_close(data[1].labels["forces"], torch.tensor(content["F"][1]) * KCAL_PER_MOL)
    assert any("kcal/mol" in line for line in data.report.lines())
    np.savez(tmp_path / "b.npz", z=[8, 1, 1], e_unit="eV", r_unit="Ang", **content)
    assert float(read(tmp_path / "b.npz")[2].labels["energy"]) == 2
    atomic = {"energy": "Hartree", "length": "Bohr"}
    data = read(tmp_path / "a.npz", units=atomic)
    torch.testing.assert_close(data[1].labels["forces"], torch.tensor(content["F"][1]) * HARTREE / BOHR)
    torch.testing.assert_close(data[1].system.positions, torch.tensor(content["R"][1]) * BOHR)
    np.savez(tmp_path / "c.npz", z=[8, 1, 1], R=content["R"], E=np.arange(3.0))
    with pytest.raises(DataError, match="does not fit 4 frames"):
        read(tmp_path / "c.npz")


def test_deepmd(tmp_path, copper):
    frames = [f for f in copper if f.system.atoms == 8]
    part = tmp_path / "system" / "set.000"
    part.mkdir(parents=True)
    (part.parent / "type.raw").write_text("0\n" * 8)
    with pytest.raises(DataError, match=r"type_map\.raw does not exist"):
        read(tmp_path)
    (part.parent / "type_map.raw").write_text("Cu\n")
    np.save(part / "coord.npy", np.stack([f.system.positions.numpy().ravel() for f in frames]))
    np.save(part / "box.npy", np.stack([f.system.cell.numpy().ravel() for f in frames]))
    np.save(part / "energy.npy", np.array([float(f.labels["energy"]) for f in frames]))
    np.save(part / "force.npy", np.stack([f.labels["forces"].numpy().ravel() for f in frames]))
    virial = [-(f.labels["stress"] * float(f.system.volume)).numpy().ravel() for f in frames]
    np.save(part / "virial.npy", np.stack(virial))
    data = read(tmp_path)
    assert_same(data, frames)
    assert any("virial/volume" in line for line in data.report.lines())


def test_stream_reads_any_file_frame_by_frame(tmp_path, copper):
    write(tmp_path / "a.xyz", copper)
    frames, report = stream(tmp_path / "a.xyz")
    write(tmp_path / "b.h5", frames)
    assert report.frames == len(copper)
    assert dataset_hash(read(tmp_path / "b.h5")) == dataset_hash(copper)


def test_selecting_frames(tmp_path, copper):
    for name in ("a.xyz", "a.h5"):
        write(tmp_path / name, copper)
        for text, expected in ((":5", range(5)), ("::10", range(0, 40, 10)), ("-3:", range(37, 40)), ("7", [7])):
            assert_same(read(tmp_path / name, index=text), [copper[i] for i in expected])
        assert_same(read(tmp_path / name, index=-1), [copper[39]])
        with pytest.raises(DataError, match="does not select frames"):
            read(tmp_path / name, index="first")


def test_several_files(tmp_path, copper, alkanes):
    write(tmp_path / "a.xyz", copper)
    write(tmp_path / "b.xyz", alkanes)
    both = read([tmp_path / "a.xyz", tmp_path / "b.xyz"])
    assert_same(both, [*copper, *alkanes])
    assert both.report.labels["stress"] == 40
    assert any("24 frames have no stress" in line for line in both.report.lines())


def test_broken_frames_are_left_out_and_reported(tmp_path):
    text = "1\nenergy=1\nH 0 0 0\n1\nenergy=2\nH nan 0 0\n1\nenergy=nan\nH 0 0 0\n"
    (tmp_path / "a.xyz").write_text(text)
    data = read(tmp_path / "a.xyz")
    assert len(data) == 2
    assert data.report.skipped[0][0] == 1
    assert data.report.dropped == {"energy": [2]}
    assert "energy" not in data[1].labels
    assert data[1].info["index"] == 2
    with pytest.raises(DataError, match="frame 1 of .*not finite"):
        read(tmp_path / "a.xyz", strict=True)


def test_missing_and_unwritable(tmp_path, copper):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.xyz")
    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path / "a.npz", copper)
    with pytest.raises(DataError, match="not a data format"):
        write(tmp_path / "a.xyz", copper, format="hdf")
    with pytest.raises(DataError, match="no frames"):
        write(tmp_path / "a.xyz", [])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.dat").write_text("nothing\n")
    with pytest.raises(DataError, match="ASE cannot read"):
        read(tmp_path / "a.dat")


def test_failed_write_leaves_the_old_file(tmp_path, copper):
    write(tmp_path / "a.xyz", copper)

    def breaking():
        yield copper[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write(tmp_path / "a.xyz", breaking())
    assert_same(read(tmp_path / "a.xyz"), copper)


def test_stress_forms_and_units():
    atoms = molecule("H2O", vacuum=3)
    atoms.pbc = True
    voigt = np.array([1.0, 2, 3, 4, 5, 6])
    full = torch.tensor([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    volume = atoms.get_volume()

    def stress(value, keys=None, units=None, name="REF_stress"):
        atoms.info = {name: value}
        return read([atoms], keys, units=units)[0].labels["stress"]

    torch.testing.assert_close(stress(voigt), full)
    torch.testing.assert_close(stress(full.numpy()), full)
    torch.testing.assert_close(stress(voigt, units={"stress": "GPa"}), full * GPA)
    torch.testing.assert_close(stress(voigt, {"stress": "-my"}, name="my"), -full)
    torch.testing.assert_close(stress(full.numpy() * volume, {"virial": "v"}, name="v"), -full)
    torch.testing.assert_close(stress(full.numpy() * volume, name="virial"), -full)
    with pytest.raises(ConfigError, match="'Gpa' is not a stress unit. Did you mean 'GPa'"):
        stress(voigt, units={"stress": "Gpa"})
    with pytest.raises(DataError, match="holds 2 values where 6 or 9"):
        stress(voigt[:2])
