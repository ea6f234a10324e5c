"""EANN, REANN and EquiREANN (doi:10.1103/PhysRevLett.127.156002): TorchScript archives that they export.

Parameters, elements and the class of the activations are in the archive's objects. Of its code one thing is read, as
text: whether the sums over neighbors give two tensors, as in EquiREANN.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.inert import Inert, tensors
from adiabat.pretrained.originals.source import Source


def recognize(source: Source) -> bool:
    """A TorchScript archive with densities and the networks of elements."""
    if source.kind != "torchscript" or not isinstance(source.content, Inert):
        return False
    return all(
        source.content.get(name) is not None for name in ("density.rs", "density.inta", "nnmod.elemental_nets")
    )


def read(source: Source) -> Kit:
    """The model; the programs leave units to the data, so the options must say that of energies. Lengths are Å.

    Raises:
        CheckpointError: no unit is given; the archive is of another form.
    """
    content: Inert = source.content
    nets = content["nnmod.elemental_nets"]
    if not isinstance(nets, Inert):
        raise CheckpointError(f"{source.path} has no networks of elements: is it an archive that REANN exported?")
    names = [name for name, value in nets.attributes.items() if isinstance(value, Inert)]
    weights: dict[str, Tensor] = {}
    for part in ("density", "nnmod"):
        weights |= {f"{part}.{name}": value for name, value in tensors(content[part]).items()}
    code = "".join(source.archive.text(name) for name in source.archive.entries if name.endswith("density.py"))
    equivariant = "Tuple[Tensor, Tensor]" in code
    meta = {
        "program": "EquiREANN" if equivariant else "REANN",
        "elements": names,
        "energy_unit": source.energy_unit("REANN"),
        "hyperparameters": {"activation": _activation(nets, source)},
    }
    return Kit.of("reann-original", meta, weights, path=source.path)


def _activation(nets: Inert, source: Source) -> str:
    """The class that has α and β, the same in all networks."""
    found, waiting = set(), [nets]
    while waiting:
        module = waiting.pop()
        parts: dict[str, Any] = dict(module.attributes)
        if "alpha" in parts and "beta" in parts:
            found.add(module.kind)
        else:
            waiting += [part for part in parts.values() if isinstance(part, Inert)]
    if len(found) != 1:
        raise CheckpointError(f"{source.path} has activations {sorted(found)} where one with α and β is expected.")
    return found.pop()
