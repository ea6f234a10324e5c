"""Irreducible representations of O(3) in a short notation: "16x0e+16x1o" is 16 scalars and 16 vectors.

Features with irreps are kept as one tensor for each irrep, `[atoms, 2l+1, multiplicity]`: a linear map is then one
matrix product over the last, contiguous axis whatever the multiplicities are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import total_ordering

import torch
from torch import Tensor

from adiabat.errors import ConfigError

_TERM = re.compile(r"^(?:(\d+)x)?(\d+)([eo])$")


@total_ordering
@dataclass(frozen=True)
class Irrep:
    """One irreducible representation.

    Attributes:
        l: angular momentum.
        parity: +1 (even, "e") or −1 (odd, "o") under inversion.
    """

    l: int
    parity: int

    @property
    def dim(self) -> int:
        """Number of components, 2l + 1."""
        return 2 * self.l + 1

    @property
    def natural(self) -> bool:
        """True for the parity (−1)^l of the spherical harmonics."""
        return self.parity == (-1) ** self.l

    def __mul__(self, other: Irrep) -> tuple[Irrep, ...]:
        """What the product of two irreps contains: |l₁ − l₂| ≤ l ≤ l₁ + l₂, parities multiplied."""
        parity = self.parity * other.parity
        return tuple(Irrep(l, parity) for l in range(abs(self.l - other.l), self.l + other.l + 1))

    def __lt__(self, other: Irrep) -> bool:
        """By l, the natural parity first."""
        return (self.l, not self.natural) < (other.l, not other.natural)

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.parity == 1 else 'o'}"


@dataclass(frozen=True)
class Irreps:
    """Distinct irreps with multiplicities, in the given order.

    Attributes:
        terms: `(multiplicity, irrep)` pairs.
    """

    terms: tuple[tuple[int, Irrep], ...]

    def __post_init__(self) -> None:
        names = [ir for _, ir in self.terms]
        if len(set(names)) < len(names):
            raise ConfigError(f"'{self}' names an irrep twice: write one term with the total multiplicity.")

    @classmethod
    def parse(cls, text: str | Irreps) -> Irreps:
        """From text such as "128x0e+64x1o" or "0e+1o".

        Raises:
            ConfigError: a term does not have the form `<multiplicity>x<l><e or o>`, or an irrep is named twice.
        """
        if isinstance(text, Irreps):
            return text
        terms = []
        for part in text.split("+"):
            match = _TERM.match(part.strip())
            if match is None:
                raise ConfigError(f"'{part.strip()}' in '{text}' is not an irrep: write for example 16x0e+16x1o.")
            multiplicity, l, letter = match.groups()
            terms.append((int(multiplicity or 1), Irrep(int(l), 1 if letter == "e" else -1)))
        return cls(tuple(t for t in terms if t[0] > 0))

    @classmethod
    def spherical(cls, l_max: int, multiplicity: int = 1) -> Irreps:
        """The irreps of the spherical harmonics up to `l_max`: 0e + 1o + 2e + ..."""
        return cls(tuple((multiplicity, Irrep(l, (-1) ** l)) for l in range(l_max + 1)))

    @classmethod
    def both_parities(cls, l_max: int, multiplicity: int = 1) -> Irreps:
        """All irreps up to `l_max`: 0e + 0o + 1o + 1e + 2e + 2o + ..."""
        return cls(tuple((multiplicity, ir) for ir in sorted(Irrep(l, p) for l in range(l_max + 1) for p in (1, -1))))

    @property
    def dim(self) -> int:
        """Total number of components."""
        return sum(m * ir.dim for m, ir in self.terms)

    @property
    def l_max(self) -> int:
        """Largest angular momentum."""
        return max(ir.l for _, ir in self.terms)

    @property
    def channels(self) -> int:
        """The multiplicity that all irreps have. Raises ConfigError if they differ."""
        found = {m for m, _ in self.terms}
        if len(found) != 1:
            raise ConfigError(f"the irreps '{self}' have different multiplicities: give every irrep the same one.")
        return found.pop()

    def count(self, irrep: Irrep) -> int:
        """Multiplicity of an irrep, 0 if it is absent."""
        return next((m for m, ir in self.terms if ir == irrep), 0)

    def slices(self) -> list[slice]:
        """Where the components of each irrep are if each had multiplicity 1, in order."""
        found, start = [], 0
        for _, ir in self.terms:
            found.append(slice(start, start + ir.dim))
            start += ir.dim
        return found

    def __iter__(self) -> Iterator[tuple[int, Irrep]]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def __str__(self) -> str:
        return "+".join(f"{m}x{ir}" for m, ir in self.terms)


SCALAR = Irrep(0, 1)
PSEUDOSCALAR = Irrep(0, -1)


def flatten(blocks: list[Tensor]) -> Tensor:
    """One tensor per irrep `[atoms, 2l+1, multiplicity]` to `[atoms, dim]`, components side by side."""
    return torch.cat([b.transpose(1, 2).flatten(1) for b in blocks], dim=1)


def unflatten(values: Tensor, irreps: Irreps) -> list[Tensor]:
    """The inverse of `flatten`."""
    blocks, start = [], 0
    for multiplicity, ir in irreps:
        part = values[:, start : start + multiplicity * ir.dim]
        blocks.append(part.reshape(-1, multiplicity, ir.dim).transpose(1, 2))
        start += multiplicity * ir.dim
    return blocks
