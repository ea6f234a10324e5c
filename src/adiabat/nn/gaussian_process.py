"""A sparse Gaussian process on features: kernels, the choice of sparse points, and the head made of them.

A. P. Bartók, M. C. Payne, R. Kondor and G. Csányi, Phys. Rev. Lett. 104, 136403 (2010),
doi:10.1103/PhysRevLett.104.136403; the sparse prior as in doi:10.1002/qua.24927.

| paper | here | shape, unit |
|---|---|---|
| sparse points | `points` | [elements, points, size] |
| k(x, x_s) | `Kernel.values` | [atoms, points] |
| K_MM | `penalty` gives its upper Cholesky factor | [columns, columns] |
| α | `weights` | [elements, columns], eV |
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from adiabat.nn.heads import LinearInWeights
from adiabat.settings import Settings

JITTER = 1e-10  # on the diagonal of K_MM, relative to its mean
Form = Literal["dot_product", "rbf", "matern32", "matern52", "laplacian", "polynomial"]
Selection = Literal["cur", "farthest", "kmeans", "random"]


class KernelOptions(Settings):
    """A kernel of two environments of one element."""

    form: Form = "dot_product"
    """dot_product: (x·y / |x||y|)^ζ; polynomial: (1 + x·y / size)^ζ; rbf, matern32, matern52 and laplacian: functions
    of |x − y|."""
    zeta: float = Field(default=4.0, ge=1.0)
    """Power of dot_product and polynomial."""
    length: float = Field(default=1.0, gt=0.0)
    """Length scale of the others; features are first divided by their spread over the training data, times √size."""


def kernel(options: KernelOptions, x: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Kernel of features with points, and two factors of its slopes.

    Args:
        options: form and parameters.
        x: `[atoms, size]`.
        points: `[points, size]`.

    Returns:
        k `[atoms, points]`, and a, b `[atoms, points]` with ∂k_s/∂x = a_s · point_s + b_s · x.
    """
    if options.form == "polynomial":
        inner = 1.0 + x @ points.T / x.shape[1]
        a = options.zeta * inner ** (options.zeta - 1.0) / x.shape[1]
        return inner**options.zeta, a, torch.zeros_like(a)
    if options.form == "dot_product":
        # the tiny number keeps atoms without neighbors, whose features are zero, out of 0/0
        own = (x.square().sum(dim=1, keepdim=True) + 1e-30).sqrt()
        theirs = (points.square().sum(dim=1) + 1e-30).sqrt()
        cosine = (x / own) @ (points / theirs[:, None]).T
        base = cosine.clamp(min=0.0) if options.zeta != int(options.zeta) else cosine
        slope = options.zeta * base ** (options.zeta - 1.0)
        return base**options.zeta, slope / (own * theirs), -slope * cosine / own.square()
    square = (x.square().sum(dim=1)[:, None] + points.square().sum(dim=1) - 2.0 * x @ points.T).clamp(min=0.0)
    square = square / (options.length**2 * x.shape[1])
    scale = 1.0 / (options.length**2 * x.shape[1])
    if options.form == "rbf":
        value = torch.exp(-0.5 * square)
        along = value
    else:
        # the tiny number makes the slope at zero distance finite, where the forms are flat or have a corner
        distance = (square + 1e-20).sqrt()
        if options.form == "laplacian":
            value = torch.exp(-distance)
            along = value / distance
        elif options.form == "matern32":
            root = 3.0**0.5 * distance
            value, along = (1.0 + root) * torch.exp(-root), 3.0 * torch.exp(-root)
        else:
            root = 5.0**0.5 * distance
            value = (1.0 + root + root.square() / 3.0) * torch.exp(-root)
            along = 5.0 / 3.0 * (1.0 + root) * torch.exp(-root)
    return value, along * scale, -along * scale


def choose(rows: Tensor, count: int, selection: Selection, seed: int = 0) -> Tensor:
    """Indices of `count` (or all, if fewer) of the rows `[n, size]`, in the order they were chosen.

    cur: leverage of the leading right singular vectors, without repeats; farthest: each the one farthest from those
    before; kmeans: the row nearest to each center; random.
    """
    count = min(count, len(rows))
    generator = torch.Generator().manual_seed(seed)
    if selection == "random":
        return torch.randperm(len(rows), generator=generator)[:count]
    if selection == "farthest":
        return _farthest(rows, count)
    if selection == "kmeans":
        return _nearest_to_centers(rows, count, generator)
    left = torch.linalg.svd(rows, full_matrices=False).U[:, : min(count, rows.shape[1])]
    return left.square().sum(dim=1).argsort(descending=True)[:count]


