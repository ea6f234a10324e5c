"""sGDML: a global force field by kernel regression in the gradient domain, symmetrized by permutations.

S. Chmiela et al., Sci. Adv. 3, e1603015 (2017), doi:10.1126/sciadv.1603015 (GDML);
Nat. Commun. 9, 3887 (2018), doi:10.1038/s41467-018-06169-2 (sGDML).

| paper | here | shape, unit |
|---|---|---|
| x, D(x) | `values` | [B, P], Å⁻¹ |
| x_i, training descriptors | `points` | [M, P], Å⁻¹ |
| J_i α_i | `weights` | [M, P], eV |
| α_i^E | `energy_weights` | [M], eV (energy constraints only) |
| P_q | `permutations` | [S, N] |
| σ | `length_scale` | Å⁻¹ |
| c, integration constant | `constant` | eV |

With k the Matérn kernel (order 5/2) and y running over all permuted training descriptors, the energy is

    E(x) = c − Σ_y ∇_y k(x, y)·w_y + Σ_y k(x, y) α^E_y

and forces are its exact negative gradient, so that energies come from integrating forces, free of torsion: the field
has no curl. Energies without constraints know only `c`, the mean difference to the training energies.

Departures from the paper: the sum over permutations is not divided by their number, as in the sGDML program; the sign
of the weights makes the kernel matrix positive definite. Always float64: energies are differences of larger numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from adiabat.descriptors.inverse_distances import InverseDistances
from adiabat.descriptors.permutations import find_permutations
from adiabat.elements import symbols
from adiabat.errors import FitError, GeometryError
from adiabat.geometry import Graph
from adiabat.nn.matern import matern52, matern52_first, matern52_second, reduced_distance
from adiabat.potential import ArchitectureConfig, Potential, Prediction

_CHUNK = 2_000_000  # numbers in the largest temporary of a prediction


class SGDMLConfig(ArchitectureConfig):
    """Options of sGDML; length scale and regularization belong to the kernel fitter, which validates them."""

    method: Literal["sgdml"] = "sgdml"
    """Name of the architecture."""
    symmetries: bool = True
    """Find the molecule's permutational symmetries in the training geometries and build them in."""
    energy_constraints: bool = False
    """Fit energies too, not only forces; costs accuracy of forces, useful where energies matter more."""


