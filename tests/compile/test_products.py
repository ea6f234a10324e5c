"""The faster products give what the captured graph gives."""

import pytest
import torch
from small_models import MODELS, several_graphs

from adiabat.compile.capture import Layout, Program, capture
from adiabat.compile.graphs import PREDICTED, graph_from, graph_inputs, graph_layouts
from adiabat.compile.potential import Runner, tensors
from adiabat.compile.products import take_faster_products
from adiabat.kernels.build import available

REASON = available("dense")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
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
    take_faster_products(module, len(program.constants))
    targets = [node.target for node in module.graph.nodes]
    assert (torch.ops.adiabat.linear.default in targets) == some
    for ours, theirs in zip(module(*flat), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(REASON is not None, reason=f"no compiled kernels: {REASON}")
def test_gradients_of_weights():
    def function(constants, given):
        return {"made": given["left"].t() @ given["right"] + constants["weight"]}

    layouts = {name: Layout(("pairs", width), torch.float64) for name, width in (("left", 13), ("right", 35))}
    program = Program(function, {"weight": torch.randn(13, 35)}, layouts)
    module = capture(program).module
    take_faster_products(module, 1)
    assert torch.ops.adiabat.cross.default in [node.target for node in module.graph.nodes]
    for rows in (1, 255, 700):
        left, right, weight = torch.randn(rows, 13), torch.randn(rows, 35), torch.randn(13, 35)
        (made,) = module(weight, left, right)
        torch.testing.assert_close(made, left.t() @ right + weight, rtol=1e-12, atol=1e-12)
