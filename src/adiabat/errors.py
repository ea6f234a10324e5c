"""The exception tree. Every message names the value, the rule it broke and the likely fix.

```
AdiabatError
├── InputError (ValueError)      something handed in is wrong
│   ├── GeometryError            positions, cells, elements
│   ├── DataError                data files, labels, splits
│   └── ConfigError              options, YAML, command line
├── CapabilityError              a model was asked for what it cannot do
├── CapacityError (MemoryError)  one system is larger than the memory at hand
├── CheckpointError              a file is damaged, foreign or too new
├── FitError                     fitting cannot go on (not converged, NaN loss, no effect)
└── DynamicsError                a simulation left the range where it can be trusted
```
"""

import difflib
from collections.abc import Iterable


class AdiabatError(Exception):
    """Base of every error that adiabat raises on purpose."""


class InputError(AdiabatError, ValueError):
    """Something handed in is wrong."""


class GeometryError(InputError):
    """Positions, cells or elements that no potential can be evaluated on."""


class DataError(InputError):
    """A data file, label or split is wrong."""


class ConfigError(InputError):
    """An option is unknown, out of range or contradicts another."""


class CapabilityError(AdiabatError):
    """A model was asked for something it cannot do."""


class CapacityError(AdiabatError, MemoryError):
    """One system is larger than the memory at hand."""


class CheckpointError(AdiabatError):
    """A checkpoint is damaged, foreign or from a newer version."""


class FitError(AdiabatError):
    """A fit cannot go on."""


class DynamicsError(AdiabatError):
    """A simulation left the range where its forces can be trusted."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence ` Did you mean 'cutoff'?` if a known name is close to `name`, else the list of known names."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(names)}." if names else ""
