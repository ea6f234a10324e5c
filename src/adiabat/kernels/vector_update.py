"""The update block of PaiNN as one operation; what it equals in torch is on PaiNN's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from adiabat.kernels.build import call, same_type
from adiabat.kernels.dense import ACTIVATIONS, Dense
from adiabat.kernels.operation import Kernel


class VectorUpdate(Kernel):
    """s + a_ss + a_sv ⟨U v, V v⟩ and v + a_vv U v with a(s, |V v|), for each atom (arXiv:2102.03150, eqs. 9 and 10).

    Args:
        mix: V and U, without bias.
        hidden: first layer of the network a, of s and |V v| side by side.
        outer: second layer, of a_ss, a_vv, a_sv side by side; SiLU between the two.
        epsilon: |V v| is √(Σ (V v)² + epsilon).
    """

    differentiable: ClassVar[int] = 2
    kept = 5

    def __init__(self, mix: nn.Linear, hidden: nn.Linear, outer: nn.Linear, epsilon: float):
        self.mix, self.hidden, self.outer = Dense(mix), Dense(hidden), Dense(outer)
        self.epsilon = epsilon

    def __call__(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars `[atoms, channels]` and vectors `[atoms, 3, channels]` to the same, differentiable once."""
        made = self.apply(s, v)
        return made[0], made[1]

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        s, v = inputs
        atoms, n = s.shape
        # kept: V v and U v; s and |V v|; ⟨U v, V v⟩; the hidden layer before SiLU; a
        widths = (6 * n, 2 * n, n, self.hidden.outputs, 3 * n)
        return [torch.empty_like(s), torch.empty_like(v), *(s.new_empty((atoms, width)) for width in widths)]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        s, v = inputs
        made_s, made_v, mixed, invariants, dots, hidden, a = made
        dtype, (atoms, n) = same_type(s, v), s.shape
        self.mix.forward(v, mixed)
        call("vector_update", "measure", dtype, atoms, n, self.epsilon, s, mixed, invariants, dots)
        self.hidden.forward(invariants, hidden)
        self.outer.forward(functional.silu(hidden), a)
        call("vector_update", "renew", dtype, atoms, n, s, v, mixed, dots, a, made_s, made_v)

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        s, _, mixed, invariants, dots, hidden, a = inputs
        gs, gv = gradients
        made_s, made_v = made
        atoms, n = s.shape
        ga, gh, gi, gm = (torch.empty_like(t) for t in (a, hidden, invariants, mixed))
        call("vector_update", "pull_renew", s.dtype, atoms, n, mixed, dots, gs, gv, ga)
        self.outer.pull(ga, gh)
        self.hidden.pull(ACTIVATIONS["silu"].pull(gh, hidden), gi)
        call("vector_update", "pull_measure", s.dtype, atoms, n, mixed, invariants, a, gs, gv, gi, made_s, gm)
        made_v.copy_(gv)
        self.mix.pull(gm, made_v, add=True)
