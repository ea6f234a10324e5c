"""The linear fitter: weighted least squares on energy, force and stress rows, regularized, in closed form.

Every head that is linear in its weights is served: linear, quadratic, sparse Gaussian process. Rows are weighed so
that the sum of squares is the loss of the gradient fitter with `mse`: Σ_label weight · mean over its components. With
`errors`, rows are divided by the expected error of their label instead, and α = 1 is the Gaussian process itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from adiabat.data.dataset import Dataset, Subset
from adiabat.data.frame import Frame
from adiabat.described import DescribedPotential, Design
from adiabat.errors import ConfigError, FitError
from adiabat.evaluate import evaluate
from adiabat.fit.evidence import most_probable
from adiabat.fit.iterative import Rows, damped
from adiabat.fit.losses import LossConfig, Term
from adiabat.fit.receipt import check_labels, group_weights
from adiabat.fit.reduced import GroupLasso, Ridge, Solution, Triangle, lasso, refitted, relevance
from adiabat.fit.result import FitResult
from adiabat.geometry import Graph
from adiabat.nn.gaussian_process import GaussianProcessHead
from adiabat.nn.heads import LinearInWeights
from adiabat.potential import Potential, Referenced
from adiabat.settings import Settings

SERVED = ("energy", "forces", "stress")


class LinearConfig(Settings):
    """Options of the linear fitter."""

    loss: LossConfig = LossConfig(energy=Term(weight=1.0), forces=Term(weight=1.0))
    """Weights of energy (per atom), forces and stress; squares only."""
    errors: dict[Literal["energy", "forces", "stress"], float] = {}
    """Expected errors, eV/atom, eV/Å and eV/Å³, that rows are divided by; if given, `loss` is not used."""
    error_keys: dict[Literal["energy", "forces", "stress"], str] = {}
    """Frame info that holds a frame's own expected error of a label, instead of that of `errors`."""
    regularization: Literal["evidence", "ridge", "relevance", "lasso", "group_lasso", "none"] = "evidence"
    """evidence: ridge whose strength makes the labels most probable; ridge and lasso: the best of `alphas` on the
    validation frames; group_lasso: features are dropped in groups, one symmetry function of all elements or one place
    of all elements' features, and what is left is fitted anew as in evidence; relevance: a strength for each weight
    (ARD); none: the shortest least-squares solution."""
    tune: bool = False
    """Give a Gaussian process the length scale, or ζ, that makes the labels of `tune_frames` frames most probable."""
    tune_frames: int = Field(default=20, ge=1)
    """Training frames that this is found with, evenly taken."""
    alphas: tuple[float, ...] = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
    """Strengths to try, in units of the sum of squares (ridge, lasso, group_lasso)."""
    concession: float = Field(default=0.0, ge=0.0)
    """The largest strength whose validation loss is within this fraction of the lowest is taken (group_lasso)."""
    refit: bool = False
    """Once the validation frames have chosen and judged, solve again with their rows as well."""
    solver: Literal["qr", "iterative"] = "qr"
    """qr: rows are folded into a triangle, whose memory grows with the square of the number of weights and not with
    the rows; iterative: rows are kept and LSMR goes over them, for more weights than that (ridge, none)."""
    iterations: int = Field(default=2000, ge=1)
    """Most iterations for a strength (iterative)."""
    uncertainty: bool = False
    """Keep the weights' covariance, so that predictions have an uncertainty (evidence, ridge, relevance)."""
    group_key: str = "group"
    """Frame info that names a frame's group."""
    group_weights: dict[str, float] = {}
    """Weight of each group's frames; others weigh 1."""
    row_weights: dict[str, dict[Literal["energy", "forces", "stress"], float]] = {}
    """Factors of the rows of each group's energies (per atom), forces and stresses (six components, eV/Å³), as in
    FitSNAP; other groups and labels do not count. If given, `loss`, `errors` and `group_weights` are not used."""
    memory: float = Field(default=8.0, gt=0.0)
    """Largest memory the triangle, or the rows, may take, GB."""

    def check(self) -> None:
        """Raises ConfigError for options that contradict each other."""
        other = sorted(set(self.loss.terms) - set(SERVED))
        if other:
            raise ConfigError(f"fit.loss.{other[0]} has no effect on a linear fit: set its weight to 0.")
        for name, term in self.loss.terms.items():
            if term.kind != "mse" or not term.per_atom or term.elements:
                raise ConfigError(
                    f"fit.loss.{name}: a linear fit has squares of all components alike (kind mse, no elements)."
                )
        if self.concession > 0 and self.regularization != "group_lasso":
            raise ConfigError(f"fit.concession has no effect with regularization {self.regularization}.")
        if self.solver == "iterative":
            if self.regularization not in ("ridge", "none"):
                raise ConfigError(
                    f"fit.solver iterative has no decomposition for regularization {self.regularization}:"
                    " set it to ridge or none."
                )
            if self.uncertainty or self.tune:
                raise ConfigError("fit.uncertainty and fit.tune need fit.solver qr: leave them or iterative out.")
        if self.refit and (self.group_weights or self.row_weights):
            raise ConfigError("fit.refit counts all frames alike: leave out fit.group_weights and fit.row_weights.")
        lacking = sorted(set(self.error_keys) - set(self.errors))
        if self.error_keys and self.row_weights:
            raise ConfigError("fit.error_keys has no effect beside fit.row_weights: leave one of them out.")
        if lacking:
            raise ConfigError(f"fit.error_keys.{lacking[0]} has no effect: give fit.errors.{lacking[0]} as well.")
        if self.regularization in ("ridge", "lasso", "group_lasso") and (not self.alphas or min(self.alphas) <= 0):
            raise ConfigError(f"fit.alphas = {self.alphas} needs at least one value, all positive.")
        if self.uncertainty and self.regularization in ("lasso", "none"):
            raise ConfigError(f"fit.uncertainty has no effect with regularization {self.regularization}.")

    @property
    def wanted(self) -> tuple[str, ...]:
        """Labels that make rows."""
        if self.row_weights:
            return tuple(name for name in SERVED if any(own.get(name) for own in self.row_weights.values()))
        return tuple(self.errors) if self.errors else tuple(self.loss.terms)


