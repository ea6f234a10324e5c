"""Dense layers half of whose outputs gate the other half."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import silu

from adiabat.nn.mlp import dense


class GatedLayers(nn.Module):
    """Layers a ∘ silu(b) with (a, b) = W x + c, and a linear layer without bias.

    Args:
        inputs: width of the input.
        hidden: widths of a.
        outputs: width of the output.
        bias: whether there is c.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, bias: bool = True):
        super().__init__()
        widths = [inputs, *hidden]
        self.layers = nn.ModuleList(dense(a, 2 * b, bias) for a, b in zip(widths[:-1], hidden, strict=True))
        self.last = dense(widths[-1], outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[atoms, inputs]` to `[atoms, outputs]`."""
        for layer in self.layers:
            value, gate = layer(x).chunk(2, dim=1)
            x = value * silu(gate)
        return self.last(x)
