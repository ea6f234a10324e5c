"""TensorNet's parameters under the names that TorchMD-Net and matgl have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# patterns of a parameter's name on the page and what the programs call it, after `in_layout`
NAMES: Sequence[tuple[str, str]] = (
    (r"^embedding\.table$", "tensor_embedding.emb.weight"),
    (r"^tensors\.pair\.", "tensor_embedding.emb2."),
    (r"^tensors\.sum\.filters\.", "tensor_embedding.distance_proj."),
    (r"^tensors\.norm\.", "tensor_embedding.init_norm."),
    (r"^tensors\.gates\.layers\.", "tensor_embedding.linears_scalar."),
    (r"^tensors\.mix\.(\d)\.layers\.0\.", r"tensor_embedding.linears_tensor.\1."),
    (r"^interactions\.(\d+)\.message\.filters\.layers\.", r"layers.\1.linears_scalar."),
    (r"^interactions\.(\d+)\.inward\.(\d)\.layers\.0\.", r"layers.\1.linears_tensor.\2."),
    (r"^interactions\.(\d+)\.outward\.0\.layers\.0\.", r"layers.\1.linears_tensor.3."),
    (r"^interactions\.(\d+)\.outward\.1\.layers\.0\.", r"layers.\1.linears_tensor.4."),
    (r"^interactions\.(\d+)\.outward\.2\.layers\.0\.", r"layers.\1.linears_tensor.5."),
    (r"^norm\.", "out_norm."),
    (r"^outward\.", "linear."),
)


def in_layout(weights: Mapping[str, Tensor], sign: float = 1.0, parts_last: bool = False) -> dict[str, Tensor]:
    """The same parameters in the page's layout.

    Args:
        weights: names without prefix.
        sign: −1 if directions point from the neighbor to the center.
        parts_last: whether the part (I, A, S) is the fastest index of what scales parts, instead of the slowest.
    """
    made = dict(weights)
    for kind in ("weight", "bias"):
        one, two, three = (weights[f"tensor_embedding.distance_proj{k}.{kind}"] for k in (1, 2, 3))
        made[f"tensor_embedding.distance_proj.{kind}"] = torch.cat([one, sign * two, three])
    if parts_last:
        last = re.compile(r"(tensor_embedding\.linears_scalar\.1|layers\.\d+\.linears_scalar\.2)\.")
        for name in filter(last.match, weights):
            made[name] = weights[name].unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
    return made
