"""Σ_j R(r_ij) ∘ (h_j ⊗ Y_ij) with tabulated R, the convolution of MACE and its kin, without edge-sized tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from adiabat.errors import CapabilityError
from adiabat.kernels.build import call, same_type
from adiabat.kernels.operation import Kernel
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table

BLOCK = 16  # channels are filled up to whole multiples
LARGEST = 7  # 2l+1 of the largest irrep compiled
MEMORY = 1 << 30  # bytes that tables may take


@dataclass(frozen=True)
class Path:
    """One coupling of features with harmonics.

    Attributes:
        source: which input.
        output: which output.
    """

    source: int
    output: int


class NeighborProduct(Kernel):
    """out[i, m, path·channels + c] = Σ_j Σ_n R_path,c(r_ij) M_ij,path[n, m] h_j[n, c], differentiable once.

    With `summed` the paths to one output are added up instead of lying side by side.

    Args:
        sizes_in: 2l+1 of each input.
        sizes_out: 2l+1 of each output.
        paths: in the order of the couplings M and of the table's channels; an output's paths lie side by side.
        channels: of the inputs.
        tables: R, `[paths · channels]` each, one for each kind of pair; all with the same range.
        summed: whether an output is the sum of its paths.

    Raises:
        CapabilityError: an irrep is larger than l = 3, or the tables would take more than 1 GiB.
    """

    differentiable: ClassVar[int] = 3

    def __init__(
        self,
        sizes_in: Sequence[int],
        sizes_out: Sequence[int],
        paths: Sequence[Path],
        channels: int,
        tables: Sequence[Table],
        summed: bool = False,
    ):
        if max(*sizes_in, *sizes_out) > LARGEST:
            raise CapabilityError("the fast kernel of the convolution goes up to l = 3, and this model needs more.")
        self.channels, self.padded = channels, -(-channels // BLOCK) * BLOCK
        self.sizes_in, self.sizes_out, self.paths = list(sizes_in), list(sizes_out), list(paths)
        self.summed = summed
        self.columns = [1 if summed else sum(p.output == k for p in paths) for k in range(len(sizes_out))]
        self.couplings = sum(sizes_in[p.source] * sizes_out[p.output] for p in paths)
        self.table = self._joined(tables)
        self.numbers = torch.tensor(self._layout(), dtype=torch.int64)

    def _joined(self, tables: Sequence[Table]) -> Table:
        """One table with the kinds' intervals one after the other, channels filled up."""
        first, most = tables[0], max(t.intervals for t in tables)
        width = len(self.paths) * self.padded
        needed = len(tables) * most * 4 * width * first.coefficients.element_size()
        if needed > MEMORY:
            raise CapabilityError(
                f"tables of the radial functions for {len(tables)} pairs of elements would take"
                f" {needed / 2**30:.1f} GiB: make the model for the elements that are needed."
            )
        self.kinds, self.intervals = len(tables), most
        parts = []
        for table in tables:
            values = table.refined(most).view(most, 4, len(self.paths), self.channels)
            parts.append(functional.pad(values, (0, self.padded - self.channels)).reshape(most, 4, width))
        error = max(t.error for t in tables)
        return Table(torch.cat(parts).contiguous(), first.start, first.stop, error)

    def _layout(self) -> list[int]:
        """Each path's 2l+1 in, 2l+1 out and (first row, first coupling, output, slot); then paths of each output."""
        rows = [sum(self.sizes_in[:k]) for k in range(len(self.sizes_in))]
        plan, seen, coupling = [], [0] * len(self.sizes_out), 0
        for path in self.paths:
            plan += [rows[path.source], coupling, path.output, seen[path.output]]
            coupling += self.sizes_in[path.source] * self.sizes_out[path.output]
            seen[path.output] += 0 if self.summed else 1
        return [
            *(self.sizes_in[p.source] for p in self.paths),
            *(self.sizes_out[p.output] for p in self.paths),
            *plan,
            *self.columns,
        ]

    def __call__(
        self, features: Sequence[Tensor], coupled: Tensor, distances: Tensor, kinds: Tensor, pairs: PairIndex
    ) -> list[Tensor]:
        """The sums, `[atoms, 2l+1, paths · channels]` for each output.

        Args:
            features: h, `[atoms, 2l+1, channels]` for each input.
            coupled: M, `[pairs, couplings]`, row by row for each path.
            distances: `[pairs]`, Å; pairs from the table's end on are skipped.
            kinds: which table each pair uses `[pairs]`.
            pairs: from `PairIndex.of`.
        """
        joined = torch.cat(list(features), dim=1)
        if self.padded > self.channels:
            joined = functional.pad(joined, (0, self.padded - self.channels))
        made = self.apply(joined, coupled, distances, kinds, *pairs.tensors)
        if self.padded == self.channels:
            return list(made)
        return [
            x.view(*x.shape[:2], n, self.padded)[..., : self.channels].flatten(2)
            for x, n in zip(made, self.columns, strict=True)
        ]

    def reference(
        self, features: Sequence[Tensor], coupled: Tensor, distances: Tensor, kinds: Tensor, pairs: PairIndex
    ) -> list[Tensor]:
        """The same in torch."""
        made: list[list[Tensor]] = [[] for _ in self.sizes_out]
        own = self.table.coefficients.view(self.kinds, self.intervals, 4, len(self.paths), self.padded)
        tables = [Table(part.flatten(2), self.table.start, self.table.stop) for part in own]
        values = torch.stack([table(distances) for table in tables])[kinds, torch.arange(len(distances))]
        values = torch.where((distances < self.table.stop)[:, None], values, torch.zeros_like(values))
        begin = 0
        for k, path in enumerate(self.paths):
            n, m = self.sizes_in[path.source], self.sizes_out[path.output]
            matrix = coupled[:, begin : begin + n * m].view(-1, n, m)
            begin += n * m
            radial = values[:, k * self.padded : k * self.padded + self.channels]
            messages = torch.einsum("pnm,pnc->pmc", matrix, features[path.source][pairs.neighbors] * radial[:, None])
            made[path.output].append(pairs.sum(messages))
        return [torch.stack(parts).sum(dim=0) if self.summed else torch.cat(parts, dim=-1) for parts in made]

    def outputs(self, *inputs: Tensor) -> list[Tensor]:
        shapes = zip(self.sizes_out, self.columns, strict=True)
        return [inputs[0].new_empty((inputs[0].shape[0], size, n * self.padded)) for size, n in shapes]

    def run(self, inputs: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *given, _, neighbors, begins, _, _ = inputs
        dtype = same_type(*given[:3], self.table.coefficients)
        for tensor in made:
            tensor.zero_()
        call("neighbor_product", "forward", dtype, *self._arguments(*given), begins, neighbors, _addresses(made))

    def pull(self, inputs: Sequence[Tensor], gradients: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        *given, centers, _, _, order, begins = inputs
        features, coupled, distances = made
        for tensor in made:
            tensor.zero_()
        call(
            "neighbor_product", "backward", features.dtype, *self._arguments(*given), begins, order, centers,
            _addresses(gradients), features, distances, coupled,
        )  # fmt: skip

    def _arguments(self, features: Tensor, coupled: Tensor, distances: Tensor, kinds: Tensor) -> tuple[Tensor, ...]:
        """What both kernels begin with."""
        atoms, rows, channels = features.shape
        numbers = torch.tensor([atoms, channels, rows, len(self.paths), self.couplings, self.intervals])
        inverse_step = self.intervals / (self.table.stop - self.table.start)
        span = torch.tensor([self.table.start, self.table.stop, inverse_step], dtype=torch.float64)
        return numbers, self.numbers, span, distances, coupled, features, self.table.coefficients, kinds


def _addresses(tensors: Sequence[Tensor]) -> Tensor:
    return torch.tensor([t.data_ptr() for t in tensors], dtype=torch.int64)
