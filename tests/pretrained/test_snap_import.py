"""Files of LAMMPS's SNAP: parity, round trip, damaged ones."""

import ase
import pytest
import torch

from adiabat.architectures.local.bpnn import BPNN, BPNNConfig
from adiabat.architectures.local.snap import SNAP, SNAPConfig
from adiabat.errors import CapabilityError, CheckpointError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph, System
from adiabat.potential import Referenced
from adiabat.pretrained.importers.snap import read_snap, write_snap
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals import import_original
from adiabat.pretrained.weights import read_file
from adiabat.testing.parity import parity

KITS = ("cu", "cu-quadratic", "inp-chem", "monbtaw", "ni", "si", "ta-linear", "ta-quadratic")


@pytest.mark.parametrize("name", KITS)
def test_parity(name, shared):
    report = parity(Kit(shared / "golden" / f"snap-{name}"))
    assert report.status == "equal", report
    assert not report.failures


@pytest.mark.parametrize("folder", ["mlearn_models/Mo/snap", "mlearn_models/MoNbTaW", "fitsnap/WBe_PRB2019"])
def test_published_files_are_read(folder, shared):
    (file,) = (shared / "weights" / folder).rglob("*.snapcoeff")
    assert read_snap(file).head.weights.abs().max() > 0


def _energies(model):
    atoms = ase.Atoms("PInP", [[0, 0, 0], [1.3, 0, 0], [0.4, 2.0, 0.3]])
    found = evaluate(model, Graph.build(System.from_ase(atoms), model.cutoff), ("energy",))
    assert found.atomic_energies.abs().max() > 0.1
    return found.atomic_energies


@pytest.mark.parametrize(
    "options",
    [
        {"quadratic": True, "descriptor": {"twojmax": 2, "by_element": True}, "repulsion": (1.0, 2.0)},
        {
            "descriptor": {
                "twojmax": 3,
                "inner": {"In": (1.0, 0.2), "P": (0.8, 0.1)},
                "subtract": True,
                "switch": False,
            }
        },
    ],
)
def test_round_trip(options, tmp_path):
    torch.manual_seed(0)
    radii = {"In": 0.52, "P": 1 / 3}
    options["descriptor"] |= {"cutoff": 4.1, "radii": radii, "weights": {"P": 0.7}}
    model = SNAP(SNAPConfig.parse(options), [15, 49])
    torch.nn.init.normal_(model.head.weights)
    for potential in (model, Referenced(model, {15: -3.0, 49: 1.0})):
        written = write_snap(potential, tmp_path / "one.snapcoeff")
        assert [f.suffix for f in written[2:]] == [".mod"] * (model.config.repulsion is not None)
        read = read_snap(written[0])
        wanted = _energies(model)
        if potential is not model:
            wanted = wanted + torch.tensor([-3.0, 1.0])[torch.tensor([0, 1, 0])]
        torch.testing.assert_close(_energies(read), wanted, rtol=1e-13, atol=1e-13)
        assert read.config.repulsion == model.config.repulsion
        assert read.config.descriptor.model_dump(exclude={"weights"}) == model.config.descriptor.model_dump(
            exclude={"weights"}
        )


def test_equal_components_get_equal_coefficients(tmp_path):
    """LAMMPS takes the derivative as if they had: forces of other files are not those of its energy."""
    model = SNAP(SNAPConfig.parse({"descriptor": {"twojmax": 2, "by_element": True}}), [15, 49])
    torch.nn.init.normal_(model.head.weights, generator=torch.Generator().manual_seed(0))
    read = read_snap(write_snap(model, tmp_path / "one.snapcoeff")[0])
    labels = model.descriptor.coupling.labels
    grid = read.head.weights.detach()[:, 1:].view(2, 2, 2, 2, len(labels))
    for place, (j1, j2, j) in enumerate(labels):
        own = grid[..., place]
        for same, swapped in ((j1 == j2, own.transpose(1, 2)), (j1 == j, own.transpose(1, 3))):
            assert torch.allclose(own, swapped, rtol=1e-14, atol=0) == same