class LinearFitter:
    """Fits one potential whose head is linear in its weights.

    Args:
        potential: changed in place; float64.
        train: training frames.
        valid: validation frames; they choose α for ridge and lasso.
        config: options.
        show: print one line for every α tried.
    """

    def __init__(
        self, potential: Potential, train: Dataset, valid: Dataset, config: LinearConfig, *, show: bool = False
    ):
        config.check()
        self.config, self.show = config, show
        model = potential.model if isinstance(potential, Referenced) else potential
        assert isinstance(model, DescribedPotential)
        assert isinstance(model.head, LinearInWeights)
        self.potential, self.model, self.head = potential, model, model.head
        if config.tune and not isinstance(self.head, GaussianProcessHead):
            raise ConfigError("fit.tune has no effect on this regressor: it is for gaussian_process.")
        self.receipt = check_labels(potential, train, valid, config.wanted)
        self._train, self._valid = train, valid
        groups = config.group_weights if not config.row_weights else dict.fromkeys(config.row_weights, 1.0)
        self._weights = group_weights(train, config.group_key, groups)
        columns, needed = self.head.weights.numel(), self._memory()
        if needed > config.memory:
            raise FitError(
                f"{columns} weights need about {needed:.2g} GB, and fit.memory is {config.memory:g} GB:"
                " take a smaller descriptor, fewer sparse points or the other fit.solver, or raise it."
            )

    def _memory(self) -> float:
        """What the rows will take, GB."""
        columns = self.head.weights.numel()
        if self.config.solver == "qr":
            return 8e-9 * 8 * columns**2  # triangles of every label, the block being folded and the decomposition
        wanted, frames = self.config.wanted, (f for part in (self._train, self._valid) for f in part)
        sizes = {"energy": 0, "forces": 3, "stress": 0}, {"energy": 1, "forces": 0, "stress": 9}
        each, once = (sum(of[name] for name in wanted) for of in sizes)
        return 8e-9 * columns * sum(each * frame.system.atoms + once for frame in frames)

    def fit(self) -> FitResult:
        """Streams the frames once and solves. Raises FitError if a label is not finite."""
        start = time.monotonic()
        if self.config.tune:
            self._tune()
        train = self._triangles(self._train, self._weights)
        valid = self._triangles(self._valid, None)
        joined = self._joined(train)
        history = self._solutions(joined, valid)
        lowest = min(row["valid_loss"] for row, _ in history) * (1.0 + self.config.concession)
        best, solution = next(pair for pair in history if not pair[0]["valid_loss"] > lowest)
        if self.config.refit:
            train = self._united(train, valid)
            solution = self._again(self._joined(train), solution)
        with torch.no_grad():
            self.head.weights.copy_(solution.weights.reshape(self.head.weights.shape))
            if self.config.uncertainty and solution.spread is not None:
                self.head.spread = solution.spread.to(self.head.weights)
        best |= {f"train_{n}": v for n, v in _errors(train, solution.weights).items()}
        seconds = time.monotonic() - start
        receipt = {
            **self.receipt,
            "rows": {name: triangle.rows for name, triangle in train.items()},
            "weights": int(self.head.weights.numel()),
            "weights_used": solution.used,
            "options": self.config.model_dump(mode="json"),
        }
        return FitResult([row for row, _ in history], best, 1, seconds, receipt, "solved in closed form")

    def _tune(self) -> None:
        """Sets the kernel's length scale or ζ to the most probable one."""
        head = self.head
        assert isinstance(head, GaussianProcessHead)
        chosen = list(range(0, len(self._train), max(1, len(self._train) // self.config.tune_frames)))
        frames = Subset(self._train, chosen)
        weights = None if self._weights is None else self._weights[chosen]

        def improbable(value: float) -> float:
            head.tune(value)
            return Ridge(self._joined(self._triangles(frames, weights)), head.penalty()).improbable()

        head.tune(most_probable(improbable, head.scale, whole=head.scaled == "zeta"))

    def _empty(self) -> Any:
        return Triangle(self.columns) if self.config.solver == "qr" else Rows(self.columns)

    def _joined(self, triangles: Mapping[str, Any]) -> Any:
        joined = self._empty()
        for name, triangle in triangles.items():
            joined.join(triangle.scaled(math.sqrt(self._factor(name, triangle))))
        return joined

    def _united(self, train: Mapping[str, Any], valid: Mapping[str, Any]) -> dict[str, Any]:
        """Rows of both parts."""
        both = {name: self._empty() for name in train}
        for name, triangle in both.items():
            triangle.join(train[name])
            triangle.join(valid[name])
        return both

    def _again(self, joined: Any, chosen: Solution) -> Solution:
        """What the validation frames have chosen, solved for other rows."""
        kind = self.config.regularization
        if isinstance(joined, Rows):
            return damped(joined, self.head.penalty(), chosen.alpha or 0.0, self.config.iterations)[0]
        if kind == "relevance":
            return relevance(joined)
        if kind == "lasso":
            return lasso(joined, chosen.alpha or 0.0)
        if kind == "group_lasso":
            return replace(refitted(joined, chosen.weights != 0), alpha=chosen.alpha)
        ridge = Ridge(joined, self.head.penalty())
        if kind == "none":
            return ridge.solve(0.0)
        alpha, noise = ridge.evidence()
        return ridge.solve(chosen.alpha or 0.0 if kind == "ridge" else alpha, noise)

    def _factor(self, name: str, triangle: Triangle) -> float:
        if self.config.row_weights:
            return 1.0
        if self.config.errors:
            return self.config.errors[name] ** -2  # type: ignore[index]
        return self.config.loss.terms[name].weight / max(triangle.rows, 1)

    def _triangles(self, frames: Dataset, weights: Tensor | None) -> dict[str, Any]:
        """Rows of every label."""
        out = {name: self._empty() for name in self.config.wanted}
        for index in range(len(frames)):
            frame, factors = frames[index], dict.fromkeys(out, 1.0)
            if weights is not None and self.config.row_weights:
                own: Mapping[str, float] = self.config.row_weights.get(
                    str(frame.info.get(self.config.group_key, "")), {}
                )  # type: ignore[assignment]
                factors = {name: own.get(name, 0.0) for name in out}
            elif weights is not None:
                factors = dict.fromkeys(out, math.sqrt(float(weights[index])))
            factors |= {name: factors[name] * self._surer(frame, name) for name in self.config.error_keys}
            self._add({name: triangle for name, triangle in out.items() if factors[name] > 0}, frame, factors)
        return out

    def _surer(self, frame: Frame, name: Any) -> float:
        """The usual expected error of a label over the frame's own."""
        usual, key = self.config.errors[name], self.config.error_keys[name]
        own = float(frame.info.get(key, usual))
        if not own > 0:
            raise FitError(f"{key} of a frame is {own:g}: an expected error is positive, so give another or none.")
        return usual / own

    def _add(self, triangles: Mapping[str, Any], frame: Frame, factors: Mapping[str, float]) -> None:
        graph = Graph.build(frame.system, self.potential.cutoff)
        self.potential.check(graph)
        labels, scale = self._without_references(frame)
        periodic = bool(frame.system.pbc.any())
        names = [n for n in triangles if n in labels and (n != "stress" or periodic)]
        if not names:
            return
        if self.model.fixed is not None:
            known = evaluate(self.model.fixed, graph.to(dtype=self.model.fixed.dtype), names)
            labels |= {
                name: labels[name] - scale * getattr(known, name).reshape(labels[name].shape) for name in names
            }
        design = self._design(graph, "stress" in names)
        for name in names:
            rows = getattr(design, name).double() * scale
            target = labels[name].double()
            if name == "energy":
                rows, target = rows / frame.system.atoms, target / frame.system.atoms
            if name == "stress" and self.config.row_weights:  # each shear counts once
                once = math.sqrt(0.5) + (1.0 - math.sqrt(0.5)) * torch.eye(3, dtype=torch.float64)
                rows, target = rows * once[:, :, None], target * once
            rows, target = rows.reshape(-1, rows.shape[-1]), target.reshape(-1)
            if not bool(target.isfinite().all()):
                raise FitError(f"a training {name} is not a finite number: run `adiabat data lint` on the file.")
            triangles[name].add(rows * factors[name], target * factors[name])

    @property
    def columns(self) -> int:
        """Unknowns that a row has an entry for."""
        return self.head.weights.numel()

    def _design(self, graph: Graph, stress: bool) -> Design:
        with torch.no_grad():
            return self.model.design(self.model.features(graph), stress)

    def _without_references(self, frame: Frame) -> tuple[dict[str, Tensor], float]:
        """Labels that the model itself has to explain, and the unit its outputs are multiplied by."""
        labels = dict(frame.labels)
        if not isinstance(self.potential, Referenced):
            return labels, 1.0
        if "energy" in labels:
            labels["energy"] = labels["energy"] - self.potential.reference[frame.system.numbers].sum()
        return labels, float(self.potential.scale)

    def _by_groups(self, joined: Triangle) -> list[Solution]:
        """From the strongest penalty to the weakest, each set of features once."""
        path = GroupLasso(joined, self.model.weight_groups().flatten())
        found: list[Solution] = []
        before = None
        for alpha in sorted(self.config.alphas, reverse=True):
            kept = path.solve(alpha).weights != 0
            if before is None or not bool((kept == before).all()):
                found.append(replace(refitted(joined, kept), alpha=alpha))
            before = kept
        return found

    def _solutions(self, joined: Any, valid: Mapping[str, Any]) -> list[tuple[dict[str, Any], Solution]]:
        config = self.config
        found: list[Solution] = []
        if isinstance(joined, Rows):
            for alpha in (0.0,) if config.regularization == "none" else config.alphas:
                solution, count = damped(joined, self.head.penalty(), alpha, config.iterations)
                found.append(solution)
                if self.show:
                    print(f"alpha {alpha:.3g}: {count} iterations")
        elif config.regularization == "relevance":
            found.append(relevance(joined))
        elif config.regularization == "lasso":
            start = None
            for alpha in sorted(config.alphas, reverse=True):
                found.append(lasso(joined, alpha, start))
                start = found[-1].weights
        elif config.regularization == "group_lasso":
            found += self._by_groups(joined)
        else:
            ridge = Ridge(joined, self.head.penalty())
            if config.regularization == "evidence":
                found.append(ridge.solve(*ridge.evidence()))
            elif config.regularization == "none":
                found.append(ridge.solve(0.0))
            else:
                noise = ridge.evidence()[1]
                found += [ridge.solve(alpha, noise) for alpha in config.alphas]
        rows = []
        for solution in found:
            row: dict[str, Any] = {"alpha": solution.alpha, "weights_used": solution.used}
            row |= {f"valid_{n}": v for n, v in _errors(valid, solution.weights).items()}
            row["valid_loss"] = sum(
                self._factor(name, t) * t.rows * t.mean_square(solution.weights)
                for name, t in valid.items()
                if t.rows
            )
            rows.append((row, solution))
            if self.show:
                errors = ", ".join(f"{k.removeprefix('valid_')} {v:.4g}" for k, v in row.items() if "rmse" in k)
                print(f"alpha {solution.alpha or 0:.3g}, {solution.used} weights: valid {errors}")
        return rows


def _errors(triangles: Mapping[str, Any], weights: Tensor) -> dict[str, float]:
    """Root-mean-square errors, eV and Å."""
    suffix = {"energy": "_per_atom"}
    return {
        f"{name}_rmse{suffix.get(name, '')}": math.sqrt(max(t.mean_square(weights), 0.0))
        for name, t in triangles.items()
        if t.rows
    }
