"""Sums of products of channels, every product made once from two lower ones (recursive evaluation).

Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021), doi:10.1038/s41524-021-00559-9; G. Dusson et al.,
J. Comput. Phys. 454, 110946 (2022), doi:10.1016/j.jcp.2022.110946, section 5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from adiabat.nn.constants import ConstantModule

Monomial = tuple[int, ...]


@dataclass(frozen=True)
class ProductList:
    """Products in the order in which they can be made: value c is channel c, value channels + k is product k.

    Attributes:
        channels: how many there are.
        first, second: values that each product is made of `[products]`.
        bounds: where products of two, three, ... rounds begin and end; those of a round need earlier rounds only.
        place: value of each monomial.
    """

    channels: int
    first: np.ndarray
    second: np.ndarray
    bounds: tuple[int, ...]
    place: Mapping[Monomial, int]

    @classmethod
    def of(cls, wanted: Sequence[Monomial], channels: int) -> ProductList:
        """Splits each product into two that are there already where possible; the fewest new ones otherwise."""
        parts: dict[Monomial, tuple[Monomial, Monomial]] = {}
        uses = Counter(m[k:] for m in wanted for k in range(1, len(m) - 1))

        def known(m: Monomial) -> bool:
            return len(m) == 1 or m in parts

        def add(m: Monomial) -> None:
            if known(m):
                return
            splits = []
            for size in range(1, len(m) // 2 + 1):
                for chosen in dict.fromkeys(combinations(range(len(m)), size)):
                    one = tuple(m[k] for k in chosen)
                    two = tuple(m[k] for k in range(len(m)) if k not in chosen)
                    splits.append((one, two))
            best = min(splits, key=lambda s: (known(s[0]), known(s[1])).count(False) * 1000 - uses[s[1]])
            add(best[0])
            add(best[1])
            parts[m] = best

        for monomial in sorted(set(wanted), key=lambda m: (len(m), m)):
            add(monomial)
        rounds: dict[Monomial, int] = {}

        def depth(m: Monomial) -> int:
            if len(m) == 1:
                return 0
            if m not in rounds:
                rounds[m] = 1 + max(depth(p) for p in parts[m])
            return rounds[m]

        order = sorted(parts, key=lambda m: (depth(m), m))
        place = {(c,): c for c in range(channels)} | {m: channels + k for k, m in enumerate(order)}
        both = np.array([[place[p] for p in parts[m]] for m in order], dtype=np.int64).reshape(-1, 2)
        counts = Counter(depth(m) for m in order)
        bounds = np.cumsum([0, *(counts[k] for k in sorted(counts))]).tolist()
        return cls(channels, both[:, 0], both[:, 1], tuple(bounds), place)


class ProductTerms(ConstantModule):
    """Features that are sums of products of channels.

    Args:
        features: products and coefficients of each.
        channels: how many there are.
    """

    first: Tensor
    second: Tensor
    node: Tensor
    feature: Tensor
    coefficient: Tensor

    def __init__(self, features: Sequence[Mapping[Monomial, float]], channels: int):
        super().__init__()
        self.count, self.features = len(features), tuple(features)
        self.products = ProductList.of([m for feature in features for m in feature], channels)
        terms = [(self.products.place[m], k, c) for k, feature in enumerate(features) for m, c in feature.items()]
        table = np.array(terms, dtype=np.float64).reshape(-1, 3)
        self.register_constant("coefficient", table[:, 2])
        tables = {"first": self.products.first, "second": self.products.second}
        for name, values in {**tables, "node": table[:, 0], "feature": table[:, 1]}.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def forward(self, channels: Tensor) -> Tensor:
        """`[atoms, channels]` to `[atoms, features]`."""
        values = channels
        for begin, end in zip(self.products.bounds[:-1], self.products.bounds[1:], strict=True):
            one, two = (values.index_select(1, rows[begin:end]) for rows in (self.first, self.second))
            values = torch.cat((values, one * two), dim=1)
        terms = values.index_select(1, self.node) * self.coefficient
        return terms.new_zeros((terms.shape[0], self.count)).index_add(1, self.feature, terms)


def derivatives_of(feature: Mapping[Monomial, float]) -> dict[int, dict[Monomial, float]]:
    """By channel, the derivative of a sum of products by it: products of the other factors and coefficients."""
    found: dict[int, dict[Monomial, float]] = {}
    for monomial, value in feature.items():
        for channel in dict.fromkeys(monomial):
            place = monomial.index(channel)
            rest = monomial[:place] + monomial[place + 1 :]
            row = found.setdefault(channel, {})
            row[rest] = row.get(rest, 0.0) + value * monomial.count(channel)
    return found
