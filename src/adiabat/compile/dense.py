"""Products with weight matrices through oneDNN, which torch carries, instead of its BLAS library.

MKL, the usual one, uses AVX-512 only on its maker's processors: on others oneDNN takes half the time in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

_aten = torch.ops.aten
# torch's own operation can only be compiled with weights that never change
_LIBRARY = torch.library.Library("adiabat", "FRAGMENT")
_LIBRARY.define("linear(Tensor values, Tensor weight, Tensor? bias) -> Tensor")


def _linear(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b."""
    return torch.ops.mkldnn._linear_pointwise(values.contiguous(), weight.contiguous(), bias, "none", [], "")


def _empty(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return values.new_empty((values.shape[0], weight.shape[0]))


_LIBRARY.impl("linear", _linear, "CPU")
torch.library.register_fake("adiabat::linear", _empty)


def dense_by_onednn(module: fx.GraphModule, constants: int) -> None:
    """Replaces float32 products of anything with one of the first `constants` inputs or its transpose, in place."""
    if not torch.backends.mkldnn.is_available():
        return
    linear = torch.ops.adiabat.linear.default
    graph = module.graph
    weights = set(graph.find_nodes(op="placeholder")[:constants])
    for node in list(graph.nodes):
        if node.target not in (_aten.mm.default, _aten.addmm.default):
            continue
        bias, values, weight = (None, *node.args) if node.target == _aten.mm.default else node.args
        source, transposed = weight, False
        while source.target == _aten.t.default:
            source, transposed = source.args[0], not transposed
        if source not in weights or node.meta["val"].dtype != torch.float32 or node.kwargs:
            continue
        if bias is not None and bias.meta["val"].dim() != 1:
            continue
        with graph.inserting_before(node):
            flipped = source if transposed else graph.call_function(_aten.t.default, (source,))
            made = graph.call_function(linear, (values, flipped, bias))
        made.meta = dict(node.meta)
        if flipped is not source:
            flipped.meta["val"] = source.meta["val"].t()
        node.replace_all_uses_with(made)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    module.recompile()
