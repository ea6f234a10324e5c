"""A dense network whose output another one switches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.errors import CapabilityError
from adiabat.kernels.dense import Network, network
from adiabat.kernels.gated_sum import GatedSum, Kind
from adiabat.nn.mlp import dense


class NormalizedGatedMLP(nn.Module):
    """φ(x) = silu(LN(core(x))) ∘ σ(LN(gate(x))) of several inputs x side by side (doi:10.1038/s42256-023-00716-3).

    The first layers of both networks are one matrix. As they are linear, what an input adds to them is made where the
    input lives (`part`): features of an atom once an atom, not once for each of its pairs.

    Args:
        inputs: width of each input.
        hidden: width of the hidden layer of either network; 0 for networks of one layer.
        outputs: width of the output.
        normalize: whether there are layer normalizations LN.
    """

    def __init__(self, inputs: Sequence[int], hidden: int, outputs: int, normalize: bool = True):
        super().__init__()
        self.inputs = list(inputs)
        self.inward = nn.Linear(sum(inputs), 2 * (hidden or outputs))
        for half in self.inward.weight.chunk(2):
            nn.init.xavier_uniform_(half)
        nn.init.zeros_(self.inward.bias)
        self.core = dense(hidden, outputs) if hidden else None
        self.gate = dense(hidden, outputs) if hidden else None
        self.kernel: GatedSum | None = None
        self.parts: list[Network] = []
        self.core_norm = nn.LayerNorm(outputs) if normalize else nn.Identity()
        self.gate_norm = nn.LayerNorm(outputs) if normalize else nn.Identity()

    def freeze(self, kind: Kind) -> None:
        """Makes `kernel` for good, see `GatedSum`; raises CapabilityError without normalization."""
        if isinstance(self.core_norm, nn.Identity) or isinstance(self.gate_norm, nn.Identity):
            raise CapabilityError("gated networks without layer normalization have no fast kernel.")
        self.kernel = GatedSum(kind, self.core, self.gate, (self.core_norm, self.gate_norm))
        self.parts = [network(self._weight(k), None if k else self.inward.bias) for k in range(len(self.inputs))]

    def part(self, place: int, values: Tensor) -> Tensor:
        """What input number `place` adds to the first layers `[n, 2 · hidden]`; the bias comes with the first."""
        if self.parts:
            return self.parts[place](values)
        return functional.linear(values, self._weight(place), self.inward.bias if place == 0 else None)

    def part_after(self, place: int, layer: nn.Linear) -> Network:
        """`part` of what a layer without bias gives, as one frozen layer."""
        return network(self._weight(place) @ layer.weight)

    def _weight(self, place: int) -> Tensor:
        return self.inward.weight.split(self.inputs, dim=1)[place]

    def forward(self, summed: Tensor) -> Tensor:
        """φ `[n, outputs]` from the sum of the parts of all inputs."""
        core, gate = (summed if self.core is None else functional.silu(summed)).chunk(2, dim=1)
        if self.core is not None and self.gate is not None:
            core, gate = self.core(core), self.gate(gate)
        return functional.silu(self.core_norm(core)) * torch.sigmoid(self.gate_norm(gate))
