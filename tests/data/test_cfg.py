""".cfg files of MLIP: read as written, types, cells and refusals."""

import ase.build
import numpy as np
import pytest
import torch

from adiabat.data import Frame, MemoryDataset, read
from adiabat.data.formats import FORMATS, cfg
from adiabat.errors import DataError
from adiabat.geometry import System

BLOCK = """BEGIN_CFG
 Size
    2
 Supercell
         4.0      0.0      0.0
         0.5      4.0      0.0
         0.0      0.0      5.0
 AtomData:  id type       direct_x      direct_y      direct_z           fx          fy          fz
             1    1       0.0      0.0      0.0     0.1    0.2   -0.3
             2    0       0.5      0.5      0.5    -0.1   -0.2    0.3
 Energy
        -12.5
 PlusStress:  xx          yy          zz          yz          xz          xy
     8.0     16.0    24.0    -8.0     4.0     1.6
 Feature   EFS_by       VASP
END_CFG
"""


def _frames():
    torch.manual_seed(0)
    made = []
    for atoms in (ase.build.molecule("H2O"), ase.build.bulk("MgO", "rocksalt", a=4.2)):
        labels = {"energy": torch.tensor(-3.25), "forces": torch.randn(len(atoms), 3)}
        if atoms.pbc.all():
            stress = torch.randn(3, 3)
            labels["stress"] = stress + stress.T
        made.append(Frame(System.from_ase(atoms), labels))
    return MemoryDataset(made)


def test_written_frames_are_read_again(tmp_path):
    frames = _frames()
    assert cfg.write(tmp_path / "data.cfg", frames) == 2
    again = read(tmp_path / "data.cfg")
    for found, wanted in zip(again, frames, strict=True):
        assert torch.equal(found.system.numbers, wanted.system.numbers)
        assert torch.equal(found.system.pbc, wanted.system.pbc)
        torch.testing.assert_close(found.system.positions, wanted.system.positions, atol=1e-9, rtol=0)
        assert found.labels.keys() == wanted.labels.keys()
        for name, label in wanted.labels.items():
            torch.testing.assert_close(found.labels[name], label, atol=1e-9, rtol=0)


def test_files_of_the_program(tmp_path):
    file = tmp_path / "train.cfg"
    file.write_text(BLOCK + "\n" + BLOCK)
    with pytest.raises(DataError, match=r"type_map\.raw"):
        read(file)
    (tmp_path / "type_map.raw").write_text("O\nTi\n")
    data = read(file)
    assert len(data) == 2
    frame = data[0]
    assert frame.system.numbers.tolist() == [22, 8]
    np.testing.assert_allclose(frame.system.positions[1], [2.25, 2.0, 2.5])
    assert float(frame.labels["energy"]) == -12.5
    volume = 80.0
    wanted = -np.array([[8.0, 1.6, 4.0], [1.6, 16.0, -8.0], [4.0, -8.0, 24.0]]) / volume
    np.testing.assert_allclose(frame.labels["stress"].reshape(3, 3), wanted)
    assert frame.info["EFS_by"] == "VASP"


def test_recognized_by_content(tmp_path):
    (tmp_path / "other.txt").write_text(BLOCK)
    (tmp_path / "atomeye.cfg").write_text("Number of particles = 2\n")
    assert FORMATS["cfg"].sniff(tmp_path / "other.txt")
    assert not FORMATS["cfg"].sniff(tmp_path / "atomeye.cfg")
    with pytest.raises(DataError, match="no BEGIN_CFG"):
        read(tmp_path / "atomeye.cfg")


def test_damage_is_named(tmp_path):
    (tmp_path / "data.cfg").write_text(BLOCK + BLOCK.replace("END_CFG\n", ""))
    (tmp_path / "type_map.raw").write_text("O Ti")
    with pytest.raises(DataError, match="frame 1 of .* no END_CFG"):
        read(tmp_path / "data.cfg")
    slab = ase.build.bulk("Cu")
    slab.pbc = (False, False, True)
    with pytest.raises(DataError, match="periodic directions first"):
        cfg.write(tmp_path / "slab.cfg", [Frame(System.from_ase(slab), {})])
