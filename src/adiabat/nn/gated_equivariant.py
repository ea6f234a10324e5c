"""Gated blocks: dense layers for scalars and vectors together, in which scalars scale the vectors."""

import torch
from torch import Tensor, nn

from adiabat.nn.mlp import MLP, dense


class GatedEquivariantBlock(nn.Module):
    """s' and gate = MLP(s, |V v|), v' = gate ∘ W v (PaiNN, arXiv:2102.03150, fig. 3).

    Args:
        inputs: channels of the scalars and of the vectors.
        outputs: channels of both afterwards.
        activation: between the two layers of the network, which has `inputs` hidden channels.
    """

    def __init__(self, inputs: int, outputs: int, activation: str):
        super().__init__()
        self.outputs = outputs
        self.vectors = dense(inputs, 2 * outputs, bias=False)
        self.scalars = MLP((inputs + outputs, inputs, 2 * outputs), activation)

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars `[atoms, inputs]` and vectors `[atoms, 3, inputs]` to the same with `outputs` channels."""
        measured, gated = self.vectors(v).split(self.outputs, dim=-1)
        s, gate = self.scalars(torch.cat((s, measured.norm(dim=1)), dim=1)).split(self.outputs, dim=1)
        return s, gate[:, None] * gated
