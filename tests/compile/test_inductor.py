"""What Inductor makes equals eager evaluation; a second process finds it on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import MODELS, several_graphs

from adiabat.compile import compiled
from adiabat.evaluate import evaluate

WANT = ("energy", "forces", "stress")
AGAIN = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from small_models import MODELS, several_graphs
from adiabat.compile import compiled
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
torch.manual_seed(1)  # other weights than before
model = MODELS["schnet"]().double()
run = compiled(model, ("energy", "forces", "stress"), "inductor")
graph = several_graphs()[1]
from adiabat.evaluate import evaluate
assert torch.allclose(run(graph).forces, evaluate(model, graph).forces, rtol=1e-11, atol=1e-12)
print(run.executable.cached, "torch._inductor.compile_fx" in sys.modules)
"""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "schnet" else pytest.mark.slow) for name in MODELS]
)
def test_inductor_equals_eager(name, capsys, tmp_path):
    torch.manual_seed(0)
    model = MODELS[name]()
    run = compiled(model, WANT, "inductor")
    for graph in several_graphs():
        found, expected = run(graph), evaluate(model, graph, WANT)
        for what in (*WANT, "atomic_energies"):
            ours, theirs = getattr(found, what), getattr(expected, what)
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12, equal_nan=True)
    assert run.reason is None
    assert not run.executable.cached
    assert capsys.readouterr().err.count("compiling") == 1
    if name == "schnet":
        _second_process()


def _second_process():
    """The same model with other weights, in a new process: loads what is there, and does not import the compiler."""
    arguments = [sys.executable, "-W", "ignore", "-c", AGAIN, str(Path(__file__).parents[1])]
    done = subprocess.run(arguments, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    cached, compiler = done.stdout.split()
    assert cached == "True"
    assert compiler == "False"
    assert "compiling" not in done.stderr
