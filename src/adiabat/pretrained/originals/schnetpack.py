"""SchNetPack 2 (doi:10.1063/5.0138367): `best_model` files and deployed TorchScript, of SchNet and PaiNN.

Neither the energy unit nor the elements that were trained are in the file, so that both are options.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.inert import Inert, Name, tensors
from adiabat.pretrained.originals.source import Source

_METHODS = {"SchNet": "schnet", "PaiNN": "painn"}


def recognize(source: Source) -> bool:
    """A NeuralNetworkPotential of schnetpack, pickled or scripted."""
    module = source.class_module.removeprefix("__torch__.")
    return module.startswith("schnetpack.model") and source.class_name == "NeuralNetworkPotential"


def read(source: Source) -> Kit:
    """SchNet or PaiNN with its energy offsets, in the unit that the options say.

    Raises:
        CheckpointError: the unit is not given; the representation or output is another.
    """
    unit = source.energy_unit("SchNetPack")
    model: Inert = source.content
    part = model["representation"]
    if part.kind not in _METHODS:
        raise CheckpointError(f"{source.path} has a {part.kind}: {', '.join(_METHODS)} can be read.")
    method = _METHODS[part.kind]
    outputs = [o.kind for o in _children(model, "output_modules")]
    if not outputs or outputs[0] != "Atomwise":
        raise CheckpointError(f"{source.path} has the outputs {', '.join(outputs)}: Atomwise is expected first.")
    weights = tensors(model)
    rows = weights["representation.embedding.weight"].shape[0]
    meta = {
        "method": method,
        "program": "schnetpack",
        "units": unit,
        "energy_unit": unit,
        "elements": list(source.options.elements) or "a row for each atomic number",
        "hyperparameters": _options(part, method),
        "keys": ["dipole"] if "DipoleMoment" in outputs else [],
        "offsets": _offsets(model, rows),
    }
    return Kit.of(f"{method}-original", meta, weights, path=source.path)


def _options(part: Inert, method: str) -> dict[str, Any]:
    basis = part["radial_basis"]
    if part["cutoff_fn"].kind != "CosineCutoff":
        raise CheckpointError(f"the cutoff function is {part['cutoff_fn'].kind}: only CosineCutoff is known.")
    first = part["interactions.0"]
    options: dict[str, Any] = {
        "n_atom_basis": int(part["n_atom_basis"]),
        "n_interactions": len(_children(part, "interactions")),
        "n_rbf": int(basis["n_rbf"]),
        "cutoff": float(part["cutoff"]),
        "rbf": {"GaussianRBF": "gaussian", "BesselRBF": "bessel"}.get(basis.kind, basis.kind),
    }
    if method == "schnet":
        options["n_filters"] = int(first["in2f.weight"].shape[0])
        return options
    layers = part.get("mixing.0.epsilon", 1e-8)
    activation = first.get("interatomic_context_net.0.activation")
    return options | {
        "shared_filters": bool(part.get("share_filters", False)),
        "epsilon": float(layers),
        # scripted models keep functions in their code, which is not read
        "activation": activation.name if isinstance(activation, Name) else "silu",
    }


def _offsets(model: Inert, rows: int) -> dict[int, float]:
    """Energy of each atomic number that the program adds after the network, in the model's unit."""
    offsets = dict.fromkeys(range(1, rows), 0.0)
    for part in _children(model, "postprocessors"):
        if part.kind != "AddOffsets":
            continue
        if part.get("_property") not in (None, "energy") or not part.get("is_extensive", True):
            raise CheckpointError(f"the model adds offsets to {part.get('_property')} in a way that is not known.")
        mean = float(part["mean"]) if part.get("add_mean") else 0.0
        atoms: Tensor | None = part["atomref"] if part.get("add_atomrefs") else None
        for number in offsets:
            # the program's table of atoms starts with a row for number 0
            one = float(atoms.reshape(-1)[number]) if atoms is not None and number < atoms.numel() else 0.0
            offsets[number] += mean + one
    return offsets


def _children(model: Inert, name: str) -> list[Inert]:
    """Modules of a list, pickled or scripted."""
    found = model.get(name)
    state = found.attributes if isinstance(found, Inert) else {}
    return [child for key, child in state.items() if key.isdecimal() and isinstance(child, Inert)]
