"""Energies of pairs given by a formula with parameters of each pair of elements, and how they end at a cutoff."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from adiabat.elements import MAX_NUMBER, number, symbol
from adiabat.errors import ConfigError
from adiabat.geometry import Graph
from adiabat.nn.cutoffs import XPLORCutoff
from adiabat.nn.inner_cutoffs import InnerCutoff

Law = Callable[[Tensor], tuple[Tensor, Tensor]]
Ending = Literal["none", "shift", "linear", "xplor", "quintic"]
PairParameter = float | dict[str, float]


class PairCut(nn.Module):
    """How a pair's energy u(r) ends at the cutoff r_c.

    | ending | energy within r_c | continuous there | of |
    |---|---|---|---|
    | none | u | – | LAMMPS's `*/cut` |
    | shift | u − u(r_c) | energy | ASE's LennardJones, `pair_modify shift yes` of LAMMPS |
    | linear | u − u(r_c) − (r − r_c) u'(r_c) | energy, force | LAMMPS's `*/smooth/linear` |
    | xplor | u · X-PLOR's switch from the onset on | energy, force | ASE's LennardJones with `smooth` |
    | quintic | u · a polynomial of fifth degree from the onset on | energy, force, curvature | ASE's MorsePotential |

    Args:
        ending: one of these.
        cutoff: r_c, Å.
        onset: where the switch begins, Å.

    Raises ConfigError if the onset of a switch does not lie between 0 and the cutoff.
    """

    def __init__(self, ending: Ending, cutoff: float, onset: float | None):
        super().__init__()
        self.ending: Ending = ending
        self.cutoff = cutoff
        self.switch: nn.Module | None = None
        if ending in ("xplor", "quintic"):
            start = 0.66 * cutoff if onset is None else onset
            if not 0.0 < start < cutoff:
                raise ConfigError(f"onset = {start:g} Å must lie between 0 and the cutoff, {cutoff:g} Å.")
            quintic = ending == "quintic"
            self.switch = InnerCutoff("poly2", cutoff, start / cutoff) if quintic else XPLORCutoff(cutoff, start)
        elif onset is not None:
            raise ConfigError(f"onset has no effect with ending {ending}: it belongs to xplor and quintic.")

    def forward(self, distances: Tensor, law: Law) -> Tensor:
        """Energy of each pair `[pairs]`, eV, from distances `[pairs]`, Å, and u with its slope; 0 beyond r_c."""
        energy = law(distances)[0]
        if self.switch is not None:
            energy = energy * self.switch(distances)
        elif self.ending != "none":
            value, slope = law(torch.full_like(distances, self.cutoff))
            energy = energy - value
            if self.ending == "linear":
                energy = energy - (distances - self.cutoff) * slope
        return torch.where(distances < self.cutoff, energy, torch.zeros_like(energy))


class PairKinds(nn.Module):
    """Which unordered pair of elements each pair of atoms is.

    Args:
        elements: atomic numbers.
    """

    table: Tensor

    def __init__(self, elements: Sequence[int]):
        super().__init__()
        kinds = len(elements)
        rows, columns = torch.triu_indices(kinds, kinds)
        first, second = torch.tensor(elements)[torch.stack((rows, columns))]
        table = torch.zeros((MAX_NUMBER + 1, MAX_NUMBER + 1), dtype=torch.int64)
        table[first, second] = table[second, first] = torch.arange(len(rows))
        self.register_buffer("table", table.flatten(), persistent=False)

    def forward(self, graph: Graph) -> Tensor:
        """Places in what `pair_values` gives `[pairs]`."""
        first, second = (graph.system.numbers.index_select(0, ends) for ends in (graph.centers, graph.neighbors))
        return self.table.index_select(0, first * (MAX_NUMBER + 1) + second)


def pair_values(
    name: str, given: PairParameter, elements: Sequence[int], mix: Callable[[float, float], float] | None = None
) -> list[float]:
    """A parameter of every unordered pair of elements, in the order that `PairKinds` counts them.

    Args:
        name: of the parameter, for messages.
        given: one value for all pairs, or by name: `Ar` for two atoms of an element, `Ar-Kr` for two elements.
        elements: atomic numbers.
        mix: makes an unnamed pair of two elements' own values.

    Raises ConfigError for a pair without a value, and for names that are no pair of the elements.
    """
    kinds = len(elements)
    if not isinstance(given, Mapping):
        return [float(given)] * (kinds * (kinds + 1) // 2)
    values = {tuple(sorted(number(part) for part in key.split("-"))): value for key, value in given.items()}
    values = {(*key, *key) if len(key) == 1 else key: value for key, value in values.items()}
    if foreign := [key for key in values if len(key) != 2 or not set(key) <= set(elements)]:
        names = "-".join(symbol(z) for z in foreign[0])
        known = ", ".join(symbol(z) for z in elements)
        raise ConfigError(f"{name} has a value of {names}, which is no pair of the model's elements ({known}).")
    out = []
    for k, first in enumerate(elements):
        for second in elements[k:]:
            own = values.get((first, second))
            if own is None and mix is not None and first != second:
                ends = [values.get((z, z)) for z in (first, second)]
                own = mix(*ends) if None not in ends else None  # type: ignore[arg-type]
            if own is None:
                lone = next((z for z in (first, second) if mix is not None and (z, z) not in values), None)
                pair = symbol(lone or first) if lone or first == second else f"{symbol(first)}-{symbol(second)}"
                raise ConfigError(f"{name} has no value of {pair}: give {{{pair}: value}} or one number for all.")
            out.append(float(own))
    return out