def test_elements_of_the_file_may_come_in_any_order(tmp_path):
    model = SNAP(SNAPConfig.parse({"quadratic": True, "descriptor": {"twojmax": 1, "by_element": True}}), [15, 49])
    torch.nn.init.normal_(model.head.weights, generator=torch.Generator().manual_seed(0))
    file = write_snap(model, tmp_path / "one.snapcoeff")[0]
    model = read_snap(file)
    heading, *lines = file.read_text().splitlines()[2:]
    half = len(lines) // 2
    file.write_text("\n".join((heading, *lines[half:], *lines[:half])))
    swapped = read_snap(file).head.weights
    # (e1, e2, e3) of 15 and 49 exchange their places in every component; that of all alike is the first and the last
    size, own = model.descriptor.size, len(model.descriptor.coupling.labels)
    assert torch.equal(swapped[:, 0], model.head.weights[:, 0])
    assert torch.equal(swapped[:, 1 : 1 + own], model.head.weights[:, 1 + size - own : 1 + size])
    first = size - own
    product = 1 + size + first * size - first * (first - 1) // 2  # of component `first` with itself
    assert torch.equal(swapped[:, 1 + size], model.head.weights[:, product])


@pytest.mark.parametrize(
    ("coefficients", "parameters", "message"),
    [
        ("1 2\nTa 0.5 1\n1.0\n", "rcutfac 4\ntwojmax 0\n", "is damaged|does not hold"),
        ("1 2\nTa 0.5 1\n1.0\nnan\n", "rcutfac 4\ntwojmax 0\n", "does not hold"),
        ("1 3\nTa 0.5 1\n1\n2\n3\n", "rcutfac 4\ntwojmax 0\n", "asks for 2"),
        ("1 2\nTa 0.5 1\n1\n2\n", "rcutfac 4\n", "no twojmax"),
        ("1 2\nTa 0.5 1\n1\n2\n", "rcutfac 4\ntwojmax 0\nswitchoff 1\n", "switchoff 1"),
        ("1 2\nTa 0.5 1\n1\n2\n", "rcutfac 4\ntwojmax 0\ndiagonalstyle 2\n", "diagonalstyle 2"),
        ("1 2\nTa 0.5 1\n1\n2\n", "rcutfac 4\ntwojmax 0\nswitchinnerflag 1\n", "sinner"),
        ("", "rcutfac 4\ntwojmax 0\n", "damaged"),
    ],
)
def test_damaged_files(coefficients, parameters, message, tmp_path):
    (tmp_path / "a.snapcoeff").write_text(coefficients)
    (tmp_path / "a.snapparam").write_text(parameters)
    with pytest.raises(CheckpointError, match=message):
        read_snap(tmp_path / "a.snapcoeff")


def test_repulsion_of_a_mod_file(tmp_path):
    (tmp_path / "a.snapcoeff").write_text("1 2\nTa 0.5 1\n1\n2\n")
    (tmp_path / "a.snapparam").write_text("rcutfac 4\ntwojmax 0\n")
    commands = "variable zblcutinner equal 4\nvariable zblcutouter equal 4.8\n"
    (tmp_path / "a.mod").write_text(
        commands + "pair_style hybrid/overlay &\nzbl ${zblcutinner} ${zblcutouter} snap\n"
    )
    assert read_snap(tmp_path / "a.snapcoeff").config.repulsion == (4.0, 4.8)


def test_others_cannot_be_written(tmp_path):
    with pytest.raises(CapabilityError, match="only SNAP"):
        write_snap(BPNN(BPNNConfig(), [29]), tmp_path / "a.snapcoeff")


def test_original_files_are_recognized(tmp_path):
    (tmp_path / "a.snapcoeff").write_text("1 2\nTa 0.5 1\n1\n2\n")
    with pytest.raises(CheckpointError, match="not recognized"):
        import_original(tmp_path / "a.snapcoeff")
    (tmp_path / "a.snapparam").write_text("rcutfac 4\ntwojmax 0\n")
    for path in (tmp_path, tmp_path / "a.snapcoeff", tmp_path / "a.snapparam"):
        (model,) = import_original(path).potentials.values()
        assert model.elements == (73,)


def test_catalogue_knows_the_repulsion_beneath(shared):
    """The files of FitSNAP leave it out: without it, the energy would be another."""
    for folder, radii in (("fitsnap/InP_JPCA2020", (4.0, 4.2)), ("mlearn_models/Cu/snap", None)):
        (file,) = (shared / "weights" / folder).rglob("*.snapcoeff")
        found = read_file(file.parent)
        assert found.entry is not None
        assert found.potential.config.repulsion == radii
