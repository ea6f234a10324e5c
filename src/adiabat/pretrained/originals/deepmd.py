"""DeePMD-kit (doi:10.1063/5.0155600): frozen models (`.pth`), checkpoints (`.pt`) and its own form (`.dp`, `.yaml`).

The first two are torch files with a state and a description that leaves defaults out, the others a tree in JSON (in
an attribute of an HDF5 file, which holds the arrays) or YAML that leaves nothing out. Programs of its Paddle backend
in JSON hold no parameters and are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import torch
import yaml
from torch import Tensor

from adiabat.errors import CheckpointError
from adiabat.pretrained.importers.deepmd_defaults import KINDS, MESSAGES, filled
from adiabat.pretrained.kit import Kit
from adiabat.pretrained.originals.inert import Inert, tensors
from adiabat.pretrained.originals.source import Source

_HDF5 = b"\x89HDF\r\n\x1a\n"
_YAML = (".yaml", ".yml")
_BLOCKS = {"se_e2_a": "sea.", "se_e3": "seat.", "se_e3_tebd": "se_ttebd."}
_BLOCKS |= dict.fromkeys(("se_atten", "se_atten_v2"), "se_atten.")  # as the importer expects them


def recognize(source: Source) -> bool:
    """A torch file with classes or options of DeePMD-kit, its own form, or a program of its Paddle backend."""
    if source.kind == "torchscript":
        return ".deepmd." in f".{source.class_module}."
    if source.kind in ("torch", "legacy torch"):
        return isinstance(_extra(source.content), dict)
    if source.kind == "binary":
        return _is_hdf5(source)
    if source.kind == "text" and source.path.suffix in _YAML:
        return "\nsoftware: deepmd-kit" in f"\n{source.text}"
    return source.kind == "json" and _is_paddle(source.content)


def read(source: Source) -> Kit:
    """The model's own description, with defaults filled in, and its weights by the names of the PyTorch backend.

    Raises:
        CheckpointError: there are no parameters in the file, or several models.
    """
    if source.kind == "json":
        raise CheckpointError(
            f"{source.path} is the program of a Paddle model, whose parameters lie in another file: convert the model"
            " with `dp convert-backend` to .pth or .dp, which are read."
        )
    try:
        if source.kind in ("binary", "text"):
            tree = _tree(source)
            options, weights = tree, dict(_of_tree(tree))
        else:
            options, weights = _of_torch(source)
    except (KeyError, TypeError, ValueError, AttributeError, OSError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{source.path} has another layout than DeePMD-kit 3 writes: {error!r}.") from None
    first = options["models"][0] if options.get("type") == "zbl" else options
    if source.kind in ("binary", "text") and first.get("descriptor", {}).get("type") in MESSAGES:
        raise CheckpointError(
            f"{source.path} holds a {first['descriptor']['type']} model in the program's own form: convert it with"
            " `dp convert-backend` to .pth, which is read."
        )
    if "descriptor" not in first:
        raise CheckpointError(f"{source.path} describes no model with one descriptor: a single potential is read.")
    own = str(first["descriptor"].get("type"))
    kind = KINDS.get(own, own)
    task = str(first.get("fitting", {}).get("type", "ener"))
    name = "dp-" + (kind if task == "ener" else task).replace("_", "-")
    return Kit.of(f"{name}-original", {"resolved_hyperparameters": options}, weights, path=source.path)


def _extra(content: Any) -> Any:
    """The options in the state of a checkpoint, or None."""
    state = content.get("model", content) if isinstance(content, dict) else None
    extra = state.get("_extra_state") if isinstance(state, dict) else None
    return extra.get("model_params") if isinstance(extra, dict) else None


def _is_paddle(content: Any) -> bool:
    code = content.get("base_code") if isinstance(content, dict) else None
    return isinstance(code, dict) and code.get("magic") == "pir"


def _is_hdf5(source: Source) -> bool:
    with source.path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return False
    with h5py.File(source.path) as file:
        return isinstance(file.attrs.get("json"), str)


def _of_torch(source: Source) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Options and weights of a frozen model or a checkpoint."""
    if source.kind == "torchscript":
        assert isinstance(source.content, Inert)
        script = source.content.get("model_def_script")
        given = json.loads(script) if isinstance(script, str) else {}
        weights = tensors(source.content)
    else:
        given = _extra(source.content)
        start = "model.Default."
        state = source.content.get("model", source.content)
        weights = {k.removeprefix(start): v for k, v in state.items() if isinstance(v, Tensor)}
    if not isinstance(given, dict) or "model_dict" in given:
        raise CheckpointError(f"{source.path} holds several models or none: give a frozen one (`dp freeze --head`).")
    options = filled(given)
    return _with_table(options, given, weights) if given.get("use_srtab") else options, weights


