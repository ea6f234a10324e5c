"""Weights' products through oneDNN are those of the captured graph."""

import pytest
import torch
from small_models import MODELS, several_graphs

from adiabat.compile.capture import Program, capture
from adiabat.compile.dense import dense_by_onednn
from adiabat.compile.graphs import PREDICTED, graph_from, graph_inputs, graph_layouts
from adiabat.compile.potential import Runner, tensors

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")


@pytest.mark.parametrize(("dtype", "some"), [(torch.float32, True), (torch.float64, False)])
def test_products_with_weights(dtype, some):
    torch.manual_seed(0)
    model = MODELS["painn"]().to(dtype)
    runner = Runner(model)
    graph = several_graphs()[0].to(dtype=dtype)
    inputs = graph_inputs(model.prepare(graph))

    def function(constants, given):
        found = runner.with_tensors(constants, graph_from(given, 3.0), ("energy", "forces"))
        return {name: getattr(found, name) for name in PREDICTED}

    program = Program(function, tensors(model), graph_layouts(inputs))
    module = capture(program).module
    flat = program.flat(tensors(model), inputs)
    expected = module(*flat)
    dense_by_onednn(module, len(program.constants))
    targets = [node.target for node in module.graph.nodes]
    products = targets.count(torch.ops.adiabat.linear.default)
    assert (products > 0) == some
    for ours, theirs in zip(module(*flat), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
