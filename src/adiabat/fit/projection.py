"""The projection fitter: linear weights in closed form, and a descriptor whose parameters are trained beneath them.

The loss at given descriptor parameters has one minimum in the weights, found by least squares, so that only the
descriptor's parameters need a search: variable projection (G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10, 413
(1973), doi:10.1137/0710036). The search is that of K. Levenberg and D. W. Marquardt (doi:10.1137/0111030): rows of
the linear fit get further columns, the derivatives of labels by the descriptor's parameters, and their triangle gives
the next step of both. Steps that make the loss larger are taken back and tried again, shorter.
"""

from __future__ import annotations

import math
import time
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.described import Design
from adiabat.fit.linear import LinearConfig, LinearFitter, _errors
from adiabat.fit.losses import LossConfig, Term
from adiabat.fit.reduced import Ridge, Solution, Triangle, column_sizes
from adiabat.fit.result import FitResult
from adiabat.geometry import Graph
from adiabat.nn.heads import LinearHead
from adiabat.potential import Potential

SHORTER, LONGER, LEAST = 8.0, 0.2, 1e-9  # what steps in vain and good ones multiply the damping by; the least


class ProjectionConfig(LinearConfig):
    """Options of the projection fitter."""

    loss: LossConfig = LossConfig(energy=Term(weight=100.0), forces=Term(weight=1.0))
    """Weights of energy (per atom), forces and stress; squares only."""
    regularization: Literal["evidence", "ridge"] = "evidence"  # type: ignore[assignment]
    """Of the linear weights. evidence: ridge whose strength makes the labels most probable; ridge: the first of
    `alphas`."""
    solver: Literal["qr"] = "qr"  # type: ignore[assignment]
    """Of the linear weights."""
    steps: int = Field(default=30, ge=0)
    """Steps tried for the descriptor's parameters; 0 leaves them as they are."""
    damping: float = Field(default=0.01, gt=0.0)
    """Of the first step: square of its length against that of the rows' change."""
    tolerance: float = Field(default=2e-3, ge=0.0)
    """Relative decrease of the training loss below which the fit ends."""
    patience: int = Field(default=6, ge=1)
    """Steps without a better validation loss after which the fit ends."""


