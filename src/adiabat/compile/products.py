"""Products of matrices in compiled training steps by what is faster than torch's BLAS library.

MKL, the usual one, uses AVX-512 only on its maker's processors: on others, oneDNN, which torch carries too, and
adiabat's own kernel take about half the time in float32.

| product | by |
|---|---|
| x Wᵀ + b, g W: rows of anything times weights | oneDNN, float32 |
| gᵀ x: gradients of weights, sums over all rows | `kernels/dense.cpp`, any type |
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from adiabat.kernels.build import available, call, same_type

_aten = torch.ops.aten
_LIBRARY = torch.library.Library("adiabat", "FRAGMENT")
# torch's own operation can only be compiled with weights that never change
_LIBRARY.define("linear(Tensor values, Tensor weight, Tensor? bias) -> Tensor")
_LIBRARY.define("cross(Tensor left, Tensor right) -> Tensor")


def _linear(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b."""
    return torch.ops.mkldnn._linear_pointwise(values.contiguous(), weight.contiguous(), bias, "none", [], "")


def _cross(left: Tensor, right: Tensor) -> Tensor:
    """Aᵀ B of `[rows, m]` and `[rows, n]`."""
    (rows, m), n, dtype = left.shape, right.shape[1], same_type(left, right)
    room = torch.zeros(1, dtype=torch.int64)
    call("dense", "room", dtype, n, room)
    made, packed = left.new_empty((m, n)), left.new_empty(int(room))
    call("dense", "cross", dtype, rows, m, n, left.contiguous(), right.contiguous(), packed, made)
    return made


_LIBRARY.impl("linear", _linear, "CPU")
_LIBRARY.impl("cross", _cross, "CPU")
torch.library.register_fake("adiabat::linear", lambda x, w, _: x.new_empty((x.shape[0], w.shape[0])))
torch.library.register_fake("adiabat::cross", lambda a, b: a.new_empty((a.shape[1], b.shape[1])))


def take_faster_products(module: fx.GraphModule, constants: int) -> None:
    """Replaces products in a captured graph for the CPU, in place.

    Args:
        module: as `capture` gives it.
        constants: how many of its inputs, the first ones, are weights.
    """
    graph = module.graph
    weights = set(graph.find_nodes(op="placeholder")[:constants])
    for target in (_aten.mm.default, _aten.addmm.default):
        for node in graph.find_nodes(op="call_function", target=target):
            if not _by_onednn(graph, node, weights):
                _by_kernel(graph, node)
    graph.eliminate_dead_code()
    module.recompile()


def _by_onednn(graph: fx.Graph, node: fx.Node, weights: set[fx.Node]) -> bool:
    """Whether the node was a float32 product with a weight or its transpose, and now is oneDNN's."""
    bias, values, weight = (None, *node.args) if node.target == _aten.mm.default else node.args
    source, transposed = weight, False
    while source.target == _aten.t.default:  # type: ignore[union-attr]
        source, transposed = source.args[0], not transposed  # type: ignore[union-attr]
    if source not in weights or node.meta["val"].dtype != torch.float32 or node.kwargs:
        return False
    if not torch.backends.mkldnn.is_available() or (bias is not None and bias.meta["val"].dim() != 1):  # type: ignore[union-attr]
        return False
    with graph.inserting_before(node):
        flipped = source if transposed else graph.call_function(_aten.t.default, (source,))
        made = graph.call_function(torch.ops.adiabat.linear.default, (values, flipped, bias))
    if flipped is not source:
        flipped.meta["val"] = source.meta["val"].t()  # type: ignore[union-attr]
    _replace(graph, node, made)
    return True


def _by_kernel(graph: fx.Graph, node: fx.Node) -> None:
    """Takes the kernel for Aᵀ B over rows of varying number."""
    if node.target != _aten.mm.default or available("dense") is not None:
        return
    left, right = node.args
    if left.target != _aten.t.default or isinstance(right.meta["val"].shape[0], int):  # type: ignore[union-attr]
        return
    with graph.inserting_before(node):
        made = graph.call_function(torch.ops.adiabat.cross.default, (left.args[0], right))  # type: ignore[union-attr]
    _replace(graph, node, made)


def _replace(graph: fx.Graph, node: fx.Node, made: fx.Node) -> None:
    made.meta = dict(node.meta)
    node.replace_all_uses_with(made)
    graph.erase_node(node)
