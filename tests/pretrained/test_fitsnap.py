"""FitSNAP's input as a recipe, and the published tantalum potential fitted anew."""

import json
import lzma

import pytest
import torch

from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.data import MemoryDataset, read
from adiabat.errors import CapabilityError, ConfigError
from adiabat.fit.linear import LinearConfig, LinearFitter
from adiabat.pretrained.fitsnap import BAR, read_fitsnap
from adiabat.pretrained.importers.snap import read_snap

RECIPE = """
[BISPECTRUM]
numTypes = 1
twojmax = 6
rcutfac = 4.67637
rfac0 = 0.99363
rmin0 = 0.0
wj = 1.0
radelem = 0.5
type = Ta
bzeroflag = 0
[CALCULATOR]
calculator = LAMMPSSNAP
energy = 1
force = 1
stress = 1
[ESHIFT]
Ta = 0.0
[SOLVER]
solver = SVD
[REFERENCE]
pair_style = hybrid/overlay zero 10.0 zbl 4.0 4.8
pair_coeff2 = * * zbl 73 73
[GROUPS]
# name size eweight fweight vweight
group_sections = name training_size testing_size eweight fweight vweight
group_types = str float float float float float
smartweights = 0
"""
GROUPS = {
    **dict.fromkeys(("Displaced_A15", "Displaced_BCC", "Displaced_FCC"), "100 1 1e-8"),
    "Elastic_BCC": "1e-8 1e-8 0.0001",
    "Elastic_FCC": "1e-9 1e-9 1e-9",
    **dict.fromkeys(("GSF_110", "GSF_112", "Surface"), "100 1 1e-8"),
    "Liquid": "467 1 1e-8",
    **dict.fromkeys(("Volume_A15", "Volume_BCC", "Volume_FCC"), "1 1e-9 1e-9"),
}


def _write(folder, text=RECIPE, groups=GROUPS):
    (folder / "Ta.in").write_text(text + "\n".join(f"{name} = 1.0 0.0 {row}" for name, row in groups.items()))
    return folder / "Ta.in"


def test_published_potential_is_found_again(shared, tmp_path):
    """The coefficients of 2021 from its data, weights and settings (J. Comput. Phys. 285, 316 (2015))."""
    archive = shared / "data" / "Ta_SNAP" / "Ta.extxyz.xz"
    (tmp_path / "Ta.extxyz").write_bytes(lzma.decompress(archive.read_bytes()))
    data = read(tmp_path / "Ta.extxyz")
    recipe = read_fitsnap(_write(tmp_path))
    model = SNAP(SNAPConfig.parse(recipe["model"]), [73])
    LinearFitter(model, data, MemoryDataset([data[0]]), LinearConfig.parse(recipe["fit"])).fit()
    folder = shared / "weights" / "fitsnap" / "Ta_Linear_JCP2014"
    (file,) = folder.rglob("*.snapcoeff")
    published = read_snap(file).head.weights
    torch.testing.assert_close(model.head.weights.detach(), published.detach(), rtol=0, atol=1e-6)


def test_groups_and_units(tmp_path):
    groups = {"A": "100 1 1e-8", "B": "1 0 0"}
    recipe = read_fitsnap(_write(tmp_path, groups=groups))
    assert recipe["fit"]["row_weights"]["A"] == {"energy": 100.0, "forces": 1.0, "stress": 1e-8 * BAR}
    assert recipe["fit"]["regularization"] == "none"
    assert recipe["model"]["repulsion"] == (4.0, 4.8)
    assert LinearConfig.parse(recipe["fit"]).wanted == ("energy", "forces", "stress")
    without = read_fitsnap(_write(tmp_path, RECIPE.replace("stress = 1", "stress = 0"), groups))
    assert LinearConfig.parse(without["fit"]).wanted == ("energy", "forces")


def test_json_is_the_same(tmp_path):
    file = _write(tmp_path, groups={"A": "1 1 1"})
    lines, sections = file.read_text().splitlines(), {}
    for line in lines:
        if line.startswith("["):
            own = sections.setdefault(line.strip("[]"), {})
        elif "=" in line:
            key, value = line.split("=", 1)
            own[key.strip()] = value.strip()
    (tmp_path / "Ta.json").write_text(json.dumps(sections))
    assert read_fitsnap(tmp_path / "Ta.json") == read_fitsnap(file)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("solver = SVD", "solver = JAX", CapabilityError, "solver JAX"),
        ("smartweights = 0", "smartweights = 1", CapabilityError, "smartweights"),
        ("Ta = 0.0", "Ta = 1.5", CapabilityError, "shifts the energy of Ta"),
        ("zbl 4.0 4.8", "zbl 4.0 4.8 coul/cut 6", CapabilityError, "coul/cut"),
        ("[BISPECTRUM]", "[ACE]", ConfigError, "no sections BISPECTRUM"),
        ("eweight fweight", "weight fweight", ConfigError, "eweight"),
    ],
)
def test_what_would_give_another_potential_is_refused(old, new, error, message, tmp_path):
    with pytest.raises(error, match=message):
        read_fitsnap(_write(tmp_path, RECIPE.replace(old, new), {"A": "1 1 1"}))