class ProjectionFitter(LinearFitter):
    """Fits a potential that is linear in the features of a trained descriptor; float64.

    Args:
        potential: changed in place; holds the best weights afterwards.
        train: training frames.
        valid: validation frames; they choose the step.
        config: options.
        show: print one line for every step.
    """

    config: ProjectionConfig

    def __init__(
        self, potential: Potential, train: Dataset, valid: Dataset, config: ProjectionConfig, *, show: bool = False
    ):
        super().__init__(potential, train, valid, config, show=show)
        assert isinstance(self.head, LinearHead)
        self.parameters = list(self.model.descriptor.parameters())
        self.trained = sum(p.numel() for p in self.parameters)
        self._both = False  # whether rows have columns for the descriptor's parameters, too

    def fit(self) -> FitResult:
        """Steps until all are done or validation gets no better. Raises FitError if a label is not finite."""
        start = time.monotonic()
        history: list[dict[str, Any]] = []
        best: dict[str, Any] = {"valid_loss": math.inf, "step": 0}
        kept, stopped = self._state(), "all steps done"
        low, damping, alpha, held, origin = math.inf, self.config.damping, 0.0, None, kept
        spread: Tensor | None = None
        for count in range(self.config.steps + 1):
            joined = self._joined(self._triangles(self._train, self._weights))
            solution = self._solution(Ridge(joined))
            loss = joined.rows * joined.mean_square(solution.weights)
            if loss < low:
                converged = loss > (1.0 - self.config.tolerance) * low
                self._set(solution.weights)
                damping = max(damping * LONGER, LEAST) if count else damping
                row = self._row(count, loss, solution, damping) | {"seconds": time.monotonic() - start}
                history.append(row)
                low, held, origin, alpha = loss, None, self._state(), solution.alpha or 0.0
                if row["valid_loss"] < best["valid_loss"]:
                    best, kept, spread = row, origin, solution.spread
                if converged:
                    stopped = f"a step made the training loss smaller by less than {self.config.tolerance:g}"
                    break
            else:
                damping *= SHORTER
            if count - best["step"] >= self.config.patience or damping > 1.0 / LEAST:
                stopped = f"no better validation loss for {count - best['step']} steps"
                break
            if count < self.config.steps and self.trained:
                self._restore(origin)
                if held is None:
                    self._both = True
                    held = self._joined(self._triangles(self._train, self._weights))
                    self._both = False
                self._move(held, alpha, damping)
        self._restore(kept)
        if self.config.refit:
            parts = (self._triangles(frames, None) for frames in (self._train, self._valid))
            solution = self._solution(Ridge(self._joined(self._united(*parts))))
            self._set(solution.weights)
            spread = solution.spread
        if self.config.uncertainty and spread is not None:
            self.head.spread = spread.to(self.head.weights)
        receipt = {
            **self.receipt,
            "weights": int(self.head.weights.numel()),
            "descriptor_parameters": self.trained,
            "options": self.config.model_dump(mode="json"),
        }
        return FitResult(history, best, len(history), time.monotonic() - start, receipt, stopped)

    @property
    def columns(self) -> int:
        return self.head.weights.numel() + (self.trained if self._both else 0)

    def _solution(self, ridge: Ridge) -> Solution:
        """The weights in closed form."""
        alpha, noise = ridge.evidence()
        return ridge.solve(self.config.alphas[0] if self.config.regularization == "ridge" else alpha, noise)

    def _set(self, weights: Tensor) -> None:
        with torch.no_grad():
            self.head.weights.copy_(weights.reshape(self.head.weights.shape))

    def _state(self) -> list[Tensor]:
        return [p.detach().clone() for p in (self.head.weights, *self.parameters)]

    def _restore(self, state: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip((self.head.weights, *self.parameters), state, strict=True):
                parameter.copy_(value)

    def _row(self, count: int, loss: float, solution: Solution, damping: float) -> dict[str, Any]:
        """What the log says of an accepted step."""
        valid = self._triangles(self._valid, None)
        row: dict[str, Any] = {"step": count, "alpha": solution.alpha, "damping": damping, "train_loss": loss}
        row |= {f"valid_{name}": value for name, value in _errors(valid, solution.weights).items()}
        row["valid_loss"] = sum(
            self._factor(name, t) * t.rows * t.mean_square(solution.weights) for name, t in valid.items() if t.rows
        )
        if self.show:
            errors = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if "rmse" in k or "loss" in k)
            print(f"step {count}: {errors}")
        return row

    def _move(self, joined: Triangle, alpha: float, damping: float) -> None:
        """The damped least-squares step, of weights and descriptor parameters together."""
        r, z, _ = joined.parts()
        linear = self.head.weights.numel()
        sizes = column_sizes(r, 1)
        prior = math.sqrt(alpha) * column_sizes(r, joined.rows)
        prior[linear:] = math.sqrt(damping) * sizes[linear:]
        scaled = torch.cat((r, torch.diag(prior))) / sizes
        found = torch.linalg.lstsq(scaled, torch.cat((z, torch.zeros_like(z)))[:, None], driver="gelsd")
        step = found.solution[:, 0] / sizes
        self._set(step[:linear])
        kinds, begin = len(self.model.descriptor.elements), 0
        own = step[linear:].view(kinds, -1)  # of each element, ordered by tensors: see `tangents`
        with torch.no_grad():
            for parameter in self.parameters:
                width = parameter.numel() // kinds
                parameter.add_(own[:, begin : begin + width].reshape(parameter.shape))
                begin += width

    def _design(self, graph: Graph, stress: bool) -> Design:
        design = super()._design(graph, stress)
        if not self._both:
            return design
        more = self._derivatives(graph, stress)
        pairs = zip((design.energy, design.forces, design.stress), more, strict=True)
        return Design(*(torch.cat(pair, dim=-1) for pair in pairs))

    def _derivatives(self, graph: Graph, stress: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Columns of the descriptor's parameters, in the shapes of a Design."""
        system, descriptor = graph.system, self.model.descriptor
        element = descriptor.element[system.numbers]
        weights = self.head.weights.detach()[self.model.element[torch.tensor(descriptor.elements)], 1:]
        values, slopes = descriptor.tangents(graph, weights)
        own, kinds = values.shape[1], len(descriptor.elements)
        energy = values.new_zeros((1, kinds, own))
        forces = values.new_zeros((system.atoms, 3, kinds, own))
        strained = values.new_zeros((int(stress), 3, 3, kinds, own))
        vectors = graph.vectors()
        for place in range(kinds):
            energy[0, place] = values[element == place].sum(dim=0)
            pairs = (element[graph.centers] == place).nonzero()[:, 0]
            along = slopes[pairs].transpose(1, 2)
            pulled = forces.new_zeros((system.atoms, 3, own)).index_add(0, graph.centers[pairs], along)
            forces[:, :, place] = pulled.index_add(0, graph.neighbors[pairs], along, alpha=-1)
            if stress:
                total = torch.einsum("pa,pbk->abk", vectors[pairs], along)
                strained[0, :, :, place] = 0.5 * (total + total.transpose(0, 1)) / system.volume
        return energy.flatten(1), forces.flatten(2), strained.flatten(3)
