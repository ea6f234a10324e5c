"""The test battery that every potential, ours or a plugin's, must pass.

```python
from adiabat.testing.battery import run_battery
report = run_battery(my_potential)
assert report.passed, report.text()
```

Each check is also a function of its own. The thresholds are for float64; a float32 potential is checked as a
float64 copy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adiabat.errors import CapabilityError, ConfigError, did_you_mean
from adiabat.geometry import System
from adiabat.potential import Potential
from adiabat.testing.checks import TITLES, CheckResult, in_double, not_run
from adiabat.testing.learning import check_fit, check_ref, check_rt
from adiabat.testing.smoothness import check_cut, check_fd, check_nve
from adiabat.testing.structures import structures as built_in
from adiabat.testing.symmetry import check_batch, check_ext, check_inv, check_pbc

__all__ = [
    "BatteryReport",
    "CheckResult",
    "check_batch",
    "check_cut",
    "check_ext",
    "check_fd",
    "check_fit",
    "check_inv",
    "check_nve",
    "check_pbc",
    "check_ref",
    "check_rt",
    "run_battery",
]


@dataclass(frozen=True)
class BatteryReport:
    """The results of all checks, in the order of `TITLES`."""

    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """True if no check failed; exempt ones and ones not run do not count, and the text names them."""
        return all(r.passed is not False for r in self.results)

    def __getitem__(self, code: str) -> CheckResult:
        return next(r for r in self.results if r.code == code)

    def text(self) -> str:
        """One line a check."""
        words = {True: "pass", False: "FAIL", None: "--"}
        return "\n".join(f"{r.code:6}{words[r.passed]:6}{TITLES[r.code]}: {r.message}" for r in self.results)


def run_battery(
    potential: Potential,
    structures: Mapping[str, System] | None = None,
    skip: Collection[str] = (),
    kits: Sequence[Path] = (),
) -> BatteryReport:
    """Runs the checks on a potential.

    Args:
        potential: what to check.
        structures: single systems by name; by default seven built-in ones in the potential's elements. A global
            model needs its own molecule.
        skip: codes to leave out; they are reported as not run.
        kits: golden kits for REF.

    Raises:
        ConfigError: a code in `skip` does not exist.
        CapabilityError: a global model without structures.
    """
    for code in skip:
        if code not in TITLES:
            raise ConfigError(f"'{code}' is not a check.{did_you_mean(code, TITLES)}")
    if structures is None:
        if not potential.local:
            raise CapabilityError(
                f"{type(potential).__name__} is a global model: give geometries of its molecule as structures."
            )
        structures = built_in(potential.elements, potential.cutoff)
    model = in_double(potential)
    several = [(n, s) for n, s in structures.items() if s.atoms > 1] or list(structures.items())
    moving_name, moving = max(several, key=lambda item: item[1].atoms)
    checks = {
        "INV": lambda: check_inv(model, structures),
        "FD": lambda: check_fd(model, structures),
        "CUT": lambda: check_cut(model, structures),
        "EXT": lambda: check_ext(model, structures),
        "PBC": lambda: check_pbc(model, structures),
        "FIT": lambda: check_fit(model, moving, moving_name),
        "REF": lambda: check_ref(kits),
        "NVE": lambda: check_nve(model, moving, moving_name),
        "BATCH": lambda: check_batch(model, structures),
        "RT": lambda: check_rt(model, structures),
    }
    results = [not_run(code, "left out on request") if code in skip else checks[code]() for code in TITLES]
    return BatteryReport(tuple(results))
