"""sGDML kits: predictions of the program's models, and the program's own training repeated."""

import pytest
import torch

from adiabat.architectures.kernel.sgdml import SGDML, SGDMLConfig
from adiabat.data import Frame, MemoryDataset, Subset
from adiabat.errors import DataError
from adiabat.evaluate import evaluate
from adiabat.fit.kernel import KernelConfig, KernelFitter
from adiabat.geometry import Graph, System
from adiabat.pretrained.importers.sgdml import from_kit, read_sgdml
from adiabat.pretrained.kit import Kit
from adiabat.testing.parity import parity
from adiabat.units import KCAL_PER_MOL


@pytest.mark.parametrize("name", ["sgdml-ethanol-published", "sgdml-ethanol-trained"])
def test_parity(shared, name):
    report = parity(Kit(shared / "golden" / name))
    assert report.status == "equal"
    assert {d.quantity.split("/")[-1] for d in report.deviations} == {"energy", "forces"}


@pytest.mark.parametrize(
    ("variant", "options"),
    [("sym", {}), ("nosym", {"symmetries": False}), ("sym_Ecstr", {"energy_constraints": True})],
)
def test_training_gives_the_programs_model(shared, variant, options):
    kit = Kit(shared / "golden" / "sgdml-ethanol-trained")
    arrays = kit.weights("training_data.safetensors")
    frames = []
    for k in range(len(arrays["R"])):
        labels = {"energy": arrays["E"][k] * KCAL_PER_MOL, "forces": arrays["F"][k] * KCAL_PER_MOL}
        frames.append(Frame(System.from_arrays(arrays["R"][k], arrays["z"]), labels))
    data = MemoryDataset(frames)
    train = Subset(data, arrays["idxs_train"].tolist())
    potential = SGDML(SGDMLConfig(**options), [1, 6, 8])
    KernelFitter(potential, train, data, KernelConfig(length_scales=(20,))).fit()
    published = from_kit(kit).potentials[variant]
    assert torch.equal(potential.permutations, published.permutations)
    graph = Graph.batch([Graph.build(f.system, float("inf")) for f in frames])
    ours, theirs = evaluate(potential, graph), evaluate(published, graph)
    # the kernel matrix has a condition number near 1e12, so solutions agree to about 1e-6 and predictions better
    assert float((ours.forces - theirs.forces).abs().max()) < 1e-6 * float(theirs.forces.abs().max())
    assert float((ours.energy - theirs.energy).abs().max()) < 1e-5


def test_original_file_reads_like_the_kit(shared):
    path = shared / "weights" / "sgdml" / "ethanol.npz"
    kit = from_kit(Kit(shared / "golden" / "sgdml-ethanol-published")).potentials[""]
    assert torch.equal(read_sgdml(path).weights, kit.weights)


def test_foreign_file_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="not a readable sGDML model"):
        read_sgdml(path)
