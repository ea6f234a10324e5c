"""The most probable value of a kernel's length scale or power, for the linear fitter.

C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), section 5.4.1. The evidence is
that of the process on its sparse points; noise and size of the prior are at their best for each value.
"""

from __future__ import annotations

from collections.abc import Callable

POWERS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
OCTAVES = 5  # a length scale is searched from 2⁻⁵ to 2⁵ of where it starts
FINEST = 0.125  # of an octave


def most_probable(improbable: Callable[[float], float], start: float, whole: bool = False) -> float:
    """The value where `improbable`, −2 log p, is lowest.

    Args:
        improbable: of a value.
        start: the value given, about which lengths are searched: octave by octave, then between the best ones.
        whole: whether the value is a power, one of `POWERS`, instead of a length.
    """
    if whole:
        return min(POWERS, key=improbable)
    costs = {float(k): improbable(start * 2.0**k) for k in range(-OCTAVES, OCTAVES + 1)}
    step = 0.5
    while step >= FINEST:
        best = min(costs, key=costs.__getitem__)
        for place in (best - step, best + step):
            costs.setdefault(place, improbable(start * 2.0**place))
        step /= 2.0
    return start * 2.0 ** min(costs, key=costs.__getitem__)
