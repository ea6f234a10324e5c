"""The kernel fitter: one linear system, solved in closed form, its length scale and regularization validated.

Labels are y = (F, E − mean E if constrained) / s with s their standard deviation; (K + λ1) α = y by Cholesky in
float64; the coefficients are s·α. The integration constant is the mean difference to the training energies.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from torch import Tensor

from adiabat.data.dataset import Dataset
from adiabat.errors import FitError
from adiabat.evaluate import evaluate
from adiabat.fit.receipt import check_labels
from adiabat.fit.result import FitResult
from adiabat.geometry import Graph
from adiabat.settings import Settings


class KernelConfig(Settings):
    """Options of the kernel fitter."""

    length_scales: tuple[float, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    """Length scales to try, ascending; the search ends early once the validation error rises twice in a row."""
    regularizations: tuple[float, ...] = (1e-10,)
    """Values added to the diagonal to try, for labels of unit variance."""
    memory: float = Field(default=8.0, gt=0.0)
    """Largest memory the solve may take, GB."""
    valid_frames: int = Field(default=1000, ge=1)
    """Validation frames used to compare hyperparameters."""

    def check(self) -> None:
        """Raises FitError for an empty grid or values that are not positive."""
        for name in ("length_scales", "regularizations"):
            values = getattr(self, name)
            if not values or min(values) <= 0:
                raise FitError(f"fit.{name} = {values} needs at least one value, all positive.")


class KernelPotential(Protocol):
    """What a page offers to be fitted in closed form."""

    config: Any

    def set_points(self, graphs: Sequence[Graph]) -> None: ...

    def kernel_matrix(self, length_scale: float) -> Tensor: ...

    def set_coefficients(self, coefficients: Tensor, length_scale: float) -> None: ...

    def set_constant(self, constant: float) -> None: ...


class KernelFitter:
    """Fits one kernel potential.

    Args:
        potential: changed in place; holds the best solution afterwards.
        train: training frames with forces, and energies for the integration constant.
        valid: frames that choose length scale and regularization.
        config: options.
        show: print one line for every hyperparameter tried.
    """

    def __init__(self, potential: Any, train: Dataset, valid: Dataset, config: KernelConfig, *, show: bool = False):
        config.check()
        self.potential = potential
        self.config = config
        self.show = show
        self.constrained = bool(potential.config.energy_constraints)
        self.receipt = check_labels(potential, train, valid, ("forces", "energy"))
        self._train = [train[i] for i in range(len(train))]
        lacking = [i for i, f in enumerate(self._train) if not {"forces", "energy"} <= set(f.labels)]
        if lacking:
            raise FitError(
                f"training frame {lacking[0]} lacks energy or forces: a kernel fit needs both in every frame."
            )
        self._valid = [valid[i] for i in range(min(len(valid), config.valid_frames))]

    def fit(self) -> FitResult:
        """Solves for every length scale and regularization, keeps the one of the lowest validation force error.

        Raises FitError if the system does not fit into memory, or is singular for every choice.
        """
        start = time.monotonic()
        graphs = [Graph.build(f.system, float("inf")) for f in self._train]
        self.potential.set_points(graphs)
        labels, scale = self._labels()
        self._check_memory(len(labels))
        history: list[dict[str, Any]] = []
        best: dict[str, Any] = {"valid_forces_rmse": np.inf}
        solution: Tensor | None = None
        rises = 0
        for length_scale in sorted(self.config.length_scales):
            row, coefficients = self._try(length_scale, labels, scale)
            history += row
            lowest = min(row, key=lambda r: r["valid_forces_rmse"])
            if lowest["valid_forces_rmse"] < best["valid_forces_rmse"]:
                best, solution, rises = lowest, coefficients, 0
            else:
                rises += 1
            if rises == 2:
                break
        if solution is None:
            raise FitError("the kernel matrix is singular for every length scale: raise fit.regularizations.")
        self.potential.set_coefficients(solution, best["length_scale"])
        self._set_constant()
        seconds = time.monotonic() - start
        return FitResult(history, best, len(history), seconds, self._full_receipt(), "solved in closed form")

    def _labels(self) -> tuple[np.ndarray, float]:
        forces = np.concatenate([f.labels["forces"].numpy().reshape(-1) for f in self._train])
        labels = forces
        if self.constrained:
            energies = np.array([float(f.labels["energy"]) for f in self._train])
            labels = np.concatenate([forces, energies - energies.mean()])
        scale = float(labels.std())
        return labels / scale, scale

    def _try(
        self, length_scale: float, labels: np.ndarray, scale: float
    ) -> tuple[list[dict[str, Any]], Tensor | None]:
        rows: list[dict[str, Any]] = []
        chosen: Tensor | None = None
        lowest = np.inf
        matrix = self.potential.kernel_matrix(length_scale).numpy()
        diagonal = matrix.diagonal().copy()
        for regularization in self.config.regularizations:
            began = time.monotonic()
            matrix.flat[:: len(matrix) + 1] = diagonal + regularization
            row = {"length_scale": length_scale, "regularization": regularization}
            try:
                factor = cho_factor(matrix, lower=True, check_finite=False)
            except LinAlgError:
                rows.append({**row, "valid_forces_rmse": np.inf, "note": "not positive definite"})
                continue
            coefficients = torch.as_tensor(cho_solve(factor, labels, check_finite=False)) * scale
            self.potential.set_coefficients(coefficients, length_scale)
            self._set_constant()
            row |= self._validate()
            row["seconds"] = time.monotonic() - began
            rows.append(row)
            if self.show:
                error = 1000 * row["valid_forces_mae"]
                print(f"length scale {length_scale:g}, regularization {regularization:g}: valid {error:.2f} meV/Å")
            if row["valid_forces_rmse"] < lowest:
                lowest, chosen = row["valid_forces_rmse"], coefficients
        return rows, chosen

    def _predict(self, frames: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        graph = Graph.batch([Graph.build(f.system, float("inf")) for f in frames])
        prediction = evaluate(self.potential, graph, ("energy", "forces"))
        assert prediction.forces is not None
        return prediction.energy.numpy(), prediction.forces.numpy()

    def _validate(self) -> dict[str, float]:
        energies, forces = self._predict(self._valid)
        error = forces - np.concatenate([f.labels["forces"].numpy() for f in self._valid])
        out = {
            "valid_forces_mae": float(np.abs(error).mean()),
            "valid_forces_rmse": float(np.sqrt((error**2).mean())),
        }
        known = [(e - float(f.labels["energy"])) / f.system.atoms for e, f in zip(energies, self._valid, strict=True)]
        out["valid_energy_mae_per_atom"] = float(np.abs(known).mean())
        return out

    def _set_constant(self) -> None:
        self.potential.set_constant(0.0)
        energies, _ = self._predict(self._train)
        labels = np.array([float(f.labels["energy"]) for f in self._train])
        self.potential.set_constant(float((labels - energies).mean()))

    def _check_memory(self, size: int) -> None:
        needed = 3 * 8 * size**2 / 1e9  # the matrix, its copy in the factorization, and one temporary
        if needed > self.config.memory:
            fits = int(len(self._train) * (self.config.memory / needed) ** 0.5)
            raise FitError(
                f"the kernel matrix of {len(self._train)} frames needs about {needed:.2g} GB, and fit.memory is"
                f" {self.config.memory:g} GB: use about {fits} frames, or raise it."
            )

    def _full_receipt(self) -> dict[str, Any]:
        return {
            **self.receipt,
            "energies_used_for": "constraints and integration constant"
            if self.constrained
            else "integration constant",
            "permutations": len(self.potential.permutations),
            "dtype": "float64",
            "options": self.config.model_dump(mode="json"),
        }
