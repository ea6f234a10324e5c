"""adiabat: machine-learned interatomic potentials, from quantum-mechanical data to trustworthy dynamics.

import adiabat

model = adiabat.load("model.adiabat")
model.predict(atoms)                 # {"energy": ..., "forces": ...}
atoms.calc = model.calculator()      # ASE
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# name -> module; imported on first use, so that `import adiabat` and the command line start at once
_PUBLIC = {
    "load": "adiabat.model",
    "Model": "adiabat.model",
    "classical": "adiabat.model",
    "train": "adiabat.training",
    "finetune": "adiabat.transfer",
    "distill": "adiabat.transfer",
    "read": "adiabat.data",
    "System": "adiabat.geometry",
    "Graph": "adiabat.geometry",
}
__all__ = ["Graph", "Model", "System", "__version__", "classical", "distill", "finetune", "load", "read", "train"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'adiabat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
