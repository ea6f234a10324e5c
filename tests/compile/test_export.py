"""An exported package gives the model's numbers in a process that has no adiabat."""

import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from small_models import ELEMENTS, MODELS, loosened, several_graphs, structure
from typer.testing import CliRunner

import adiabat.compile.export as export_module
from adiabat.architectures.local.local import Local, LocalConfig
from adiabat.checkpoint import save
from adiabat.cli.app import app
from adiabat.compile.build import load
from adiabat.compile.export import OUTPUTS, export, export_inputs
from adiabat.compile.potential import tensors
from adiabat.data.info import DataInfo
from adiabat.errors import CapabilityError, ConfigError
from adiabat.evaluate import evaluate
from adiabat.geometry import Graph
from adiabat.model import load as load_model
from adiabat.potential import Referenced

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
# without site there are no .pth files, and so no adiabat from a checkout
ALONE = """
import sys
sys.path += {paths!r}
sys.modules["adiabat"] = None
import warnings
warnings.simplefilter("ignore")
import torch
{snippet}
np.savez("result.npz", **{{k: v.numpy() for k, v in result.items()}})
print(about["format"], about["elements"], about["source"])
"""


def make(name, dtype=torch.float64):
    torch.manual_seed(0)
    return MODELS[name]().to(dtype)


def test_command_and_snippet(tmp_path):
    model = Referenced(make("schnet"), {1: -13.0, 8: -430.0}, 0.7)
    save(tmp_path / "ours.adiabat", model, DataInfo(elements=model.elements))
    arguments = ["export", str(tmp_path / "ours.adiabat"), str(tmp_path / "model.pt2"), "--float64"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "schnet, float64, H, O" in result.output
    system = structure(9, 5.0)
    atoms = Atoms(system.numbers.numpy(), system.positions.numpy(), cell=system.cell[0].numpy(), pbc=True)
    ase.io.write(tmp_path / "structure.xyz", atoms, format="extxyz")
    (snippet,) = re.findall(r"^```py\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    paths = [p for p in sys.path if p.endswith("-packages")]
    script = ALONE.format(paths=paths, snippet=snippet)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "adiabat-export-1 ['H', 'O'] ours.adiabat" in done.stdout
    atoms = ase.io.read(tmp_path / "structure.xyz")  # with the file's own digits
    expected = load_model(tmp_path / "ours.adiabat").to(dtype=torch.float64).predict(atoms)
    with np.load(tmp_path / "result.npz") as found:
        assert found["energy"][0] == pytest.approx(expected["energy"], rel=1e-12)
        np.testing.assert_allclose(found["forces"], expected["forces"], atol=1e-11)
        np.testing.assert_allclose(found["stress"][0], expected["stress"], atol=1e-11)
    run = load(tmp_path / "model.pt2")
    for graph in several_graphs():  # a batch, one atom, no pairs at all
        given = list(
            export_inputs(graph, ("positions", "numbers", "cell", "pbc", "system", "pairs", "shifts")).values()
        )
        ours, theirs = dict(zip(OUTPUTS, run(given), strict=True)), evaluate(model, graph, OUTPUTS)
        for name in OUTPUTS:
            torch.testing.assert_close(ours[name], getattr(theirs, name), rtol=1e-11, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"), [("mace", torch.float32), ("bpnn", torch.float64), ("painn", torch.float32)]
)
def test_other_methods(name, dtype, tmp_path):
    model = make(name, dtype)
    metadata = export(model, tmp_path / "model.pt2")
    assert ("triplets" in metadata["inputs"]) == (name == "bpnn")
    run, tolerance = load(tmp_path / "model.pt2"), {torch.float32: 1e-5, torch.float64: 1e-11}[dtype]
    for graph in several_graphs():
        graph = graph.to(dtype=dtype)
        ours = dict(zip(OUTPUTS, run(list(export_inputs(graph, metadata["inputs"]).values())), strict=True))
        theirs = evaluate(model, graph, OUTPUTS)
        for what in OUTPUTS:
            torch.testing.assert_close(ours[what], getattr(theirs, what), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("descriptor", "reads"),
    [
        ({"kind": "apip", "degrees": (2, 1), "cutoffs": (3.0, 2.6)}, {"slot", "table"}),
        ({"kind": "lode", "n_max": 1, "l_max": 0, "products": "potential"}, {"waves", "couples"}),
    ],
)
def test_what_a_model_prepares_is_an_input(descriptor, reads):
    model = loosened(Local(LocalConfig.parse({"descriptor": {"cutoff": 3.0} | descriptor}), ELEMENTS))
    program = export_module._program(model)
    assert reads <= set(program.inputs)
    assert set(program.inputs) & {"slot", "table", "waves", "couples", "triplets"} == reads
    for system in (structure(7, 4.0), structure(6, 4.0, pbc=False)):
        graph = Graph.build(system, model.cutoff)
        given = export_inputs(model.prepare(graph), program.inputs)
        assert list(given) == list(program.inputs)
        found = program.function(tensors(model), given)
        torch.testing.assert_close(found["forces"], evaluate(model, graph).forces, rtol=0, atol=1e-12)


def test_wrong_numbers_are_refused(tmp_path, monkeypatch):
    model = make("schnet", torch.float32)
    eager = {}

    def package(program, constants, metadata, path):
        eager["program"] = program
        path.write_bytes(b"")

    def run(path):
        def wrong(tensors):
            given = dict(zip(eager["program"].inputs, tensors, strict=True))
            graph = export_module._graph(given, model.cutoff)
            found = evaluate(model, graph, OUTPUTS)
            return [getattr(found, n) * (1.0001 if n == "forces" else 1.0) for n in OUTPUTS]

        return wrong

    monkeypatch.setattr(export_module, "_package", package)
    monkeypatch.setattr(export_module, "load", run)
    with pytest.raises(CapabilityError, match=r"forces of 7 atoms differ from eager ones by 1.0e-04"):
        export(model, tmp_path / "model.pt2")
    assert not list(tmp_path.glob("*.pt2"))


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="does not end in .pt2"):
        export(make("schnet"), tmp_path / "model.pt")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CapabilityError, match="no C\\+\\+ compiler"):
        export(make("schnet"), tmp_path / "model.pt2")


def test_rows_are_not_needed():
    model, graph = make("mace"), several_graphs()[1]
    given = export_inputs(graph, ("positions", "numbers", "cell", "pbc", "system", "pairs", "shifts"))
    plain = export_module._graph(given, model.cutoff)
    assert isinstance(plain, Graph)
    a, b = evaluate(model, plain, OUTPUTS), evaluate(model, graph, OUTPUTS)
    torch.testing.assert_close(a.forces, b.forces)
