"""mace-torch's `.model` files (doi:10.48550/arXiv.2206.07697): pickled modules, whose parts tell the options."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, ones, zeros

from adiabat.errors import CheckpointError
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.inert import Inert, Name, tensors
from adiabat.pretrained.originals.source import Source

_CLASSES = {"MACE": "mace", "ScaleShiftMACE": "mace", "MACELES": "mace-les"}
# parts of the class whose work the importer does; another part would be left out silently
_PARTS = {
    *("node_embedding", "radial_embedding", "spherical_harmonics", "atomic_energies_fn", "interactions", "products"),
    *("readouts", "scale_shift", "pair_repulsion_fn"),
}
_LES_PARTS = {"les", "les_readouts"}
_TRANSFORMS = {"AgnesiTransform": "Agnesi", "SoftTransform": "Soft"}
_RADIAL = {"BesselBasis": "bessel", "GaussianBasis": "gaussian", "ChebychevBasis": "chebyshev"}


def recognize(source: Source) -> bool:
    """A module of mace.modules.models."""
    return source.class_module.startswith("mace.modules") and source.class_name in _CLASSES


def read(source: Source) -> Kit:
    """The model with its reference energies; eV, Å.

    Raises:
        CheckpointError: a part of the model is missing or of a kind that is not known.
    """
    model: Inert = source.content
    known = _PARTS | _LES_PARTS if model.kind == "MACELES" else _PARTS
    others = sorted(set(model["_modules"]) - known)
    if others:
        raise CheckpointError(f"{source.path} has parts that adiabat does not have: {', '.join(others)}.")
    values = tensors(model)
    coupling = {name: value for name, value in values.items() if ".U_matrix_" in name}
    weights = {name: value for name, value in values.items() if name not in coupling}
    if model.kind == "MACE":  # has no scale and shift
        some = weights["atomic_energies_fn.atomic_energies"]
        weights |= {"scale_shift.scale": ones(1, dtype=some.dtype), "scale_shift.shift": zeros(1, dtype=some.dtype)}
    options = hyperparameters(model)
    meta = {
        "method": _CLASSES[model.kind],
        "program": "mace-torch",
        "units": "eV, eV/A, eV/A^3",
        "elements": options["atomic_numbers"],
        "hyperparameters": options,
        "head": source.options.head,
    }
    buffers = {name: value.numpy() for name, value in coupling.items()}
    return Kit.of(_CLASSES[model.kind], meta, weights, buffers, source.path)


def hyperparameters(model: Inert) -> dict[str, Any]:
    """The program's constructor arguments, as far as the parts of the model show them."""
    first, products = model["interactions.0"], _children(model, "products")
    interactions, readouts = _children(model, "interactions"), _children(model, "readouts")
    heads = model.get("heads") or ["default"]
    last, contraction = interactions[-1], products[0]["symmetric_contractions.contractions.0"]
    later = last.kind if len(interactions) > 1 else _residual(first.kind)
    return {
        "r_max": _number(model["r_max"]),
        "num_bessel": _bases(model),
        "num_polynomial_cutoff": _number(model["radial_embedding.cutoff_fn.p"]),
        "max_ell": model["spherical_harmonics._lmax"],
        "interaction_cls": later,
        "interaction_cls_first": first.kind,
        "num_interactions": len(interactions),
        "hidden_irreps": irreps(products[0]["linear.irreps_out"]),
        "edge_irreps": _edge_irreps(interactions),
        "MLP_irreps": of_one_head(_readout_irreps(readouts[-1]), len(heads)),
        "use_agnostic_product": contraction["weights_max"].shape[0] == 1 and len(_elements(model)) > 1,
        "use_last_readout_only": bool(model.get("use_last_readout_only", False)),
        "readout_cls": readouts[-1].kind,
        "avg_num_neighbors": _number(first["avg_num_neighbors"]),
        "atomic_numbers": _elements(model),
        "correlation": contraction["correlation"],
        "radial_type": _RADIAL.get(model["radial_embedding.bessel_fn"].kind, "unknown"),
        "radial_MLP": [int(n) for n in first["conv_tp_weights.hs"][1:-1]],
        "pair_repulsion": model.get("pair_repulsion_fn") is not None,
        "distance_transform": _transform(model),
        "apply_cutoff": bool(model.get("radial_embedding.apply_cutoff", True)),
        "heads": heads,
    }


def of_one_head(hidden: str, heads: int) -> str:
    """The hidden irreps of a readout's one head: `32x0e` of two heads is `16x0e`."""
    parts = [part.split("x") for part in hidden.split("+")]
    return "+".join(f"{int(count) // heads}x{irrep}" for count, irrep in parts)


def irreps(value: Any) -> str:
    """e3nn's Irreps as text: a tuple of (multiplicity, (degree, parity))."""
    if isinstance(value, str):
        return value
    parts = []
    for part in _tuple(value):
        count, irrep = _tuple(part)
        degree, parity = _tuple(irrep)
        parts.append(f"{count}x{degree}{'e' if parity == 1 else 'o'}")
    return "+".join(parts)


def _tuple(value: Any) -> tuple[Any, ...]:
    """Content of a class derived from tuple."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, Inert):
        return _tuple(value.args[0]) if value.args else ()
    raise CheckpointError(f"the model's irreps cannot be read: a {type(value).__name__} where a tuple is expected.")


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor | np.generic) else value)


def _elements(model: Inert) -> list[int]:
    return [int(z) for z in model["atomic_numbers"]]


def _children(model: Inert, name: str) -> list[Inert]:
    return [child for child in model[f"{name}._modules"].values() if isinstance(child, Inert)]


def _residual(kind: str) -> str:
    """The later layers' kind of a model with one layer, which the program names though it has none."""
    return kind if "Residual" in kind else kind.replace("InteractionBlock", "ResidualInteractionBlock")


def _edge_irreps(blocks: list[Inert]) -> str | None:
    """Irreps of the later layers' messages where they differ from those of the atoms."""
    found = [irreps(block["linear_up.irreps_out"]) for block in blocks]
    own = [irreps(block["node_feats_irreps"]) for block in blocks]
    if found[0] != own[0]:
        raise CheckpointError(
            f"the model's first messages have irreps {found[0]} where the atoms have {own[0]}: unknown."
        )
    return None if found[-1] == own[-1] else found[-1]


def _bases(model: Inert) -> int:
    basis = model["radial_embedding.bessel_fn"]
    weights = basis.get("bessel_weights")
    return int(weights.numel()) if isinstance(weights, Tensor) else int(model["radial_embedding.out_dim"])


def _transform(model: Inert) -> str:
    part = model.get("radial_embedding.distance_transform_fn") or model.get("radial_embedding.distance_transform")
    return _TRANSFORMS.get(part.kind, part.kind) if isinstance(part, Inert) else "None"


def _readout_irreps(readout: Inert) -> str:
    if readout.get("linear_1") is None:
        raise CheckpointError(f"the model's last readout is a {readout.kind}: NonLinearReadoutBlock is expected.")
    gates = readout.get("non_linearity.acts")
    names = [str(_function(part)) for part in _children(readout, "non_linearity.acts")] if gates is not None else []
    if any(not name.endswith("silu") for name in names):
        raise CheckpointError(f"the readout's activation is {', '.join(names)}: only silu is known.")
    return irreps(readout["linear_1.irreps_out"])


def _function(part: Inert) -> Any:
    """The function inside e3nn's normalizing wrapper."""
    inner = part.get("f")
    return inner if isinstance(inner, Name) else inner.kind if isinstance(inner, Inert) else part.kind