def _farthest(rows: Tensor, count: int) -> Tensor:
    chosen = [int((rows - rows.mean(dim=0)).square().sum(dim=1).argmax())]
    nearest = (rows - rows[chosen[0]]).square().sum(dim=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (rows - rows[chosen[-1]]).square().sum(dim=1))
    return torch.tensor(chosen)


def _nearest_to_centers(rows: Tensor, count: int, generator: torch.Generator, rounds: int = 20) -> Tensor:
    centers = rows[torch.randperm(len(rows), generator=generator)[:count]]
    for _ in range(rounds):
        owner = torch.cdist(rows, centers).argmin(dim=1)
        sums = torch.zeros_like(centers).index_add(0, owner, rows)
        sizes = torch.bincount(owner, minlength=count)[:, None]
        centers = torch.where(sizes > 0, sums / sizes.clamp(min=1), centers)
    order = torch.cdist(centers, rows).argmin(dim=1)
    return torch.unique(order)


class GaussianProcessHead(LinearInWeights):
    """w_Z0 + Σ_s w_Zs k(B, B_s).

    Args:
        kinds: number of elements.
        size: width of the features.
        count: sparse points of each element; fewer environments leave the rest unused. None for all environments of
            the training data.
        options: the kernel.
        selection: how points are chosen among training atoms.
    """

    points: Tensor
    used: Tensor

    def __init__(
        self, kinds: int, size: int, count: int | None, options: KernelOptions, selection: Selection = "cur"
    ):
        super().__init__(kinds, 1 + (count or 0))
        self.options, self.count = options, count
        self.selection: Selection = selection
        self.register_buffer("points", torch.zeros((kinds, count or 0, size)))
        self.register_buffer("used", torch.zeros((kinds, count or 0)))

    @property
    def scaled(self) -> Literal["zeta", "length"]:
        """The kernel's option that `tune` sets."""
        return "zeta" if self.options.form in ("dot_product", "polynomial") else "length"

    @property
    def scale(self) -> float:
        """Its value."""
        return getattr(self.options, self.scaled)

    def tune(self, value: float) -> None:
        """Gives the kernel another ζ or length scale, which is saved with the weights."""
        self.options = self.options.model_copy(update={self.scaled: value})
        self.register_buffer("tuned", torch.tensor([value], dtype=torch.float64))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        if prefix + "tuned" in state_dict:
            self.tune(float(state_dict[prefix + "tuned"]))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def resize(self, count: int) -> None:
        """Makes room for so many points of each element; those there were, and the weights, are lost."""
        kinds, _, size = self.points.shape
        self.points, self.used = self.points.new_zeros((kinds, count, size)), self.used.new_zeros((kinds, count))
        self.weights = nn.Parameter(self.weights.new_zeros((kinds, 1 + count)))

    def adapt(self, values: Tensor, element: Tensor) -> None:
        rows = {place: torch.unique(values[element == place], dim=0) for place in element.unique().tolist()}
        if self.count is None:
            self.resize(max(map(len, rows.values()), default=0))
        for place, own in rows.items():
            every = len(own) <= self.points.shape[1]
            chosen = torch.arange(len(own)) if every else choose(own, self.points.shape[1], self.selection)
            self.points[place].zero_()
            self.points[place, : len(chosen)] = own[chosen].to(self.points)
            self.used[place] = (torch.arange(self.points.shape[1]) < len(chosen)).to(self.used)

    def columns(self, values: Tensor, place: int) -> Tensor:
        found = kernel(self.options, values, self.points[place])[0] * self.used[place]
        return torch.cat((torch.ones_like(values[:, :1]), found), dim=1)

    def slopes(self, values: Tensor, jacobian: Tensor, owner: Tensor, place: int) -> Tensor:
        _, a, b = kernel(self.options, values, self.points[place])
        a, b = a * self.used[place], b * self.used[place]
        along = torch.einsum("sk,pkd->psd", self.points[place], jacobian) * a[owner][:, :, None]
        own = torch.einsum("pk,pkd->pd", values[owner], jacobian)
        along = along + b[owner][:, :, None] * own[:, None, :]
        return torch.cat((torch.zeros_like(jacobian[:, :1]), along), dim=1)

    def penalty(self) -> Tensor:
        kinds, columns = self.weights.shape
        out = torch.eye(kinds * columns, dtype=torch.float64)
        for place in range(kinds):
            active = self.used[place].nonzero()[:, 0]
            if not len(active):
                continue
            points = self.points[place][active].double()
            matrix = kernel(self.options, points, points)[0]
            matrix = 0.5 * (matrix + matrix.T)
            jitter = JITTER * matrix.diagonal().mean()
            factor = torch.linalg.cholesky(matrix + jitter * torch.eye(len(active), dtype=torch.float64)).T
            where = place * columns + 1 + active
            out[where[:, None], where[None, :]] = factor
        return out