def _with_table(options: dict[str, Any], given: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Options of a model whose energies of close pairs come from a table."""
    start, step, intervals, _ = weights["atomic_model.models.1.tab_info"].tolist()
    table = {"rmin": start, "hh": step, "nspline": int(intervals)}
    tabulated = {"type": "pairtab", "rcut": options["descriptor"]["rcut"], "tab": table}
    radii = {"sw_rmin": given["sw_rmin"], "sw_rmax": given["sw_rmax"], "smin_alpha": given.get("smin_alpha", 0.1)}
    return {"type": "zbl", "type_map": options["type_map"], "models": [options, tabulated], **radii}


def _tree(source: Source) -> dict[str, Any]:
    """The model in the program's own form, with arrays in their places."""
    if source.kind == "text":
        content = yaml.load(source.text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        arrays: Mapping[str, Any] = {}
    else:
        with h5py.File(source.path) as file:
            content = json.loads(str(file.attrs["json"]))
            arrays = {f"/{name}": item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise CheckpointError(f"{source.path} has no model in it: was it written by DeePMD-kit 3?")
    return _placed(content["model"], arrays, False)


def _placed(value: Any, arrays: Mapping[str, Any], inside: bool) -> Any:
    """Replaces names of arrays (inside of variables), and arrays written as lists, by tensors."""
    if isinstance(value, dict):
        if value.get("@is_variable"):
            return torch.as_tensor(np.asarray(value["value"], dtype=value["dtype"]))
        return {k: _placed(v, arrays, inside or k == "@variables") for k, v in value.items()}
    if isinstance(value, list):
        return [_placed(v, arrays, inside) for v in value]
    if inside and isinstance(value, str) and value in arrays:
        return torch.as_tensor(arrays[value])
    return value


def _of_tree(model: Mapping[str, Any], start: str = "atomic_model.") -> Iterator[tuple[str, Tensor]]:
    """The tree's arrays by the names of the PyTorch backend."""
    yield from _named(model, start, {"out_bias": "out_bias", "out_std": "out_std"})
    for place, part in enumerate(model.get("models", ())):
        yield from _of_tree(part, f"{start}models.{place}.")
    yield from _named(model.get("tab", {}), start, {"tab_info": "tab_info", "tab_data": "tab_data"})
    yield from _of_descriptor(model.get("descriptor", {}), f"{start}descriptor.")
    fitting, own = model.get("fitting", {}), f"{start}fitting_net."
    yield from _named(fitting, own, {name: name for name in fitting.get("@variables", {})})
    yield from _of_networks(fitting.get("nets", {}), f"{own}filter_layers.networks.")


def _of_descriptor(tree: Mapping[str, Any], start: str) -> Iterator[tuple[str, Tensor]]:
    for place, part in enumerate(tree.get("list", ())):
        yield from _of_descriptor(part, f"{start}descrpt_list.{place}.")
    own, whole = str(tree.get("type")), start
    start += _BLOCKS.get(KINDS.get(own, own), "")
    yield from _named(tree, start, {"davg": "mean", "dstd": "stddev"})
    yield from _of_networks(tree.get("embeddings", {}), f"{start}filter_layers.networks.")
    yield from _of_networks(tree.get("embeddings_strip", {}), f"{start}filter_layers_strip.networks.")
    names = {"w": "matrix", "b": "bias"}
    for place, layer in enumerate(tree.get("attention_layers", {}).get("attention_layers", ())):
        inner = f"{start}dpa1_attention.attention_layers.{place}."
        for part in ("in_proj", "out_proj"):
            yield from _named(layer["attention_layer"][part], f"{inner}attention_layer.{part}.", names)
        yield from _named(layer["attn_layer_norm"], f"{inner}attn_layer_norm.", names)
    vectors = tree.get("type_embedding", {}).get("embedding", {})
    for depth, layer in enumerate(vectors.get("layers", ())):
        yield from _named(layer, f"{whole}type_embedding.embedding.embedding_net.layers.{depth}.", names)


def _of_networks(tree: Mapping[str, Any], start: str) -> Iterator[tuple[str, Tensor]]:
    for place, network in enumerate(tree.get("networks", ())):
        for depth, layer in enumerate((network or {}).get("layers", ())):
            yield from _named(layer, f"{start}{place}.layers.{depth}.", {"w": "matrix", "b": "bias", "idt": "idt"})


def _named(tree: Mapping[str, Any], start: str, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    for theirs, name in names.items():
        value = tree.get("@variables", {}).get(theirs)
        if isinstance(value, Tensor):
            yield start + name, value
