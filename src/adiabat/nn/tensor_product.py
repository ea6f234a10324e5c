"""Sums over neighbors of features times edge harmonics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adiabat.geometry.neighborhood import Neighborhood, PairList
from adiabat.kernels import path_form
from adiabat.kernels.neighbor_product import NeighborProduct, Path
from adiabat.kernels.pairs import PairIndex
from adiabat.kernels.tables import Table
from adiabat.nn.clebsch_gordan import coupling
from adiabat.nn.constants import ConstantModule
from adiabat.nn.irreps import Irrep, Irreps


class NeighborTensorProduct(ConstantModule):
    """A_i = Σ_j R_ij,p ∘ (h_j ⊗ Y(r_ij))_p for every path p = (l₁, l₂) → l₃ (arXiv:2206.07697, eq. 8).

    Channels do not mix ("uvu"). In the output the paths to one l₃ lie side by side along the channels, ordered by l₁
    and then l₂. Each is coupled by `adiabat.nn.clebsch_gordan.coupling`.

    Args:
        irreps_in: of the features h, all with the same multiplicity.
        irreps_edge: of the harmonics, multiplicity 1.
        irreps_out: wanted irreps l₃; their multiplicities do not matter.
    """

    def __init__(self, irreps_in: Irreps, irreps_edge: Irreps, irreps_out: Irreps):
        super().__init__()
        self.channels = irreps_in.channels
        edges = irreps_edge.slices()
        blocks: list[np.ndarray] = []
        terms = []
        self.coupled: list[tuple[Irrep, Irrep, Irrep]] = []  # feature, harmonic and output of each path
        self.paths: list[list[tuple[int, int]]] = []  # for each l₃: which feature, how many columns of the couplings
        for _, out in irreps_out:
            own: list[tuple[int, int]] = []
            for source, (_, left) in enumerate(irreps_in):
                for (_, right), place in zip(irreps_edge, edges, strict=True):
                    if out not in left * right:
                        continue
                    table = np.zeros((irreps_edge.dim, left.dim * out.dim))
                    table[place] = coupling(left.l, right.l, out.l).transpose(1, 0, 2).reshape(right.dim, -1)
                    own.append((source, table.shape[1]))
                    self.coupled.append((left, right, out))
                    blocks.append(table)
            if own:
                self.paths.append(own)
                terms.append((len(own) * self.channels, out))
        self.irreps_in, self.irreps_out = irreps_in, Irreps(tuple(terms))
        self.kernel: NeighborProduct | None = None
        self.path_count = len(blocks)
        made = [(source, size // irreps_in.terms[source][1].dim) for own in self.paths for source, size in own]
        self._form = path_form.paths_of([ir.dim for _, ir in irreps_in], made)
        self.register_constant("couplings", np.concatenate(blocks, axis=1))

    couplings: Tensor

    def freeze(self, tables: Sequence[Table]) -> None:
        """Makes `fused` ready, for good: weights from one table for each kind of pair, `[path_count · channels]`."""
        sizes_in, sizes_out = [ir.dim for _, ir in self.irreps_in], [ir.dim for _, ir in self.irreps_out]
        paths = [Path(source, made) for made, own in enumerate(self.paths) for source, _ in own]
        tables = [table.to(self.couplings.dtype) for table in tables]
        self.kernel = NeighborProduct(sizes_in, sizes_out, paths, self.channels, tables)

    def fused(
        self, features: Sequence[Tensor], harmonics: Tensor, distances: Tensor, kinds: Tensor, pairs: PairIndex
    ) -> list[Tensor]:
        """What `forward` gives, by the fast kernel: `freeze` has fixed the weights, see `NeighborProduct`."""
        assert self.kernel is not None
        return self.kernel(features, harmonics @ self.couplings, distances, kinds, pairs)

    def forward(
        self, features: Sequence[Tensor], harmonics: Tensor, weights: Tensor, hood: Neighborhood | PairList
    ) -> list[Tensor]:
        """The sums, `[atoms, 2l+1, paths · channels]` for each irrep of `irreps_out`.

        Args:
            features: h, `[atoms, 2l+1, channels]` for each irrep.
            harmonics: Y, `[slots, (l_max+1)²]`, zero in filled-up slots.
            weights: R, `[slots, path_count · channels]`.
            hood: where the slots of each atom are.
        """
        if self.training and isinstance(hood, Neighborhood) and path_form.usable(features[0], self._form):
            return self._by_kernel(features, harmonics, weights, hood)
        rows = [x.index_select(0, hood.neighbors) for x in features]
        # taken apart at once: slice by slice, the backward pass would fill a tensor of the whole size for each
        radial = weights.view(-1, self.path_count, 1, self.channels).unbind(1)
        coupled = (harmonics @ self.couplings).split([size for own in self.paths for _, size in own], dim=1)
        made, path = [], 0
        for own, (_, out) in zip(self.paths, self.irreps_out, strict=True):
            sums = []
            for source, _ in own:
                size = rows[source].shape[1]
                left = coupled[path].reshape(-1, size, out.dim)
                sums.append(hood.contract(left, rows[source] * radial[path]))
                path += 1
            made.append(torch.cat(sums, dim=-1))
        return made

    def _by_kernel(
        self, features: Sequence[Tensor], harmonics: Tensor, weights: Tensor, hood: Neighborhood
    ) -> list[Tensor]:
        """What `forward` gives, by kernels that can be differentiated again and again."""
        radial = weights.reshape(-1, self.path_count, self.channels)
        joined = features[0] if len(features) == 1 else torch.cat(list(features), dim=1)
        sums = path_form.sums(joined, harmonics @ self.couplings, radial, hood.table, self._form)
        parts = iter(sums.split([out.dim for own, (_, out) in self._outputs() for _ in own], dim=1))
        return [torch.cat([next(parts) for _ in own], dim=-1) for own, _ in self._outputs()]

    def _outputs(self) -> list[tuple[list[tuple[int, int]], tuple[int, Irrep]]]:
        """Paths beside the irrep that they make."""
        return list(zip(self.paths, self.irreps_out, strict=True))