class SGDML(Potential):
    """One molecule, its atoms in one order; no periodicity."""

    local: ClassVar[bool] = False
    fitter: ClassVar[str] = "kernel"
    numbers: Tensor
    points: Tensor
    weights: Tensor
    energy_weights: Tensor
    permutations: Tensor
    length_scale: Tensor
    constant: Tensor
    _points: Tensor
    _weights: Tensor
    _energy_weights: Tensor | None

    def __init__(self, config: SGDMLConfig, elements: Iterable[int]):
        super().__init__(config, elements, float("inf"))
        self.register_buffer("numbers", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("points", torch.zeros((0, 0), dtype=torch.float64))
        self.register_buffer("weights", torch.zeros((0, 0), dtype=torch.float64))
        self.register_buffer("energy_weights", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("permutations", torch.zeros((1, 0), dtype=torch.int64))
        self.register_buffer("length_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("constant", torch.zeros((), dtype=torch.float64))
        self._expand()

    def _apply(self, fn: Any, recurse: bool = True) -> SGDML:
        kept = {name: value for name, value in self.named_buffers() if value.is_floating_point()}
        super()._apply(fn, recurse)
        for name, value in kept.items():  # devices change, the number type never does
            owner, _, leaf = name.rpartition(".")
            module = self.get_submodule(owner)
            setattr(module, leaf, value.to(getattr(module, leaf).device))
        return self

    def load_arrays(self, arrays: Mapping[str, Tensor]) -> None:
        for name in dict(self.named_buffers()):
            if name in arrays:
                setattr(self, name, arrays[name].clone())
        self._expand()

    def _expand(self) -> None:
        """Descriptor and permuted copies of all training points, made once."""
        self.descriptor = InverseDistances(len(self.numbers)).to(self.points.device)
        moved = self.descriptor.permutations(self.permutations)
        self.register_buffer("_points", self.points[:, moved].flatten(0, 1), persistent=False)
        self.register_buffer("_weights", self.weights[:, moved].flatten(0, 1), persistent=False)
        copies = self.energy_weights.repeat_interleave(len(moved)) if self.config.energy_constraints else None  # type: ignore[attr-defined]
        self.register_buffer("_energy_weights", copies, persistent=False)

    def check(self, graph: Graph) -> None:
        super().check(graph)
        system = graph.system
        if bool(system.pbc.any()):
            raise GeometryError("this sGDML model is of one molecule in vacuum: switch pbc off.")
        wanted = self.numbers.repeat(len(system))
        if not torch.equal(system.numbers, wanted):
            given = " ".join(symbols(system.numbers[:50].tolist()))
            raise GeometryError(
                "this sGDML model is of one molecule with its atoms in the order"
                f" {' '.join(symbols(self.numbers.tolist()))}, and the structure has {given}:"
                " give the same atoms in that order."
            )

    def forward(self, graph: Graph) -> Prediction:
        positions = graph.system.positions.reshape(len(graph.system), -1, 3)
        size = max(1, _CHUNK // max(1, self._points.numel()))
        parts = [self._predict(part) for part in positions.split(size)]
        energy = torch.cat([e for e, _ in parts]) + self.constant
        return Prediction(energy=energy, forces=torch.cat([f for _, f in parts]).reshape(-1, 3))

    def _predict(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Energies `[B]` without the constant, and forces `[B, N, 3]`."""
        sigma = self.length_scale
        values, separations = self.descriptor(positions)
        apart = values[:, None, :] - self._points  # [B, M·S, P]
        d = reduced_distance(apart, sigma)
        first, second = matern52_first(d, sigma), matern52_second(d, sigma)
        projected = torch.einsum("bqp,qp->bq", apart, self._weights)
        energy = -(first * projected).sum(dim=1)
        # minus the gradient of that energy with respect to the descriptor
        pull = first @ self._weights - torch.einsum("bq,bqp->bp", second * projected, apart)
        if self._energy_weights is not None:
            energy = energy + matern52(d) @ self._energy_weights
            pull = pull + torch.einsum("bq,bqp->bp", first * self._energy_weights, apart)
        return energy, self.descriptor.pull_back(pull, values, separations)

    def set_points(self, graphs: Sequence[Graph]) -> None:
        """Takes the training geometries, which must be of one molecule, and finds its symmetries."""
        self.numbers = graphs[0].system.numbers.clone()
        for graph in graphs:
            self.check(graph)
        positions = torch.stack([g.system.positions for g in graphs]).double()
        identity = torch.arange(len(self.numbers))[None, :]
        self.permutations = (
            torch.as_tensor(find_permutations(positions.numpy(), self.numbers.numpy()))
            if self.config.symmetries  # type: ignore[attr-defined]
            else identity
        )
        self.descriptor = InverseDistances(len(self.numbers))
        self.points, separations = self.descriptor(positions)
        self._jacobian = self.descriptor.jacobian(self.points, separations)

    def kernel_matrix(self, length_scale: float) -> Tensor:
        """Covariances of all training forces, then energies if constrained; symmetric positive semidefinite."""
        moved = self.descriptor.permutations(self.permutations)
        points, jacobians = self.points[:, moved], self._jacobian[:, moved]  # [M, S, P], [M, S, P, 3N]
        count, degrees = len(self.points), self._jacobian.shape[2]
        constrained = self.config.energy_constraints  # type: ignore[attr-defined]
        size = count * (degrees + int(constrained))
        matrix = points.new_zeros((size, size))
        offset = count * degrees
        for i in range(count):
            apart = self.points[i] - points[: i + 1]  # only the lower triangle is needed
            d = reduced_distance(apart, length_scale)
            first, second = matern52_first(d, length_scale), matern52_second(d, length_scale)
            own = self._jacobian[i]
            mixed = torch.einsum("ms,mspk->mpk", first, jacobians[: i + 1])
            left = apart @ own
            right = torch.einsum("msp,mspk->msk", apart, jacobians[: i + 1])
            block = torch.einsum("pl,mpk->lmk", own, mixed) - torch.einsum("ms,msl,msk->lmk", second, left, right)
            rows = slice(i * degrees, (i + 1) * degrees)
            matrix[rows, : (i + 1) * degrees] = block.flatten(1)
            if constrained:
                matrix[offset + i, offset : offset + i + 1] = matern52(d).sum(dim=1)
                matrix[offset + i, : (i + 1) * degrees] = -torch.einsum("ms,msk->mk", first, right).flatten()
                columns = torch.einsum("ms,msl->ml", first, left)
                matrix[offset : offset + i, rows] = columns[:-1]
        return matrix.tril() + matrix.tril(-1).T

    def set_coefficients(self, coefficients: Tensor, length_scale: float) -> None:
        """Takes the solution of the linear system, eV-scaled."""
        count, degrees = len(self.points), self._jacobian.shape[2]
        forces = coefficients[: count * degrees].reshape(count, degrees)
        self.weights = torch.einsum("mpk,mk->mp", self._jacobian, forces)
        self.energy_weights = coefficients[count * degrees :].clone()
        self.length_scale = coefficients.new_tensor(length_scale)
        self._expand()

    def set_constant(self, constant: float) -> None:
        """Sets the integration constant, eV."""
        if constant != constant:
            raise FitError("the training frames have no energies, so the energy's integration constant is unknown.")
        self.constant = self.points.new_tensor(constant)
